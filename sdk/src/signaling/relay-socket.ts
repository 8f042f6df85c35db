// The package's `imports` choose the file for Node or for browsers.
import { platformWebSocket } from '#web-socket';
import {
  closeCodes,
  codeOf,
  connectPath,
  type FrameFromRelay,
  frameFromRelay,
  type FrameToRelay,
  isRelayErrorCode,
  type JoinedFrame,
  type JoinFrame,
  nestsDeeperThan,
  rendezvousError,
  RendezvousError,
  subprotocol,
  type Verdict,
  verdictOf,
} from 'mcp-rendezvous-protocol';
import { proxyObstacle, silent, unreachable } from './relay-obstacle.ts';
import type { SocketOpener, WebSocketConstructor } from './web-socket.ts';

/** Why a socket to the relay ended, and what PROTOCOL.md §5 says to do about it. */
export interface SocketEnd {
  error: RendezvousError;
  verdict: Verdict;
}

/** A socket that is silent for this long is probed, in milliseconds. */
const quietMs = 12_000;
/**
 * Time to answer a probe, in milliseconds. The sum of both is how long a dead connection stays
 * unnoticed.
 */
const answerMs = 8_000;
/** Time to answer a probe after an event that sockets rarely survive, in milliseconds. */
const answerSoonMs = 2_000;
/** Another socket opens beside one that does not answer such a probe within this time. */
const answerAtOnceMs = 400;
/**
 * What came while this process stood still (a suspended machine, a long task) is read after its
 * timers, within this time.
 */
const readingMs = 50;
/** What the relay has to close its side. */
const closingMs = 2_000;
type CheckedFrame = Extract<FrameFromRelay, { type: 'checked' }>;

/** By this name Node lets go of what keeps a process alive; WebSocket has it from Node 26 on. */
const unref: unique symbol = Symbol.for('nodejs.unref');

/** WebSocket.OPEN and CLOSED, of whichever class: Node loads all of fetch to name its own. */
const open = 1;
const closed = 3;
/** What a socket that cannot be opened is closed with (RFC 6455 §7.1.5). */
const failedToOpen = 1006;

/**
 * One WebSocket to the relay, from its join to its close. A connection that comes back uses several
 * of them.
 */
export class RelaySocket {
  onframe?: (frame: FrameFromRelay) => void;
  ondata?: (frame: Uint8Array) => void;
  onend?: (end: SocketEnd) => void;
  /**
   * The socket does not answer at once when it should.
   *
   * @param answered fires when it does after all
   */
  onslow?: (answered: AbortSignal) => void;
  readonly #url: URL;
  readonly #socket: WebSocket;
  #ended: SocketEnd | undefined;
  #reported: { code: string; message: string } | undefined;
  readonly #proxy: string | undefined;
  #opened = false;
  /** Why the socket failed, where the platform tells. */
  #failure: Error | undefined;
  #heardAt = performance.now();
  #heard = 0;
  /** When an answer has to be there; infinite while nothing is asked. */
  #answerBy = Number.POSITIVE_INFINITY;
  #watch: ReturnType<typeof setTimeout> | undefined;
  #slow: ReturnType<typeof setTimeout> | undefined;
  #answered = new AbortController();

