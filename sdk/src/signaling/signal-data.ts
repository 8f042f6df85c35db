import type { PeerData } from 'mcp-rendezvous-protocol';
import type { SignalMessage } from './signaling.ts';

/** What may carry a `seq`: all but acknowledgements. */
export type Sequenced = Exclude<PeerData, { kind: 'ack' }>;

/** A signal as it travels. */
export function toData(message: SignalMessage): Sequenced {
  const { gen } = message;
  switch (message.kind) {
    case 'offer':
    case 'answer':
      return { kind: message.kind, gen, body: { sdp: message.sdp } };
    case 'candidate':
      return { kind: 'candidate', gen, body: message.candidate };
    case 'bye':
      return { kind: 'bye', gen, body: { code: message.code, message: message.message } };
  }
}

/** The other way round. */
export function toMessage(data: Sequenced): SignalMessage {
  const { gen } = data;
  switch (data.kind) {
    case 'offer':
    case 'answer':
      return { kind: data.kind, gen, sdp: data.body.sdp };
    case 'candidate':
      return { kind: 'candidate', gen, candidate: data.body };
    case 'bye':
      return { kind: 'bye', gen, ...data.body };
  }
}
