import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { Engine, RtcDataChannel, RtcPeerConnection } from '../peer/engine.ts';
import type { JsonRpcId, JsonRpcMessage } from './message.ts';

/** One connection, as a link uses it. */
export interface Carrier {
  readonly engine: Engine;
  readonly connection: RtcPeerConnection;
  /** The open and authenticated channel. */
  readonly channel: RtcDataChannel;
  /** What arrived before there was a listener; the link takes it first. */
  readonly early: unknown[];
  /** The descriptions as they were sent: the proof of AUTH covers the fingerprints in them. */
  readonly localSdp: string;
  readonly remoteSdp: string;
}

/** Metadata of a message, in framed mode only: PROTOCOL.md §7, DATA. */
export interface MessageMeta {
  /** The request to which the message belongs. */
  relatedRequestId?: JsonRpcId | undefined;
  /** HTTP header fields. */
  headers?: Record<string, string> | undefined;
}

/** One MCP session over data channels, in either mode. */
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
   * @param code told to the other side in framed mode: PROTOCOL.md §7, CLOSE. Default: the one of the error
   */
  end(error?: RendezvousError, code?: number): void;
}

export const closedError = (cause?: unknown): RendezvousError =>
  new RendezvousError('closed', 'The connection to the other peer is closed.', { cause });
