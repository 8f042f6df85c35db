import { createSocket } from 'node:dgram';
import type { Socket } from 'node:net';
import { Blocked, openTcp, openTls, resolve } from './open.ts';
import { messageLength, parseResponse, type StunResponse, transactionOf } from './stun.ts';

export type WireKind = 'udp' | 'tcp' | 'tls';

/** A way to a STUN or TURN server. */
export interface Wire {
  readonly remote: string;
  /** Set when it is TLS. */
  readonly socket?: Socket;
  /** Resolves with the response to a request. Rejects with Blocked when none comes in time. */
  ask(request: Buffer, signal: AbortSignal): Promise<StunResponse>;
  close(): void;
}

/** RFC 8489 §6.2.1: when a request is sent again over UDP, in milliseconds after the one before. */
const firstRepeatMs = 500;
const maxMessageBytes = 4096;

export async function openWire(kind: WireKind, host: string, port: number, signal: AbortSignal): Promise<Wire> {
  if (kind === 'udp') return await openUdp(host, port, signal);
  const socket = await (kind === 'tls' ? openTls : openTcp)(host, port, signal);
  return streamWire(socket);
}

class Pending {
  readonly #waiting = new Map<string, (response: StunResponse) => void>();
  readonly #lost = new AbortController();

  receive(message: Buffer): void {
    const response = parseResponse(message);
    if (response) this.#waiting.get(response.transaction)?.(response);
  }

  lose(): void {
    this.#lost.abort();
  }

  async wait(request: Buffer, silence: Blocked, signal: AbortSignal): Promise<StunResponse> {
    const id = transactionOf(request);
    const ending = AbortSignal.any([signal, this.#lost.signal]);
    try {
      return await new Promise((done, reject) => {
        const abort = () => reject(this.#lost.signal.aborted && !signal.aborted ? closed() : silence);
        this.#waiting.set(id, done);
        if (ending.aborted) abort();
        else ending.addEventListener('abort', abort, { once: true });
      });
    } finally {
      this.#waiting.delete(id);
    }
  }
}

async function openUdp(host: string, port: number, signal: AbortSignal): Promise<Wire> {
  const [first] = await resolve(host, signal);
  const remote = first?.address ?? host;
  const socket = createSocket(first?.family === 6 ? 'udp6' : 'udp4');
  const pending = new Pending();
  socket.on('message', (message) => pending.receive(message));
  // An ICMP error is no verdict: the next datagram may come through.
  socket.on('error', () => {});
  return {
    remote,
    async ask(request, limit) {
      let timer: NodeJS.Timeout | undefined;
      const send = (repeatMs: number) => {
        socket.send(request, port, remote, () => {});
        timer = setTimeout(() => send(repeatMs * 2), repeatMs);
      };
      send(firstRepeatMs);
      try {
        return await pending.wait(request, silent('UDP'), limit);
      } finally {
        clearTimeout(timer);
      }
    },
    close: () => void socket.close(),
  };
}

function streamWire(socket: Socket): Wire {
  const pending = new Pending();
  let input: Buffer = Buffer.alloc(0);
  socket.on('data', (data: Buffer) => {
    input = Buffer.concat([input, data]);
    for (let length = messageLength(input); length !== undefined; length = messageLength(input)) {
      if (length === 0 || length > maxMessageBytes) return void socket.destroy();
      if (input.length < length) return;
      pending.receive(input.subarray(0, length));
      input = input.subarray(length);
    }
  });
  socket.once('close', () => pending.lose());
  return {
    remote: socket.remoteAddress ?? '',
    socket,
    async ask(request, limit) {
      socket.write(request);
      return await pending.wait(request, silent('TCP'), limit);
    },
    close: () => void socket.destroy(),
  };
}

const silent = (protocol: string) =>
  new Blocked({
    code: 'ETIMEDOUT',
    seen: `it does not answer over ${protocol}`,
    advice: `Check that it is running, and that no firewall drops ${protocol} to this port.`,
  });
const closed = () =>
  new Blocked({
    code: 'ECONNRESET',
    seen: 'it closed the connection',
    advice: 'Check that it is a STUN or TURN server.',
  });
