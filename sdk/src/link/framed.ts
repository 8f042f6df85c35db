import type { RendezvousError } from '../errors.ts';
import type { Carrier, Link, MessageMeta } from './link.ts';
import type { JsonRpcMessage } from './message.ts';

export interface FramedLinkOptions {
  /** Made the offer of the session's first connection. */
  offerer: boolean;
  /** The largest message in UTF-8 bytes that this side takes. */
  maxMessageBytes: number;
  /** The end-to-end secret; without one the other side must have none either. */
  secret?: string | undefined;
}

/** Framed mode (PROTOCOL.md §7, §8): one session over a succession of channels. */
export class FramedLink implements Link {
  onmessage?: (message: JsonRpcMessage, meta?: MessageMeta) => void;
  onerror?: (error: RendezvousError) => void;
  /** The connection under the session looks dead: its channel closed without a CLOSE, it failed, or nothing came for 8 s. Once per loss. */
  onlost?: (reason: RendezvousError) => void;
  /** After `onlost`: the same connection is alive again, or a new one was attached. */
  onfound?: () => void;
  onclose?: (error?: RendezvousError) => void;

  /** @throws RendezvousError `bad_option`: a secret needs Web Crypto, which a page has in a secure context only. */
  constructor(_options: FramedLinkOptions) {}

  /** The session's name; known after the first `attach()`. */
  get session(): string | undefined {
    return undefined;
  }

  /** A new connection can take over: both sides can prove that they were there before. */
  get resumable(): boolean {
    return false;
  }

  /** Milliseconds that the last PING took. */
  get roundTripMs(): number | undefined {
    return undefined;
  }

  /**
   * Takes a connected channel: HELLO, AUTH, and what the other side has not received. Set the handlers before: they may be called
   * before this resolves. Rejects and closes the new connection when the handshake fails (`secret_mismatch`, `bad_channel`, …, the
   * signal's reason); an older one is left as it was. If there is none, the link is closed then, without `onclose`.
   */
  async attach(_carrier: Carrier, _signal?: AbortSignal): Promise<void> {}

  async send(_message: JsonRpcMessage, _meta?: MessageMeta): Promise<void> {}

  /** Asks now whether the connection stands: something must come within `withinMs`, or `onlost` is called. */
  probe(_withinMs: number): void {}

  async close(): Promise<void> {}

  /** @param _code told to the other side, if that is possible: PROTOCOL.md §7, CLOSE. */
  end(_error?: RendezvousError, _code?: number): void {}
}
