import type { ByeCode, CandidateInit } from '../protocol/index.ts';

/** What two peers tell each other to get connected. `gen` numbers the negotiation: PROTOCOL.md §6. */
export type SignalMessage =
  | { kind: 'offer' | 'answer'; gen: number; sdp: string }
  | { kind: 'candidate'; gen: number; candidate: CandidateInit }
  | { kind: 'bye'; gen: number; code: ByeCode; message: string };

/**
 * A two-way channel to exactly one other peer, by whatever means: the relay, a TCP socket, another protocol's messages.
 * It delivers in order. It may be lost at any time after the data channel is open; the MCP session does not notice.
 */
export interface Signaling {
  /** Opens the channel. Rejects with a RendezvousError when that fails. Called once. */
  start(): Promise<void>;
  /** Hands a message over. Rejects when the channel cannot take it any more. */
  send(message: SignalMessage): Promise<void>;
  /** Ends the channel; idempotent. */
  close(): Promise<void>;
  /** Set before `start()`. */
  onmessage?: ((message: SignalMessage) => void) | undefined;
  /** Called at most once: after `close()`, or with what ended the channel. */
  onclose?: ((error?: Error) => void) | undefined;
}
