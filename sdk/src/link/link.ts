import { type Hello, type MessageMeta, RendezvousError } from 'mcp-rendezvous-protocol';
import type { Engine, RtcDataChannel, RtcPeerConnection } from '../peer/engine.ts';
import type { JsonRpcMessage } from './message.ts';

export type { MessageMeta } from 'mcp-rendezvous-protocol';

export interface Carrier {
  readonly engine: { flush?(channel: Carrier['channel']): Promise<void> };
  readonly connection: Pick<RtcPeerConnection, 'connectionState' | 'onconnectionstatechange' | 'getStats' | 'close'>;
  /** The open and authenticated channel. */
  readonly channel: Pick<
    RtcDataChannel,
    | 'binaryType'
    | 'readyState'
    | 'bufferedAmount'
    | 'bufferedAmountLowThreshold'
    | 'send'
    | 'onmessage'
    | 'onclose'
    | 'onerror'
    | 'onbufferedamountlow'
  >;
  /** What arrived before there was a listener; the link takes it first. */
  readonly early: unknown[];
  /** The descriptions as they were sent: the proof of AUTH covers the fingerprints in them. */
  readonly localSdp: string;
  readonly remoteSdp: string;
  /** Of the relayed path, whose handshake is the proof. */
  readonly relayed?: RelayedHandshake;
}

export interface RtcCarrier extends Carrier {
  readonly engine: Engine;
  readonly connection: RtcPeerConnection;
  readonly channel: RtcDataChannel;
}

export interface RelayedHandshake {
  /** The HELLO that the answerer has sent inside of the handshake. */
  readonly hello?: Hello | undefined;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Set by the link: something has come, be it a part of a frame. */
  onheard?: (() => void) | undefined;
}

export interface Link {
  /** Called once per message, in the order in which the other peer sent them. */
  onmessage?: (message: JsonRpcMessage, meta?: MessageMeta) => void;
  /** An error that does not end the session. */
  onerror?: (error: RendezvousError) => void;
  /** Called once, with an error unless the session ended in order. */
  onclose?: (error?: RendezvousError) => void;
  send(message: JsonRpcMessage, meta?: MessageMeta): Promise<void>;
  /** Ends the session in order: what was sent before arrives. Idempotent. */
  close(): Promise<void>;
  /**
   * Ends the session at once, with this as `onclose`'s error.
   *
   * @param code told to the other side in framed mode: PROTOCOL.md §7, CLOSE. Default: the one of
   *   the error
   */
  end(error?: RendezvousError, code?: number): void;
}

export const closedError = (cause?: unknown): RendezvousError =>
  new RendezvousError('closed', 'The connection to the other peer is closed.', { cause });
