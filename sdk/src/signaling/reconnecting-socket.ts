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
import { RelaySocket, type SocketEnd } from './relay-socket.ts';
import { SocketRace } from './socket-race.ts';
import type { WebSocketConstructor } from './web-socket.ts';

const joinTimeoutMs = 10_000;
/** Fresh tokens in a row that the relay may refuse before this gives up. */
const tokenAttempts = 2;
/**
 * So many failures in a row are looked into, which takes a connection more: not the first one,
 * because all peers of a relay that restarts have that, and not all, because it may be overloaded.
 */
const lookedInto = 3;
/**
 * Attempts of the first join while nothing answers: a wrong address is reported within about two
 * seconds.
 */
export const firstAttempts = 3;
/** A socket that stood so long has lasted. */
const lastingMs = 10_000;
/** The step of the backoff for who is in a hurry: at most 1 s. */
const hurriedStep = 1;

export interface ReconnectingSocketHandlers {
  /** What the next socket begins with. */
  join(token: string): JoinFrame;
  /**
   * Whether the relay rejected the form of the `join` and another form exists, which is sent at
   * once.
   */
  otherForm(error: RendezvousError): boolean;
  joined(frame: JoinedFrame): void;
  frame(frame: FrameFromRelay): void;
  data(frame: Uint8Array): void;
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
  /** While no socket of an attempt stands. */
  #race: SocketRace<RelaySocket> | undefined;
  #socket: RelaySocket | undefined;
  #adoptedAt = 0;
  #rejoining = false;
  /** Sockets in a row that did not last. */
  #brief = 0;

  /** @param closing ends everything except the open socket, which `leave()` ends */
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

  get ageMs(): number {
    return performance.now() - this.#adoptedAt;
  }

  /** False if no socket can send the frame, which is then dropped. */
  send(frame: FrameToRelay): boolean {
    return this.#socket?.send(frame) === true;
  }

  sendData(frame: Uint8Array<ArrayBuffer>): boolean {
    return this.#socket?.sendData(frame) === true;
  }

  /** Bytes that the socket has taken and that have not left this machine. */
  get unsentBytes(): number {
    return this.#socket?.unsentBytes ?? 0;
  }

  /**
   * Joins repeatedly until it succeeds, the relay rejects it for good, or `attempts` attempts got
   * no answer. A relay to which a socket has stood once is waited for without a limit.
   *
   * @param signal ends the attempts, and the one that is under way
   * @param needless ends them unless a socket is open and has said `join`
   */
  async join(signal: AbortSignal, attempts = Number.POSITIVE_INFINITY, needless: AbortSignal = signal): Promise<void> {
    const isNeedless = () => needless.aborted && !signal.aborted;
    let refusedTokens = 0;
    let reached = false;
    let last: RendezvousError | undefined;
    for (let attempt = 0; ; attempt++) {
      try {
        const token = await this.#credential.forJoin(signal);
        const deadline = AbortSignal.any([signal, AbortSignal.timeout(joinTimeoutMs)]);
        const socket = await this.#open(deadline, needless === signal ? undefined : needless);
        if (needless.aborted) return socket.close();
        reached = true;
        // Asked for when the socket is open: there may be more to say by then.
        await socket.join(this.#handlers.join(token), deadline, (joined) => this.#adopt(socket, joined));
        return;
      } catch (thrown) {
        if (isNeedless()) return;
        // After a timeout, the error of the last attempt explains more.
        if (signal.aborted) throw isTimeout(signal.reason) ? (last ?? endOf(thrown).error) : signal.reason;
        const { verdict, ...end } = endOf(thrown);
        let { error } = end;
        if (attempt + 1 === Math.min(attempts, lookedInto)) {
          error = await this.#explain(error, signal);
          if (signal.aborted) throw isTimeout(signal.reason) ? error : signal.reason;
        }
        last = error;
        if (this.#handlers.otherForm(error)) continue;
        if (verdict === 'give_up') throw error;
        if (verdict === 'new_token' && (this.#credential.fixed || ++refusedTokens >= tokenAttempts)) throw error;
        // A relay that answers and asks for a retry is waited for, and so is one whose socket stood
        // before it was lost. An unreachable URL, or a backend without a token, is retried only by
        // a peer that has been in the room.
        const nobody = error.code === 'token_unavailable' || (error.code === 'relay_unreachable' && !reached);
        if (nobody && attempt + 1 >= attempts) throw error;
        this.#handlers.failed(error);
      }
      try {
        await this.#pause(backoffMs(attempt), AbortSignal.any([signal, needless]));
      } catch (reason) {
        if (isNeedless()) return;
        throw isTimeout(reason) ? last : reason;
      }
    }
  }

  /** The relay is draining: another socket opens after a pause, and this one serves until then. */
  move(afterMs: number): void {
    void this.#rejoin(wait(afterMs, this.#closing), this.#socket);
  }

  /**
   * The token expires in so many milliseconds by the clock of the relay: a fresh one is sent, if
   * available.
   */
  refreshToken(endsInMs: number): void {
    const send = (token: string) => this.send({ type: 'token', token });
    this.#credential.refresh(endsInMs, send, this.#closing).catch((thrown) => {
      if (this.#closing.aborted) return;
      this.#handlers.failed(toRendezvousError(thrown, 'token_unavailable', 'Refreshing the token failed.'));
    });
  }

  /**
   * The network has changed, or the machine woke up, or a session has no path: a pending socket
   * opens at once, another one beside one that has been opening for a while, and an open one has
   * 2 s to prove that it works. Unless it does so soon, another one takes its place.
   */
  retryNow(): void {
    this.#hurry.abort();
    this.#hurry = new AbortController();
    this.#race?.another();
    this.#socket?.ask();
  }

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
    socket.ondata = (frame) => this.#handlers.data(frame);
    socket.onend = (end) => this.#lost(socket, end);
    socket.onslow = (answered) => void this.#rejoin(Promise.resolve(), socket, answered);
    this.#handlers.joined(joined);
  }

  #lost(socket: RelaySocket, { error, verdict }: SocketEnd): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    if (verdict === 'give_up' || (verdict === 'new_token' && this.#credential.fixed)) {
      return this.#handlers.ended(error);
    }
    // A relay that accepts the join and closes at once must not be flooded.
    this.#brief = this.ageMs < lastingMs ? this.#brief + 1 : 0;
    const hurry = this.#hurry;
    this.#handlers.lost(error);
    // Who has no other path is in a hurry at once. So are all others of a relay that has gone: a
    // pause it is, but a short one.
    const step = this.#hurry === hurry ? this.#brief : Math.min(this.#brief, hurriedStep);
    void this.#rejoin(this.#pause(backoffMs(step), this.#closing));
  }

