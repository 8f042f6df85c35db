import { type IceServer, RendezvousError } from 'mcp-rendezvous-protocol';
import type { PeerOptions } from '../peer/negotiation.ts';
import { chooseServers } from '../peer/servers.ts';
import type { ConnectOptions, Path } from './types.ts';

const known: ReadonlySet<Path> = new Set(['direct', 'turn', 'relayed']);
const defaultPaths: readonly Path[] = ['direct', 'turn', 'relayed'];

/**
 * The paths that the application allows. `iceTransportPolicy: 'relay'` is TURN and nothing else.
 */
export const allowedPaths = ({ paths, iceTransportPolicy }: ConnectOptions): readonly Path[] =>
  paths ?? (iceTransportPolicy === 'relay' ? ['turn'] : defaultPaths);

/** @throws RendezvousError `bad_option` */
export function checkPaths({ paths, iceTransportPolicy }: ConnectOptions): void {
  if (paths === undefined) return;
  if (!Array.isArray(paths) || paths.length === 0 || !paths.every((path) => known.has(path))) {
    throw new RendezvousError('bad_option', "paths must be a list of 'direct', 'turn' and 'relayed'.");
  }
  if (iceTransportPolicy === 'relay' && paths.includes('direct')) {
    throw new RendezvousError('bad_option', "iceTransportPolicy: 'relay' and a direct path exclude each other.");
  }
}

type PathSettings = Pick<PeerOptions, 'iceServers' | 'iceTransportPolicy'>;

/**
 * @param claimed the claim `paths` of this peer's token, which may change with the token; undefined
 *   for a token without it, and as long as there is none
 */
export function settingsFor(
  options: ConnectOptions,
  servers: () => IceServer[],
  claimed: () => readonly string[] | undefined,
): PathSettings & Required<Pick<PeerOptions, 'relayedOnly'>> {
  const may = (path: Path): boolean => allowedPaths(options).includes(path) && claimed()?.includes(path) !== false;
  const settings: PathSettings = {
    iceServers: () => (may('turn') ? servers() : servers().flatMap(withoutTurn)),
    iceTransportPolicy: () => (may('direct') ? (options.iceTransportPolicy ?? 'all') : 'relay'),
  };
  // What is not allowed is not made, and without a TURN server nothing goes through one. The answer
  // changes when the relay names one.
  const relayedOnly = (): boolean =>
    settings.iceTransportPolicy() === 'relay' &&
    may('relayed') &&
    chooseServers({ iceServers: settings.iceServers(), iceTransportPolicy: 'all' }).turn.length === 0;
  return { ...settings, relayedOnly };
}

export function withoutTurn({ urls, ...server }: IceServer): IceServer[] {
  const stun = [urls].flat().filter((url) => url.startsWith('stun'));
  return stun.length > 0 ? [{ ...server, urls: stun }] : [];
}
