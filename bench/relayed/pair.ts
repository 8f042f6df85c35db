import { argv } from 'node:process';
import { type Path, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { BlockableEngine } from '../../test/relayed/pair.ts';
import { slowWire } from './slow-wire.ts';

/*
 * A client and a server of the SDK whose connections find no way, so that they are relayed. Asked
 * for it by its parent, the server sends the client a large result. Says how long that took, in
 * milliseconds.
 *
 * Usage: pair.ts <port of the relay> <delay in milliseconds> <bytes> <token> <token of the server>
 */
const [port, delayMs, bytes, token = '', serverToken = ''] = argv.slice(2);
const relay = `ws://127.0.0.1:${Number(delayMs) > 0 ? await slowWire(Number(port), Number(delayMs)) : port}`;
const paths: Path[] = ['direct', 'turn', 'relayed'];
const rtc = new BlockableEngine(true);
const options = { relay, paths, rtc, maxMessageBytes: 2 * Number(bytes) };
const client = new WebRTCClientTransport({ ...options, token });
const server = new WebRTCServerTransport({ ...options, token: serverToken });
await Promise.all([server.start(), client.start()]);

process.on('message', () => {
  const startedAt = performance.now();
  client.onmessage = (message) => {
    const ms = performance.now() - startedAt;
    const text = 'result' in message ? message.result['text'] : undefined;
    process.send?.({ ms, whole: typeof text === 'string' && text.length === Number(bytes) });
  };
  void server.send({ jsonrpc: '2.0', id: 1, result: { text: 'x'.repeat(Number(bytes)) } });
});
process.send?.('ready');
