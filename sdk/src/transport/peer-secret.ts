import { RendezvousError, secretKeyBytes, toRendezvousError } from 'mcp-rendezvous-protocol';
import { abortable } from '../util/abort.ts';
import type { RelayChannel } from '../signaling/relay-channel.ts';
import type { RemotePeer } from '../signaling/relay-connection.ts';
import { rejectOffer } from './server-room.ts';
import type { SecretSource } from './types.ts';

/**
 * The key of the option `secret`.
 *
 * @throws RendezvousError `bad_option`, which does not quote it
 */
export function keyOf(secret: string | SecretSource | undefined): Uint8Array<ArrayBuffer> | undefined {
  if (secret === undefined) return undefined;
  const key = typeof secret === 'string' ? secretKeyBytes(secret) : undefined;
  if (key) return key;
  throw new RendezvousError(
    'bad_option',
    'secret is not a complete end-to-end secret. Create one with createSecret() or `mcp-rendezvous secret`, and use it on both sides.',
  );
}

/**
 * The key that is shared with a peer of the room. One whose function fails is refused, and hears
 * so.
 *
 * @throws RendezvousError `bad_option`, `peer_refused`, or the signal's reason
 */
export async function secretFor(
  secret: string | SecretSource | undefined,
  remote: RemotePeer,
  channel: RelayChannel,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (typeof secret !== 'function') return keyOf(secret);
  const asking = async () => await secret(remote);
  try {
    return keyOf(await abortable(asking(), signal));
  } catch (thrown) {
    rejectOffer(channel, 'refused', 'The server rejected this client.');
    signal.throwIfAborted();
    throw toRendezvousError(
      thrown,
      'peer_refused',
      'The secret function failed, so the client was rejected; see cause.',
    );
  }
}
