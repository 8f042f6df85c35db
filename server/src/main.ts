import { setImmediate } from 'node:timers/promises';

/**
 * The process. It handles SIGTERM and SIGINT before it loads the relay: the first process of a
 * container has no default action for signals and would miss them.
 */
let stop: ((signal: NodeJS.Signals) => Promise<void>) | undefined;
let stopping = false;

const onSignal = (signal: NodeJS.Signals): void => {
  // No peer is connected yet, or the operator asked twice.
  if (!stop || stopping) process.exit(stopping ? 1 : 0);
  stopping = true;
  stop(signal).then(
    () => process.exit(0),
    () => process.exit(1),
  );
};
process.on('SIGTERM', onSignal).on('SIGINT', onSignal);

// One after the other, because a signal waits for as long as one of them takes.
const parts = [
  () => import('fastify'),
  () => import('ioredis'),
  () => import('prom-client'),
  () => import('jose'),
  () => import('zod'),
  () => import('./config/config.ts'),
  () => import('./http/app.ts'),
];
for (const load of parts) {
  await load();
  await setImmediate();
}

const { fail, run } = await import('./run.ts');
try {
  stop = await run();
} catch (error) {
  fail(error);
}
