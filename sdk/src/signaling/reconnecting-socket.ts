import {
  type FrameFromRelay,
  type FrameToRelay,
  type JoinedFrame,
  type JoinFrame,
  RendezvousError,
  toRendezvousError,
} from 'mcp-rendezvous-protocol';
import { backoffMs } from './backoff.ts';
import { wait } from '../util/abort.ts';
import type { TokenProvider } from './token-provider.ts';
import { RelaySocket, type SocketEnd, type WebSocketConstructor } from './relay-socket.ts';

const joinTimeoutMs = 10_000;
/** Fresh tokens in a row that the relay may refuse before this gives up. */
const tokenAttempts = 2;
/** A socket that stood so long has lasted. */
const lastingMs = 10_000;

export interface ReconnectingSocketHandlers {
  /** What the next socket begins with. */
  join(token: string): JoinFrame;
  /** Whether the relay refused the form of the `join`, and there is another one: that is sent at once. */
  otherForm(error: RendezvousError): boolean;
  joined(frame: JoinedFrame): void;
  frame(frame: FrameFromRelay): void;
  /** The socket is lost, and another one is to come. */
  lost(error: RendezvousError): void;
  /** Joining or refreshing the token failed, and there will be another attempt. */
  failed(error: RendezvousError): void;
  /** No socket will follow: the relay's verdict is final, or `closing` has fired. */
  ended(error: RendezvousError): void;
}

/** The line to the relay: one socket after another, with full-jitter backoff in between. */
export class ReconnectingSocket {
  readonly #url: URL;
  readonly #credential: TokenProvider;
  readonly #webSocket: WebSocketConstructor | undefined;
  readonly #closing: AbortSignal;
  readonly #handlers: ReconnectingSocketHandlers;
  /** Ends the waits before further attempts. */
  #hurry = new AbortController();
  #socket: RelaySocket | undefined;
  #adoptedAt = 0;
  #rejoining = false;
  /** Sockets in a row that did not last. */
  #brief = 0;

  /** @param closing ends everything but the socket that stands: that one `leave()` ends */
  constructor(
    url: URL,
    credential: TokenProvider,
    closing: AbortSignal,
    handlers: ReconnectingSocketHandlers,
    webSocket?: WebSocketConstructor,
  ) {
    this.#url = url;
    this.#webSocket = webSocket;
    this.#credential = credential;
    this.#closing = closing;
    this.#handlers = handlers;
  }

  /** How old the latest socket is, in milliseconds. */
  get ageMs(): number {
    return performance.now() - this.#adoptedAt;
  }

  /** False when there is no socket that takes a frame: nobody keeps it. */
  send(frame: FrameToRelay): boolean {
    return this.#socket?.send(frame) === true;
  }

