import type { WebSocketConstructor } from 'mcp-rendezvous';

/**
 * What the demonstration does to the network of one of its ends: inside this page, because a page
 * cannot do it to a network.
 */
export class Faults {
  #udpBlocked = false;
  #relayLost = false;
  #asleep = false;
  readonly #sockets = new Set<WebSocket>();
  /** What it would have done meanwhile. */
  #later: (() => void)[] = [];

  /** For the SDK's option `webSocket`. */
  readonly webSocket: WebSocketConstructor;

  constructor() {
    const open = (url: URL, protocols: string): WebSocket => this.#open(url, protocols);
    // A constructor that returns an object makes that object. The type of a function does not say
    // so.
    this.webSocket = function (url: URL, protocols: string) {
      return open(url, protocols);
    } as unknown as WebSocketConstructor;
  }

  /** From now on, or no longer, new connections find no address. Others are not touched. */
  blockUdp(blocked: boolean): void {
    this.#udpBlocked = blocked;
  }

  /** The relay is lost: its sockets close, and none opens. */
  loseRelay(lost: boolean): void {
    this.#relayLost = lost;
    if (lost) for (const socket of this.#sockets) socket.close();
  }

  /** Nothing is sent and nothing is heard, on any path; when it wakes up, all of it at once. */
  sleep(asleep: boolean): void {
    this.#asleep = asleep;
    if (!asleep) for (const act of this.#later.splice(0)) act();
  }

  configure(configuration: RTCConfiguration | undefined): RTCConfiguration | undefined {
    return this.#udpBlocked ? { ...configuration, iceServers: [], iceTransportPolicy: 'relay' } : configuration;
  }

  /** At once, or when it wakes up. */
  act(act: () => void): void {
    if (this.#asleep) this.#later.push(act);
    else act();
  }

  /** Puts a channel or a socket to sleep with this end. */
  hold(target: RTCDataChannel | WebSocket): void {
    // As the first listener it decides whether others hear of it.
    (target as EventTarget).addEventListener('message', (event) => {
      if (!this.#asleep) return;
      event.stopImmediatePropagation();
      const { data } = event as MessageEvent<unknown>;
      this.#later.push(() => target.dispatchEvent(new MessageEvent('message', { data })));
    });
    const send: WebSocket['send'] = target.send.bind(target);
    const close = target.close.bind(target);
    target.send = (data: Parameters<WebSocket['send']>[0]) => this.act(() => isOpen(target) && send(data));
    target.close = () => this.act(() => close());
  }

  #open(url: URL, protocols: string): WebSocket {
    // It has all that the SDK uses of a socket that never opens.
    if (this.#relayLost || this.#asleep) return new LostSocket() as unknown as WebSocket;
    const socket = new WebSocket(url, protocols);
    this.hold(socket);
    this.#sockets.add(socket);
    socket.addEventListener('close', () => this.#sockets.delete(socket));
    return socket;
  }
}

const isOpen = ({ readyState }: RTCDataChannel | WebSocket): boolean =>
  readyState === 'open' || readyState === WebSocket.OPEN;

/** A WebSocket that cannot be opened. A real one would put an error into the browser's console. */
class LostSocket extends EventTarget {
  readonly bufferedAmount = 0;
  binaryType = 'arraybuffer';
  readyState: number = WebSocket.CONNECTING;

  constructor() {
    super();
    setTimeout(() => {
      this.readyState = WebSocket.CLOSED;
      this.dispatchEvent(new Event('error'));
      this.dispatchEvent(new CloseEvent('close', { code: 1006 }));
    }, 200);
  }

  send(): void {}
  close(): void {}
}
