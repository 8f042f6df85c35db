import {
  encodeAck,
  encodeAuth,
  encodeClose,
  encodeData,
  encodeHello,
  encodePing,
  encodePong,
} from '../../sdk/src/link/frame.ts';
import type { Hello, MessageMeta } from 'mcp-rendezvous-protocol';

/** A frame of the data channel, by value; bytes are in hex. */
export type FrameValue =
  | { type: 'hello'; hello: Hello }
  | { type: 'auth'; proof: string }
  | { type: 'data'; seq: number; ack: number; end: boolean; meta?: MessageMeta; part: string }
  | { type: 'ack'; ack: number }
  | { type: 'ping' | 'pong'; id: number }
  | { type: 'close'; code: number; reason: string };

/** One thing that goes over the wire. */
export interface Step {
  from: string;
  to: string;
  /** A text frame of the WebSocket, by value. */
  text?: unknown;
  /** A binary frame of the WebSocket, or a message of the data channel. */
  hex?: string;
  /** What the bytes are: a frame of §7. */
  frame?: FrameValue;
  /** What the bytes are: relayed data of §4, with what is sealed in it. */
  relayed?: RelayedValue;
  /** The WebSocket is closed. */
  close?: { code: number; reason: string };
}

export interface RelayedValue {
  peer: string;
  gen: number;
  /** What was sealed: a piece of §8. Empty where the sender has left the path. */
  plain: string;
  /** The frame of which this is the last piece. */
  frame?: FrameValue;
}

export interface Transcript {
  format: 1;
  kind: 'signaling' | 'channel' | 'relayed';
  title: string;
  /** Where PROTOCOL.md has it. */
  sections: string;
  /** Keys, names and numbers that are drawn at random outside of a transcript. */
  given: Record<string, unknown>;
  /** What both ends come to. */
  derived: Record<string, unknown>;
  steps: Step[];
}

export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
export const fromHex = (digits: string): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(digits, 'hex'));

export function encodeFrame(frame: FrameValue): Uint8Array<ArrayBuffer> {
  switch (frame.type) {
    case 'hello':
      return encodeHello(frame.hello);
    case 'auth':
      return encodeAuth(fromHex(frame.proof));
    case 'data': {
      const meta = frame.meta && new TextEncoder().encode(JSON.stringify(frame.meta));
      return encodeData({ ...frame, meta, part: fromHex(frame.part) });
    }
    case 'ack':
      return encodeAck(frame.ack);
    case 'ping':
      return encodePing(frame.id);
    case 'pong':
      return encodePong(frame.id);
    case 'close':
      return encodeClose(frame.code, frame.reason);
  }
}

/** The DATA frames of a message, in so many parts. */
export function dataFrames(
  message: unknown,
  seq: number,
  ack: number,
  parts: number,
  meta?: MessageMeta,
): FrameValue[] {
  const bytes = new TextEncoder().encode(JSON.stringify(message));
  const size = Math.ceil(bytes.length / parts);
  return Array.from({ length: parts }, (_, n) => ({
    type: 'data',
    seq: seq + n,
    ack,
    end: n === parts - 1,
    ...(n === 0 && meta ? { meta } : {}),
    part: toHex(bytes.subarray(n * size, (n + 1) * size)),
  }));
}

const fingerprint = Array.from({ length: 32 }, () => 'AB').join(':');
/** A description that may be read (PROTOCOL.md §6), of a connection that leads nowhere. */
export const sdpOf = (setup: 'actpass' | 'active', framing: string): string =>
  [
    'v=0',
    'o=- 1 1 IN IP4 127.0.0.1',
    's=-',
    't=0 0',
    'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
    'c=IN IP4 0.0.0.0',
    'a=mid:0',
    'a=ice-ufrag:none',
    'a=ice-pwd:nothingAnswersAtThisOneAtAll',
    `a=fingerprint:sha-256 ${fingerprint}`,
    `a=setup:${setup}`,
    'a=sctp-port:5000',
    `a=mcp-framed:${framing}`,
    '',
  ].join('\r\n');
