import type * as Net from 'node:net';
import { parseShallow, peerData, RendezvousError } from 'mcp-rendezvous-protocol';
import { wait } from '../util/abort.ts';
import { toData, toMessage } from './signal-data.ts';
import type { Signaling, SignalingRole, SignalMessage } from './signaling.ts';

const retryMs = 250;
/** aiortc's reader takes lines of up to 64 KiB; a description is far smaller. */
const mostLineChars = 65_536;
/**
 * How long the other side may take to end its side of the connection, which keeps the process
 * alive.
 */
const lingerMs = 1_000;

/**
 * The line protocol of aiortc's class of that name, which mcp-webrtc uses: one JSON object a line,
 * over one TCP connection. The offerer listens, the answerer connects (and tries again until the
 * other side listens). What is about another negotiation than the first one, which only two of this
 * SDK have, for a session whose connection was lost, has the form of PROTOCOL.md §6.
 *
 * It is neither encrypted nor authenticated: for one machine, or a network that you trust.
 */
export class TcpSocketSignaling implements Signaling {
  onmessage?: ((message: SignalMessage) => void) | undefined;
  onclose?: ((error?: Error) => void) | undefined;
  readonly #host: string;
  readonly #port: number;
  readonly #closing = new AbortController();
  #server: Net.Server | undefined;
  #socket: Net.Socket | undefined;
  #ended = false;
  #input = '';

  constructor(host: string, port: number) {
    this.#host = host;
    this.#port = port;
  }

  /**
   * Resolves when the two sides are connected; how long that may take is the transport's connect
   * timeout.
   */
  async start(role: SignalingRole): Promise<void> {
    if (this.#closing.signal.aborted) throw this.#closing.signal.reason;
    // Node takes a tenth of its own start to load this, and few programs that import the SDK need
    // it. An import() would have the caller wait until somebody listens.
    const net = process.getBuiltinModule('node:net');
    const socket = role === 'offerer' ? await this.#listen(net) : await this.#connect(net);
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('error', (cause) => this.#end(failed('The signaling connection failed; see cause.', cause)));
    // aiortc ends its side after the exchange: that is no failure.
    socket.on('close', () => this.#end());
  }

  async send(message: SignalMessage): Promise<void> {
    const socket = this.#socket;
    if (!socket?.writable) throw failed('The signaling connection is closed.');
    const line = toLine(message);
    await new Promise<void>((resolve, reject) =>
      socket.write(line, (cause) =>
        cause ? reject(failed('The signaling connection failed; see cause.', cause)) : resolve(),
      ),
    );
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new RendezvousError('closed', 'The signaling channel was closed.'));
    this.#server?.close();
    const socket = this.#socket;
    if (socket?.writable) socket.end(sorted({ type: 'bye' }));
    if (socket && !socket.destroyed) {
      const timer = setTimeout(() => socket.destroy(), lingerMs);
      socket.once('close', () => clearTimeout(timer));
    }
    this.#end();
  }

  #listen({ createServer }: typeof Net): Promise<Net.Socket> {
    return new Promise((resolve, reject) => {
      const server = createServer();
      this.#server = server;
      this.#closing.signal.addEventListener('abort', () => reject(this.#closing.signal.reason), { once: true });
      server.on('error', (cause) =>
        reject(
          failed(
            `Cannot listen on ${this.#host}:${this.#port}; see cause. Check that no other process uses the port.`,
            cause,
          ),
        ),
      );
      server.once('connection', (socket) => {
        server.close(); // one peer
        resolve(socket);
      });
      server.listen(this.#port, this.#host);
    });
  }

  async #connect(net: typeof Net): Promise<Net.Socket> {
    while (true) {
      try {
        return await this.#dial(net);
      } catch (cause) {
        if (this.#closing.signal.aborted) throw this.#closing.signal.reason;
        if ((cause as NodeJS.ErrnoException).code !== 'ECONNREFUSED') {
          throw failed(`Cannot connect to ${this.#host}:${this.#port}; see cause.`, cause);
        }
        await wait(retryMs, this.#closing.signal);
      }
    }
  }

  #dial({ connect }: typeof Net): Promise<Net.Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.#port, this.#host);
      const abort = () => socket.destroy(this.#closing.signal.reason);
      this.#closing.signal.addEventListener('abort', abort, { once: true });
      socket.once('close', () => this.#closing.signal.removeEventListener('abort', abort));
      socket.once('error', reject);
      socket.once('connect', () => {
        this.#closing.signal.removeEventListener('abort', abort);
        socket.off('error', reject);
        resolve(socket);
      });
    });
  }

  #receive(text: string): void {
    if (this.#ended) return;
    const lines = (this.#input + text).split('\n');
    this.#input = lines.pop() ?? '';
    for (const line of lines) {
      const message = fromLine(line);
      if (message === 'bye') return this.#end();
      if (!message) return this.#refuse('The other side sent a line that is not a signaling message.');
      this.onmessage?.(message);
    }
    if (this.#input.length > mostLineChars) this.#refuse('The other side sent a line that is too long.');
  }

  #refuse(message: string): void {
    this.#end(new RendezvousError('bad_signal', `${message} Check that it is an aiortc TcpSocketSignaling.`));
    this.#socket?.destroy();
  }

  #end(error?: RendezvousError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.onclose?.(error);
  }
}

/** aiortc writes its keys in order, so we do. */
const sorted = (value: Record<string, unknown>): string => `${JSON.stringify(value, Object.keys(value).toSorted())}\n`;

function toLine(message: SignalMessage): string {
  if (message.gen > 1) return `${JSON.stringify(toData(message))}\n`;
  switch (message.kind) {
    case 'offer':
    case 'answer':
      return sorted({ sdp: message.sdp, type: message.kind });
    case 'candidate': {
      const { candidate, sdpMid, sdpMLineIndex } = message.candidate;
      return sorted({ candidate, id: sdpMid ?? null, label: sdpMLineIndex ?? null, type: 'candidate' });
    }
    case 'bye':
      return sorted({ type: 'bye' });
  }
}

const maxLevels = 8;

function fromLine(line: string): SignalMessage | 'bye' | undefined {
  // Nothing that two peers tell each other is deep.
  const value = parseShallow(line, maxLevels);
  if (typeof value !== 'object' || value === null) return undefined;
  const { type, sdp, candidate, id, label } = value as Record<string, unknown>;
  if (type === undefined) {
    const { data } = peerData.safeParse(value);
    return data && data.kind !== 'ack' && data.kind !== 'path' ? toMessage(data) : undefined;
  }
  // aiortc's lines know one negotiation only.
  const gen = 1;
  if (type === 'bye') return 'bye';
  if ((type === 'offer' || type === 'answer') && typeof sdp === 'string') return { kind: type, gen, sdp };
  if (type !== 'candidate' || typeof candidate !== 'string') return undefined;
  const sdpMid = typeof id === 'string' ? id : null;
  const sdpMLineIndex = typeof label === 'number' ? label : null;
  return { kind: 'candidate', gen, candidate: { candidate, sdpMid, sdpMLineIndex } };
}

const failed = (message: string, cause?: unknown): RendezvousError =>
  new RendezvousError('signaling_failed', message, { cause });
