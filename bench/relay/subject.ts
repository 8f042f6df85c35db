import { createHash } from 'node:crypto';
import type { WebSocket } from 'ws';
import type { MeasuredProcess } from '../lib/process.ts';

/** A relay to be measured, and how one speaks to it. */
export interface Subject {
  readonly name: string;
  /** Tells a peer by a message who else has come. */
  readonly announces: boolean;
  /** Starts as many instances as are asked for, with a Redis between them if there is one. */
  start(instances: number, redis: string | undefined): Promise<MeasuredProcess[]>;
  /**
   * Opens a socket to the instance on this port and joins; resolves when the relay has said that
   * the peer has its place.
   */
  join(port: number, place: Place): Promise<Peer>;
}

/** Where a peer belongs: a room has one server and one client. */
export interface Place {
  room: string;
  role: 'server' | 'client';
  /** Tells the clients of a room apart, if there are several. */
  name?: string;
}

/** A joined peer. */
export interface Peer {
  readonly socket: WebSocket;
  /** Called for each signal of the other peer. */
  onsignal: () => void;
  /** Sends one to the other peer, who has joined. */
  signal(): void;
  /** Goes, for good. */
  leave(): void;
}

/** A peer on a socket that sends these texts in turn, whichever they are by then. */
export function peerOn(socket: WebSocket, texts: () => readonly string[]): Peer {
  let next = 0;
  return {
    socket,
    onsignal: () => undefined,
    signal: () => socket.send(texts()[next++ % texts().length] ?? ''),
    leave: () => socket.close(),
  };
}

/**
 * What WebRTC peers say to each other, in about the sizes and the proportion that they do: an offer
 * or an answer and four candidates each, and acknowledgements. Always the same, and the same for
 * every relay.
 */
export const signals: readonly object[] = [
  { kind: 'offer', gen: 1, seq: 1, body: { sdp: filler('sdp', 1500) } },
  ...[2, 3, 4, 5].map((seq) => ({
    kind: 'candidate',
    gen: 1,
    seq,
    ack: 1,
    body: { candidate: `candidate:${filler('candidate', 120)}`, sdpMid: '0', sdpMLineIndex: 0 },
  })),
  { kind: 'ack', ack: 5 },
];

/** Text that does not repeat, with line ends as in SDP. */
function filler(seed: string, length: number): string {
  let text = '';
  for (let block = 0; text.length < length; block++) {
    text += `a=${createHash('sha256').update(`${seed}${block}`).digest('base64')}\r\n`;
  }
  return text.slice(0, length);
}
