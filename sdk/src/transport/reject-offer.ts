import type { ByeCode } from 'mcp-rendezvous-protocol';
import type { RelayChannel } from '../signaling/relay-channel.ts';

/** Tells a client, in answer to its first signal, that it is not taken, so that it need not wait. */
export function rejectOffer(channel: RelayChannel, code: ByeCode, message: string): void {
  channel.over = true;
  channel.onmessage = ({ gen }) => {
    channel.onmessage = undefined;
    channel.send({ kind: 'bye', gen, code, message }).catch(() => {}); // the client has gone: nobody is left to be told
  };
  channel.start().catch(() => {}); // the same
}
