import { createApp, createLogger, parseConfig } from 'mcp-rendezvous-server';

// The relay: brings the two peers together. The same as `npm start`, here inside a program of your
// own.
const config = parseConfig(process.env);
const app = await createApp({ config, log: createLogger('warn') });
const address = await app.listen({ host: config.host, port: config.port });
console.log(`relay: ${address}`);

process.once('SIGINT', () => void app.close());
