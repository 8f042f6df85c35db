import type { PeerData } from 'mcp-rendezvous-protocol';
import type { SignalMessage } from './signaling.ts';

/** What may carry a `seq`: all but acknowledgements. */
export type Sequenced = Exclude<PeerData, { kind: 'ack' }>;

/** What every kind of signaling carries; the relayed path's handshake goes through a relay only. */
export type Described = Exclude<Sequenced, { kind: 'path' }>;

export function toData(message: SignalMessage): Described {
  const { gen } = message;
  switch (message.kind) {
    case 'offer':
    case 'answer':
      return { kind: message.kind, gen, body: { sdp: message.sdp } };
    case 'candidate': {
      const { candidate, more } = message;
      return { kind: 'candidate', gen, body: { ...candidate, ...(more && { more }) } };
    }
    case 'bye':
      return { kind: 'bye', gen, body: { code: message.code, message: message.message } };
  }
}

export function toMessage(data: Described): SignalMessage {
  const { gen } = data;
  switch (data.kind) {
    case 'offer':
    case 'answer':
      return { kind: data.kind, gen, sdp: data.body.sdp };
    case 'candidate': {
      const { more, ...candidate } = data.body;
      return { kind: 'candidate', gen, candidate, ...(more && { more }) };
    }
    case 'bye':
      return { kind: 'bye', gen, ...data.body };
  }
}
