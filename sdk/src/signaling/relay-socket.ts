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

/** A class with the interface of the platform's WebSocket (https://websockets.spec.whatwg.org/). */
export type WebSocketConstructor = new (url: URL, protocols: string) => WebSocket;

/** Why a socket to the relay ended, and what PROTOCOL.md §5 says to do about it. */
export interface SocketEnd {
  error: RendezvousError;
  verdict: Verdict;
}

/** A socket that brought nothing for so long is asked whether it still stands … */
const quietMs = 12_000;
/** … and has so long to answer. Together: how long a connection that died without a word goes unnoticed. */
const answerMs = 8_000;
/** The same for one that is asked out of turn: something has happened that sockets do not survive, or hardly. */
const answerSoonMs = 5_000;
/** What the relay has to close its side. */
const closingMs = 2_000;
/** By this name Node lets go of what keeps a process alive; WebSocket has it from Node 26 on. */
const unref: unique symbol = Symbol.for('nodejs.unref');

/** WebSocket.OPEN, of whichever class. */
const open = 1;

/** One WebSocket to the relay, from its join to its close. A connection that comes back uses several of them. */
export class RelaySocket {
  onframe?: (frame: FrameFromRelay) => void;
  onend?: (end: SocketEnd) => void;
  readonly #url: URL;
  readonly #socket: WebSocket;
  #ended: SocketEnd | undefined;
  #reported: { code: string; message: string } | undefined;
  #heardAt = performance.now();
  /** Frames that came. */
  #heard = 0;
  /** When an answer has to be there; infinite while nothing is asked. */
  #answerBy = Number.POSITIVE_INFINITY;
  #watch: ReturnType<typeof setTimeout> | undefined;

