/** The fixture server for both eras as a program over stdio. What its witness sees is on stderr. */
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { Witness } from './fixture.ts';
import { createServerV2 } from './server-v2.ts';

const witness = new Witness();
for (const event of ['waiting', 'cancelled', 'closed'] as const) {
  witness.on(event, () => process.stderr.write(`witness: ${event}\n`));
}
serveStdio(({ era }) => createServerV2(witness, era));