  private constructor(url: URL, { webSocket, proxy }: SocketOpener) {
    this.#url = url;
    this.#proxy = proxy;
    this.#socket = new webSocket(url, subprotocol);
    this.#socket.binaryType = 'arraybuffer';
    this.#socket.addEventListener('message', (event) => this.#receive(event.data));
    this.#socket.addEventListener('error', ({ error }: Event & { error?: unknown }) => {
      if (error instanceof Error) this.#failure = error;
      // Node 22.18 fires no `close` for a socket that was never open.
      if (!this.#opened) this.#end(this.#endOf(failedToOpen));
    });
    this.#socket.addEventListener('open', () => (this.#opened = true));
    this.#socket.addEventListener('close', (event) => {
      clearTimeout(this.#watch);
      this.#end(this.#endOf(event.code));
    });
  }

  /**
   * Opens a socket. Rejects with a SocketEnd when that fails, or when `signal` fires.
   *
   * @param webSocket the application's own class; undefined: the platform's
   * @param beside one that hangs: it shares nothing with that
   */
  static async open(
    url: URL,
    signal: AbortSignal,
    webSocket: WebSocketConstructor | undefined,
    beside: boolean,
  ): Promise<RelaySocket> {
    const opener = webSocket ? { webSocket } : await platformWebSocket(url, beside);
    const relay = RelaySocket.#open(url, opener);
    await relay.#until(signal, (resolve) => relay.#socket.addEventListener('open', resolve));
    return relay;
  }

  /**
   * Joins on a socket that is open. Rejects with a SocketEnd when that fails, or when `signal`
   * fires.
   *
   * @param adopt sets the handlers, within the turn in which `joined` came: the next frame may be
   *   right behind it
   */
  async join(frame: JoinFrame, signal: AbortSignal, adopt: (joined: JoinedFrame) => void): Promise<void> {
    await this.#until(signal, (resolve) => {
      this.onframe = (answer) => {
        if (answer.type !== 'joined') return;
        this.#listen();
        adopt(answer);
        resolve();
      };
      this.send(frame);
    });
  }

  /**
   * Asks what a peer with this token is told when it joins, and does not join. Rejects as `join`
   * does; with `unknown_type` where the relay is of an earlier version.
   */
  static async check(url: URL, token: string, signal: AbortSignal): Promise<CheckedFrame> {
    const relay = await RelaySocket.open(url, signal, undefined, false);
    const { promise, resolve } = Promise.withResolvers<CheckedFrame>();
    await relay.#until(signal, (answered) => {
      relay.onframe = (frame) => {
        if (frame.type !== 'checked') return;
        resolve(frame);
        answered();
      };
      relay.send({ type: 'check', token });
    });
    relay.#close();
    return await promise;
  }

  /** Waits for something that ends the wait. Rejects with a SocketEnd when the socket ends. */
  async #until(signal: AbortSignal, begin: (resolve: () => void) => void): Promise<void> {
    const abort = () => this.#end({ error: this.#abortError(signal), verdict: 'come_back' });
    try {
      await new Promise<void>((resolve, reject) => {
        this.onend = reject;
        if (this.#ended) return this.onend(this.#ended);
        begin(resolve);
        if (signal.aborted) abort();
        else signal.addEventListener('abort', abort, { once: true });
      });
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  static #open(url: URL, opener: SocketOpener): RelaySocket {
    try {
      return new RelaySocket(url, opener);
    } catch (cause) {
      if ((cause as Error).name !== 'SecurityError') throw cause;
      throw new RendezvousError(
        'relay_unreachable',
        `The browser does not let this page open ${url.origin}: a page that was loaded over https: needs a wss: relay.`,
        { detail: 'mixed_content', cause },
      );
    }
  }

  /**
   * The same error with its reason, where the platform can find it: that takes another connection
   * to the relay's address.
   */
  static async explain(url: URL, error: RendezvousError, signal: AbortSignal): Promise<RendezvousError> {
    const { findObstacle, proxy } = await platformWebSocket(url);
    const obstacle = await findObstacle?.(url, signal);
    return obstacle ? unreachable(url, proxy, obstacle) : error;
  }

  /** False when the socket cannot take a frame any more. */
  send(frame: FrameToRelay): boolean {
    if (this.#ended || this.#socket.readyState !== open) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  sendData(frame: Uint8Array<ArrayBuffer>): boolean {
    if (this.#ended || this.#socket.readyState !== open) return false;
    this.#socket.send(frame);
    return true;
  }

  /** Bytes that were sent and have not left this machine. */
  get unsentBytes(): number {
    return this.#socket.bufferedAmount;
  }

  /** Asks at once whether the socket still stands, and ends it when no answer comes soon. */
  ask(): void {
    if (this.#ended || this.#answerBy <= performance.now() + answerSoonMs) return;
    this.#ask(answerSoonMs);
    clearTimeout(this.#slow);
    this.#slow = setTimeout(() => this.onslow?.(this.#answered.signal), answerAtOnceMs);
  }

  /** Closes without `onend`. */
  close(): void {
    delete this.onend;
    this.#end({ error: new RendezvousError('closed', 'Closed.'), verdict: 'give_up' });
  }

  /**
   * The pings of the relay are invisible in a page and stop when the network is down, so this side
   * probes as well.
   */
  #listen(): void {
    this.#answerBy = Number.POSITIVE_INFINITY;
    const quiet = performance.now() - this.#heardAt;
    if (quiet < quietMs) this.#watch = setTimeout(() => this.#listen(), quietMs - quiet);
    else this.#ask(answerMs);
  }

  #ask(withinMs: number): void {
    clearTimeout(this.#watch);
    const heard = this.#heard;
    this.#answerBy = performance.now() + withinMs;
    this.send({ type: 'ping' });
    const over = () => {
      if (this.#heard !== heard) return this.#listen();
      const error = new RendezvousError('ping_timeout', 'The relay stopped answering.', { retryable: true });
      this.#end({ error, verdict: 'come_back' });
    };
    this.#watch = setTimeout(() => (this.#watch = setTimeout(over, readingMs)), withinMs);
  }

  #receive(data: unknown): void {
    if (this.#ended) return;
    this.#heardAt = performance.now();
    this.#heard++;
    // The probe is answered, and a new reason starts a new probe.
    if (this.#answerBy !== Number.POSITIVE_INFINITY) this.#hasAnswered();
    if (data instanceof ArrayBuffer) return this.ondata?.(new Uint8Array(data));
    const frame = parseFrame(data);
    // A frame of a type that this version does not know is ignored: PROTOCOL.md §9.
    if (!frame) return;
    if (frame.type === 'error') this.#failed(frame);
    else this.onframe?.(frame);
  }

  #hasAnswered(): void {
    this.#answerBy = Number.POSITIVE_INFINITY;
    clearTimeout(this.#slow);
    this.#answered.abort();
    this.#answered = new AbortController();
  }

  /**
   * The relay closes the socket right after an error. A known code is final without waiting for
   * that.
   */
  #failed(error: { code: string; message: string }): void {
    this.#reported = error;
    if (isRelayErrorCode(error.code)) this.#end(this.#endOf(closeCodes[error.code]));
  }

  #end(end: SocketEnd): void {
    if (this.#ended) return;
    this.#ended = end;
    clearTimeout(this.#watch);
    clearTimeout(this.#slow);
    if (this.#socket.readyState !== closed) this.#close();
    this.onend?.(end);
  }

  /** A relay that hangs does not close its side, which must not keep an idle process alive. */
  #close(): void {
    const socket: WebSocket & { [unref]?: () => void } = this.#socket;
    this.#watch = setTimeout(() => socket[unref]?.(), closingMs);
    socket.close();
  }

  #endOf(closeNumber: number): SocketEnd {
    const verdict = verdictOf(closeNumber);
    const reported = this.#reported;
    const code = reported && isRelayErrorCode(reported.code) ? reported.code : codeOf(closeNumber);
    if (code === undefined && (reported || (closeNumber >= 4400 && closeNumber <= 4499))) {
      const message =
        `The relay closed the connection with an unknown code (${reported?.code ?? closeNumber}).` +
        (reported ? ` Its message: ${reported.message}` : '');
      return {
        verdict,
        error: new RendezvousError('signaling_failed', message, { retryable: verdict === 'come_back' }),
      };
    }
    if (code === undefined) return { verdict, error: this.#unreachable(closeNumber) };
    const message = reported?.message ?? `The relay closed the connection: ${code}.`;
    return { verdict, error: rendezvousError(code, message, { retryable: verdict === 'come_back' }) };
  }

  /**
   * Out of time, the application's or this socket's own: the relay did not answer. Other aborts
   * have a reason of their own.
   */
  #abortError({ reason }: AbortSignal): RendezvousError {
    if (reason instanceof RendezvousError && reason.code !== 'connect_timeout') return reason;
    return silent(this.#url, this.#proxy);
  }

  /** What kept the socket from standing, as far as it tells. */
  #unreachable(closeNumber: number): RendezvousError {
    const cause = this.#failure;
    if (cause?.name === 'ProxyError') return unreachable(this.#url, this.#proxy, proxyObstacle(cause));
    const why = this.#proxy !== undefined && cause ? cause.message : `WebSocket close ${closeNumber}`;
    return unreachable(this.#url, this.#proxy, {
      seen: this.#opened ? `the connection was lost (${why})` : `the WebSocket does not open (${why})`,
      advice: 'Check the URL and that the relay is running',
      cause,
    });
  }
}

/** PROTOCOL.md §3: a frame has at most 64 levels. The relay may wrap what it was sent once more. */
const maxFrameLevels = 80;

function parseFrame(data: unknown): FrameFromRelay | undefined {
  if (typeof data !== 'string' || nestsDeeperThan(data, maxFrameLevels)) return undefined;
  try {
    return frameFromRelay.safeParse(JSON.parse(data)).data;
  } catch {
    return undefined; // not JSON, so not a relay of this protocol
  }
}

/**
 * The address of the relay's WebSocket, from what people write: `wss://relay.example`, or with
 * `https:` or a path before it.
 *
 * @throws RendezvousError `bad_option`
 */
export function connectUrl(relay: string | URL): URL {
  let url: URL;
  try {
    url = new URL(relay);
  } catch (cause) {
    throw badAddress(cause);
  }
  if (url.protocol === 'http:') url.protocol = 'ws:';
  if (url.protocol === 'https:') url.protocol = 'wss:';
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:') throw badAddress();
  if (url.username || url.password || url.search || url.hash) {
    throw new RendezvousError(
      'bad_option',
      'relay must not contain a user, query or fragment, because URLs are logged.',
    );
  }
  if (!url.pathname.endsWith(connectPath)) url.pathname = url.pathname.replace(/\/?$/, connectPath);
  return url;
}

// The URL itself is not quoted, because it may contain secrets.
const badAddress = (cause?: unknown): RendezvousError =>
  new RendezvousError('bad_option', 'relay must be a URL such as wss://relay.example.', { cause });
