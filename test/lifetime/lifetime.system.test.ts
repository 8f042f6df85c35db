import { test } from 'node:test';
import { RelayProcess } from '../support/relay.ts';
import { Exposed } from './exposed.ts';

// `npm run lifetime` does the same with ten thousand sessions, and looks at memory as well.
test('sessions that came and went leave no process, descriptor, thread or timer in expose', async (t) => {
  const relay = await RelayProcess.start();
  t.after(() => relay.stop());
  const exposed = await Exposed.start(relay);
  t.after(() => exposed.stop());
  await exposed.serve(8, 2);
  const idle = await exposed.idle();
  await exposed.serve(40, 4);
  await exposed.heldNoMoreThan(idle);
});
