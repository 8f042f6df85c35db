import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { argv, env } from 'node:process';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { listen } from 'mcp-rendezvous';
import { engines, type EngineName } from '../../test/support/engines.ts';
import { type SignalledWire, signalledWire } from './engines.ts';
import type { Signal } from './raw.ts';
import { serve } from './wire.ts';

/**
 * The server's process: answers calls over one kind of wire. Says `ready` to its parent, and for
 * HTTP where.
 */
const [kind, engine = ''] = argv.slice(2);

const ready = (more: object = {}): void => void process.send?.({ ready: true, ...more });

switch (kind) {
  case 'rendezvous': {
    const { RELAY: relay = '', TOKEN: token = '' } = env;
    await listen({ relay, token, rtc: engines[engine as EngineName] }, async (transport) => {
      serve(transport);
      await transport.start();
    });
    ready();
    break;
  }
  case 'raw':
  case 'simple-peer': {
    const wires = new Map<number, SignalledWire>();
    process.on('message', ({ number, signal }: { number: number; signal: Signal }) => {
      const wire = wires.get(number) ?? signalledWire(kind, engine, false);
      if (!wires.has(number)) {
        wires.set(number, wire);
        wire.onsignal = (own) => process.send?.({ number, signal: own });
        serve(wire);
      }
      void wire.signal(signal);
    });
    ready();
    break;
  }
  case 'stdio': {
    const transport = new StdioServerTransport();
    serve(transport);
    await transport.start();
    break;
  }
  case 'http': {
    // One JSON answer to each request, which is the quicker one of its two ways.
    const transports = new Map<string, StreamableHTTPServerTransport>();
    const http = createServer((request, response) => {
      const known = transports.get(String(request.headers['mcp-session-id']));
      if (known) return void known.handleRequest(request, response);
      const transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        enableJsonResponse: true,
        onsessioninitialized: (id) => void transports.set(id, transport),
      });
      serve(transport);
      void transport.start().then(() => transport.handleRequest(request, response));
    });
    http.listen(0, '127.0.0.1', () => ready({ port: (http.address() as AddressInfo).port }));
    break;
  }
  default:
    throw new Error(`no such wire: ${kind}`);
}