  private constructor(url: URL, webSocket: WebSocketConstructor) {
    this.#url = url;
    this.#socket = new webSocket(url, subprotocol);
    this.#socket.addEventListener('message', (event) => this.#receive(event.data));
    this.#socket.addEventListener('close', (event) => {
      clearTimeout(this.#watch);
      this.#end(this.#endOf(event.code));
    });
  }

  /**
   * Opens a socket and joins. Rejects with a SocketEnd when either fails, or when `signal` fires.
   *
   * @param join asked for when the socket is open: there may be more to say by then
   * @param adopt sets the handlers, within the turn in which `joined` came: the next frame may be right behind it
   */
  static async join(
    url: URL,
    join: () => JoinFrame,
    signal: AbortSignal,
    adopt: (socket: RelaySocket, joined: JoinedFrame) => void,
    // Looked up at each call: a page may replace it.
    webSocket: WebSocketConstructor = WebSocket,
  ): Promise<void> {
    const relay = new RelaySocket(url, webSocket);
    const abort = () => relay.#end({ error: abortError(signal, url), verdict: 'come_back' });
    try {
      await new Promise<void>((resolve, reject) => {
        relay.onend = reject;
        relay.onframe = (frame) => {
          if (frame.type !== 'joined') return;
          relay.#listen();
          adopt(relay, frame);
          resolve();
        };
        relay.#socket.addEventListener('open', () => relay.send(join()));
        if (signal.aborted) abort();
        else signal.addEventListener('abort', abort, { once: true });
      });
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** False when the socket cannot take a frame any more. */
  send(frame: FrameToRelay): boolean {
    if (this.#ended || this.#socket.readyState !== open) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** Asks at once whether the socket still stands, and ends it when no answer comes soon. */
  ask(): void {
    if (!this.#ended && this.#answerBy > performance.now() + answerSoonMs) this.#ask(answerSoonMs);
  }

  /** Closes without `onend`. */
  close(): void {
    delete this.onend;
    this.#end({ error: new RendezvousError('closed', 'Closed.'), verdict: 'give_up' });
  }

  /** The relay's own pings are invisible in a page, and do not come at all when the network is gone: so this side asks too. */
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
    this.#watch = setTimeout(() => {
      if (this.#heard !== heard) return this.#listen();
      const error = new RendezvousError('ping_timeout', 'The relay does not answer any more.', { retryable: true });
      this.#end({ error, verdict: 'come_back' });
    }, withinMs);
  }

  #receive(data: unknown): void {
    if (this.#ended) return;
    this.#heardAt = performance.now();
    this.#heard++;
    this.#answerBy = Number.POSITIVE_INFINITY; // what was asked is answered: another reason to ask is another question
    const frame = parseFrame(data);
    // A frame of a type that this version does not know is ignored: PROTOCOL.md §9.
    if (!frame) return;
    if (frame.type === 'error') this.#failed(frame);
    else this.onframe?.(frame);
  }

  /** The relay closes the socket right behind an error; the verdict of one that is known need not wait for that. */
  #failed(error: { code: string; message: string }): void {
    this.#reported = error;
    if (isRelayErrorCode(error.code)) this.#end(this.#endOf(closeCodes[error.code]));
  }

  #end(end: SocketEnd): void {
    if (this.#ended) return;
    this.#ended = end;
    clearTimeout(this.#watch);
    if (this.#socket.readyState !== WebSocket.CLOSED) this.#close();
    this.onend?.(end);
  }

  /** A relay that hangs does not close its side, and a process that has nothing else to do does not wait for that. */
  #close(): void {
    const socket: WebSocket & { [unref]?: () => void } = this.#socket;
    this.#watch = setTimeout(() => socket[unref]?.(), closingMs);
    socket.close(); // one that was not open yet is closed within this call
  }

  #endOf(closeNumber: number): SocketEnd {
    const verdict = verdictOf(closeNumber);
    const reported = this.#reported;
    const code = reported && isRelayErrorCode(reported.code) ? reported.code : codeOf(closeNumber);
    if (code === undefined && (reported || (closeNumber >= 4400 && closeNumber <= 4499))) {
      const message =
        `The relay closed the connection with a code that this version does not know (${reported?.code ?? closeNumber}).` +
        (reported ? ` It says: ${reported.message}` : '');
      return {
        verdict,
        error: new RendezvousError('signaling_failed', message, { retryable: verdict === 'come_back' }),
      };
    }
    if (code === undefined) {
      return {
        verdict,
        error: new RendezvousError(
          'relay_unreachable',
          `The relay at ${this.#url.origin} cannot be reached, or is not an mcp-rendezvous relay (WebSocket close ${closeNumber}). ` +
            'Check the address, and that the relay is running.',
          { retryable: true },
        ),
      };
    }
    const message = reported?.message ?? `The relay closed the connection: ${code}.`;
    return { verdict, error: rendezvousError(code, message, { retryable: verdict === 'come_back' }) };
  }
}

/** PROTOCOL.md §3: a frame has at most 64 levels. The relay may wrap what it was sent once more. */
const maxFrameLevels = 80;

function parseFrame(data: unknown): FrameFromRelay | undefined {
  if (typeof data !== 'string' || nestsDeeperThan(data, maxFrameLevels)) return undefined;
  try {
    return frameFromRelay.safeParse(JSON.parse(data)).data;
  } catch {
    return undefined; // not JSON: no relay of this protocol says that, and there is nobody to tell
  }
}

/** Out of time, the application's or this socket's own: the relay did not answer. Other aborts have a reason of their own. */
function abortError({ reason }: AbortSignal, url: URL): RendezvousError {
  if (reason instanceof RendezvousError && reason.code !== 'connect_timeout') return reason;
  return new RendezvousError('relay_unreachable', `The relay at ${url.origin} did not answer in time.`, {
    retryable: true,
  });
}

/**
 * The address of the relay's WebSocket, from what people write: `wss://relay.example`, or with `https:` or a path before it.
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
    throw new RendezvousError('bad_option', 'relay must not have a user, a query or a fragment: URLs are logged.');
  }
  if (!url.pathname.endsWith(connectPath)) url.pathname = url.pathname.replace(/\/?$/, connectPath);
  return url;
}

// The address itself is not repeated: people put secrets into URLs.
const badAddress = (cause?: unknown): RendezvousError =>
  new RendezvousError('bad_option', 'relay must be an address such as wss://relay.example.', { cause });
