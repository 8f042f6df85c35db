import { startReactApp } from './app.ts';

const app = await startReactApp(Number(process.env['PORT'] ?? 3000));
console.log(`Open ${app.url}`);

process.once('SIGINT', () => void app.close());
