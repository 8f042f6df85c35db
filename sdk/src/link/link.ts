import { RendezvousError } from '../errors.ts';
import type { Engine, RtcDataChannel, RtcPeerConnection } from '../peer/engine.ts';
import type { JsonRpcId, JsonRpcMessage } from './message.ts';

/** What a link needs of one connection. */
export interface Carrier {
  readonly engine: Engine;
  readonly connection: RtcPeerConnection;
  /** Open and authenticated. */
  readonly channel: RtcDataChannel;
  /** What arrived before anyone listened; the link takes it first. */
  readonly early: unknown[];
  /** The descriptions as they travelled: the fingerprints in them are part of the proof that nobody sits in between. */
  readonly localSdp: string;
  readonly remoteSdp: string;
}

/** What travels beside a message, in framed mode only: PROTOCOL.md §7, DATA. */
export interface MessageMeta {
  /** The request to which the message belongs. */
  relatedRequestId?: JsonRpcId | undefined;
  /** HTTP header fields. */
  headers?: Record<string, string> | undefined;
}

/** One MCP session over data channels: what a transport uses of it, in either mode. */
export interface Link {
  /** In the order in which the other side sent them, each one once. */
  onmessage?: (message: JsonRpcMessage, meta?: MessageMeta) => void;
  /** Something went wrong that does not end the session. */
  onerror?: (error: RendezvousError) => void;
  /** Called once: with the error if it was not an orderly end. */
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
