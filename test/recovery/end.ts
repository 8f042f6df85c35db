import { argv } from 'node:process';
import { listen } from 'mcp-rendezvous';
import { engines, type EngineName } from '../support/engines.ts';

/** A server in a process of its own: it repeats what it gets, and closes when it is told to. */
const [, , relay = '', token = '', engine = 'werift'] = argv;
const listener = await listen({ relay, token, rtc: engines[engine as EngineName] }, async (transport) => {
  transport.onmessage = (message) => void transport.send(message);
  process.on('message', () => {
    const at = Date.now();
    void transport.close();
    process.send?.({ at });
  });
  await transport.start();
});
listener.onerror = (error) => console.error(error);
process.send?.('ready');
