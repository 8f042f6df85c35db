import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { Description } from './description.ts';
import type { RtcDataChannel, RtcPeerConnection } from './engine.ts';
import { remoteFingerprint } from './stats.ts';

/** The label of the one data channel: PROTOCOL.md §7. */
export const channelLabel = 'mcp';

/**
 * Bytes that may arrive before the handshake is authenticated. More is not the beginning of an MCP
 * session.
 */
const mostEarlyBytes = 1_048_576;

/** The certificate in use must be the one in the parsed description, however the engine read it. */
export async function assertNamed(connection: RtcPeerConnection, { fingerprint }: Description): Promise<void> {
  const used = await remoteFingerprint(connection).catch(() => undefined); // it does not tell
  if (used === undefined || used === fingerprint) return;
  throw new RendezvousError(
    'dtls_untrusted',
    'The certificate of the DTLS handshake does not match the fingerprint in the SDP. Nothing was sent.',
  );
}

/**
 * Keeps what arrives before the connection is authenticated.
 *
 * @returns the messages so far, for the next owner of the channel
 */
export function keepEarly(channel: RtcDataChannel, fail: (error: RendezvousError) => void): unknown[] {
  const early: unknown[] = [];
  let bytes = 0;
  channel.onmessage = ({ data }) => {
    early.push(data);
    bytes += data instanceof ArrayBuffer ? data.byteLength : String(data).length;
    if (bytes <= mostEarlyBytes) return;
    fail(new RendezvousError('bad_channel', 'The other peer sent too much before the connection was authenticated.'));
  };
  return early;
}

/** Why a channel of the other side cannot carry MCP; undefined if it can. */
export function unfitness(channel: RtcDataChannel): string | undefined {
  if (channel.label !== channelLabel) {
    return `The other peer opened a data channel with a label other than '${channelLabel}'. Check that it is an MCP peer.`;
  }
  if (!channel.ordered || channel.maxRetransmits !== null || channel.maxPacketLifeTime !== null) {
    return 'The other peer opened an unordered or unreliable data channel; MCP needs an ordered and reliable one.';
  }
  return undefined;
}
