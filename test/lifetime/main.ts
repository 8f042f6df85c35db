import { argv } from 'node:process';
import { RelayProcess } from '../support/relay.ts';
import { Exposed } from './exposed.ts';

/**
 * Ten thousand sessions of clients, by way of one process of `expose`: after each thousand no
 * process, descriptor, thread or timer is left of them, and resident memory stays.
 *
 *     npm run lifetime -- [sessions, 10000]
 */

const total = Number(argv[2] ?? 10_000);
/** Sessions of one process of clients, and those that are open when it is killed. */
const each = 250;
const killed = 4;
const round = 1_000;
const mayGrowMb = 20;

// All of them have one address and one subject.
const relay = await RelayProcess.start({
  MAX_JOINS_PER_SECOND_PER_ADDRESS: '1000',
  MAX_JOINS_PER_SECOND_PER_SUBJECT: '1000',
});
const exposed = await Exposed.start(relay);
try {
  await exposed.serve(20, killed);
  const idle = await exposed.idle();
  let first: number | undefined;
  for (let count = 0; count < total;) {
    const began = performance.now();
    let failed = 0;
    for (const end = Math.min(count + round, total); count < end; count += each) {
      failed += await exposed.serve(Math.min(each, end - count) - killed, killed);
    }
    const { residentMb, processes, descriptors, threads } = await exposed.heldNoMoreThan(idle);
    first ??= residentMb;
    const seconds = ((performance.now() - began) / 1000).toFixed(0);
    console.log(
      `${count} sessions: ${residentMb.toFixed(1)} MB, ${processes} processes, ${descriptors} descriptors, ${threads} threads (${seconds} s, ${failed} attempts failed)`,
    );
    if (residentMb > first + mayGrowMb) process.exitCode = 1;
  }
} finally {
  await exposed.stop();
  await relay.stop();
}
