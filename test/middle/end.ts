import { argv } from 'node:process';
import type { EngineName } from '../support/engines.ts';
import { trials } from './trials.ts';

/** All trials of an engine, each of which tells its outcome. */
const [, , engine, seed] = argv;
await Promise.all(
  trials(engine as EngineName, Number(seed)).map(async ({ name, run }) => {
    const problem = await run().then(
      () => undefined,
      (error: Error) => error.stack ?? String(error),
    );
    process.send?.({ name, problem });
  }),
);
