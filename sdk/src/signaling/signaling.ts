import type { ByeCode, CandidateInit } from 'mcp-rendezvous-protocol';

/**
 * What two peers tell each other to get connected. `gen` numbers the negotiation: PROTOCOL.md §6.
 */
export type SignalMessage =
  | { kind: 'offer' | 'answer'; gen: number; sdp: string }
  /** `more` only to a peer whose description says that it takes several at once. */
  | { kind: 'candidate'; gen: number; candidate: CandidateInit; more?: CandidateInit[] }
  | { kind: 'bye'; gen: number; code: ByeCode; message: string };

export type SignalingRole = 'offerer' | 'answerer';

/**
 * A two-way channel to exactly one other peer, by whatever means: the relay, a TCP socket, another
 * protocol's messages. It delivers in order. It may be lost at any time after the data channel is
 * open; the MCP session does not notice.
 */
export interface Signaling {
  /**
   * Opens the channel; called once. Rejects with a RendezvousError on failure, or if `close()` is
   * called meanwhile. `role` tells who speaks first, the offerer: a socket may listen in one role
   * and connect in the other.
   */
  start(role: SignalingRole): Promise<void>;
  /** Hands a message over. Rejects when the channel cannot take it any more. */
  send(message: SignalMessage): Promise<void>;
  /** Ends the channel; idempotent. */
  close(): Promise<void>;
  /** Set before `start()`. */
  onmessage?: ((message: SignalMessage) => void) | undefined;
  /** Called at most once: after `close()`, or with what ended the channel. */
  onclose?: ((error?: Error) => void) | undefined;
}