  /** Joins, again and again: until it stands, the verdict is final, or (with `attempts`) nothing answered so many times. */
  async join(signal: AbortSignal, attempts = Number.POSITIVE_INFINITY): Promise<void> {
    let refusedTokens = 0;
    let last: RendezvousError | undefined;
    for (let attempt = 0; ; attempt++) {
      try {
        const token = await this.#credential.forJoin(signal);
        const deadline = AbortSignal.any([signal, AbortSignal.timeout(joinTimeoutMs)]);
        const join = () => this.#handlers.join(token);
        const adopt = (socket: RelaySocket, joined: JoinedFrame) => this.#adopt(socket, joined);
        await RelaySocket.join(this.#url, join, deadline, adopt, this.#webSocket);
        return;
      } catch (thrown) {
        // Out of time: what kept it from joining says more than that.
        if (signal.aborted) throw isTimeout(signal.reason) ? (last ?? endOf(thrown).error) : signal.reason;
        const { error, verdict } = endOf(thrown);
        last = error;
        if (this.#handlers.otherForm(error)) continue;
        if (verdict === 'give_up') throw error;
        if (verdict === 'new_token' && (this.#credential.fixed || ++refusedTokens >= tokenAttempts)) throw error;
        // A relay that is up and asks to come back later is waited for; an address where nobody answers, or a backend that
        // has no token, only by a peer that was in the room before.
        const nobody = error.code === 'relay_unreachable' || error.code === 'token_unavailable';
        if (nobody && attempt + 1 >= attempts) throw error;
        this.#handlers.failed(error);
      }
      await this.#pause(backoffMs(attempt), signal).catch((reason) => {
        throw isTimeout(reason) ? last : reason;
      });
    }
  }

  /** The relay is about to go: another socket is opened after a while; until then this one serves. */
  move(afterMs: number): void {
    void this.#rejoin(wait(afterMs, this.#closing), this.#socket);
  }

  /** The relay announces the end of the token, in seconds since 1970: another one is sent, if there is one. */
  refreshToken(expiresAt: number): void {
    const send = (token: string) => this.send({ type: 'token', token });
    this.#credential.refresh(expiresAt, send, this.#closing).catch((thrown) => {
      if (this.#closing.aborted) return;
      this.#handlers.failed(toRendezvousError(thrown, 'token_unavailable', 'Refreshing the token failed.'));
    });
  }

  /**
   * The network has changed, or the machine woke up: a socket that is to come is opened at once, and one that stands has 5 s to
   * show that it still does.
   */
  retryNow(): void {
    this.#hurry.abort();
    this.#hurry = new AbortController();
    this.#socket?.ask();
  }

  /** Leaves the room. */
  leave(): void {
    this.send({ type: 'leave' });
    this.#socket?.close();
  }

  #adopt(socket: RelaySocket, joined: JoinedFrame): void {
    const before = this.#socket;
    this.#socket = socket;
    this.#adoptedAt = performance.now();
    before?.close();
    if (this.#closing.aborted) return socket.close();
    socket.onframe = (frame) => this.#handlers.frame(frame);
    socket.onend = (end) => this.#lost(socket, end);
    this.#handlers.joined(joined);
  }

  #lost(socket: RelaySocket, { error, verdict }: SocketEnd): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    if (verdict === 'give_up' || (verdict === 'new_token' && this.#credential.fixed)) {
      return this.#handlers.ended(error);
    }
    // A relay that takes the join and closes at once is not hammered.
    this.#brief = this.ageMs < lastingMs ? this.#brief + 1 : 0;
    this.#handlers.lost(error);
    void this.#rejoin(this.#pause(backoffMs(this.#brief), this.#closing));
  }

  /** Opens another socket after a pause, in place of one that was lost or is about to be. */
  async #rejoin(pause: Promise<void>, replaced?: RelaySocket): Promise<void> {
    try {
      await pause;
      if (this.#rejoining || this.#socket !== replaced) return;
      this.#rejoining = true;
      await this.join(this.#closing).finally(() => {
        this.#rejoining = false;
      });
    } catch (thrown) {
      this.#handlers.ended(endOf(thrown).error);
    }
  }

  /** Waits before another attempt, unless there is a reason to hurry. */
  async #pause(milliseconds: number, signal: AbortSignal): Promise<void> {
    const hurry = this.#hurry.signal;
    await wait(milliseconds, AbortSignal.any([signal, hurry])).catch(() => signal.throwIfAborted());
  }
}

/** What RelaySocket.join rejects with is a SocketEnd; whatever else is thrown on the way is no verdict of the relay's. */
function endOf(thrown: unknown): SocketEnd {
  if (typeof thrown === 'object' && thrown !== null && 'verdict' in thrown) return thrown as SocketEnd;
  const error = toRendezvousError(thrown, 'relay_unreachable', 'Connecting to the relay failed.');
  return {
    error,
    verdict: error.retryable ? 'come_back' : 'give_up',
  };
}

const isTimeout = (reason: unknown): boolean => reason instanceof RendezvousError && reason.code === 'connect_timeout';