  /** @param needless see {@link join} */
  async #rejoin(pause: Promise<void>, replaced?: RelaySocket, needless = this.#closing): Promise<void> {
    try {
      await pause;
      if (this.#rejoining || this.#socket !== replaced) return;
      this.#rejoining = true;
      await this.join(this.#closing, undefined, needless).finally(() => {
        this.#rejoining = false;
      });
    } catch (thrown) {
      this.#handlers.ended(endOf(thrown).error);
    }
  }

  /** @param needless absent unless there is a socket already, which does not answer */
  async #open(signal: AbortSignal, needless: AbortSignal | undefined): Promise<RelaySocket> {
    needless?.throwIfAborted();
    const race = new SocketRace((own, isFirst) =>
      RelaySocket.open(this.#url, AbortSignal.any([signal, own]), this.#webSocket, needless !== undefined || !isFirst),
    );
    this.#race = race;
    const end = () => race.end(needless?.reason);
    needless?.addEventListener('abort', end, { once: true });
    try {
      return await race.first;
    } finally {
      needless?.removeEventListener('abort', end);
      this.#race = undefined;
    }
  }

  /** The application's own WebSocket may know ways that this process does not. */
  async #explain(error: RendezvousError, signal: AbortSignal): Promise<RendezvousError> {
    const isKnown = error.code !== 'relay_unreachable' || error.detail !== undefined;
    return isKnown || this.#webSocket
      ? error
      : await RelaySocket.explain(this.#url, error, AbortSignal.any([signal, this.#hurry.signal]));
  }

  async #pause(milliseconds: number, signal: AbortSignal): Promise<void> {
    const hurry = this.#hurry.signal;
    await wait(milliseconds, AbortSignal.any([signal, hurry])).catch(() => signal.throwIfAborted());
  }
}

/**
 * What RelaySocket.join rejects with is a SocketEnd; whatever else is thrown on the way is no
 * verdict of the relay's.
 */
function endOf(thrown: unknown): SocketEnd {
  if (typeof thrown === 'object' && thrown !== null && 'verdict' in thrown) return thrown as SocketEnd;
  const error = toRendezvousError(thrown, 'relay_unreachable', 'Connecting to the relay failed.');
  return {
    error,
    verdict: error.retryable ? 'come_back' : 'give_up',
  };
}

const isTimeout = (reason: unknown): boolean => reason instanceof RendezvousError && reason.code === 'connect_timeout';
