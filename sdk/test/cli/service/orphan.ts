/** A process that watches its launcher, and ends when that is gone. */
import { watchLauncher } from '../../../src/cli/service/launcher.ts';

const forever = setInterval(() => {}, 60_000);
watchLauncher(process.env, () => clearInterval(forever));
process.stdout.write(`${process.pid}\n`);
