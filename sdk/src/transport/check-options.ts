import { RendezvousError } from 'mcp-rendezvous-protocol';
import { checkDiagnosticHandler } from '../util/diagnostic.ts';
import { checkPaths } from './allowed-paths.ts';
import { keyOf } from './peer-secret.ts';
import type { ConnectOptions, SignalingOptions, PlainOptions } from './types.ts';

/** Below that there is no room for an answer that says that another one was too large. */
const leastMessageBytes = 1_024;

/** By its value: an application may name all options and leave some undefined. */
export const hasSignaling = (options: PlainOptions): options is ConnectOptions & SignalingOptions =>
  'signaling' in options && options.signaling !== undefined;

/** @throws RendezvousError `bad_option` */
export function checkContext(options: PlainOptions): void {
  const { context } = options as Partial<SignalingOptions>;
  if (context === undefined) return;
  if (!hasSignaling(options)) {
    throw new RendezvousError(
      'bad_option',
      'context is for a signaling channel of your own. With a relay, leave it out.',
    );
  }
  if (typeof context !== 'string' || context === '' || context.length > 256 || !context.isWellFormed()) {
    throw new RendezvousError('bad_option', 'context must be a text of 1 to 256 characters.');
  }
}

/** @throws RendezvousError `bad_option` */
export function checkOptions(options: ConnectOptions): void {
  const { connectTimeoutMs, maxMessageBytes, iceTransportPolicy, secret, ondiagnostic } = options;
  checkDiagnosticHandler(ondiagnostic);
  if (connectTimeoutMs !== undefined && !(connectTimeoutMs > 0)) {
    throw new RendezvousError('bad_option', 'connectTimeoutMs must be a number above 0.');
  }
  if (
    maxMessageBytes !== undefined &&
    !(Number.isSafeInteger(maxMessageBytes) && maxMessageBytes >= leastMessageBytes)
  ) {
    throw new RendezvousError('bad_option', `maxMessageBytes must be an integer, ${leastMessageBytes} or more.`);
  }
  // An engine would take what it does not know for `all`, and show this machine's addresses.
  if (iceTransportPolicy !== undefined && !['all', 'relay'].includes(iceTransportPolicy)) {
    throw new RendezvousError('bad_option', "iceTransportPolicy must be 'all' or 'relay'.");
  }
  if (typeof secret !== 'function') keyOf(secret);
  checkPaths(options);
}
