import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const here = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);

/** Runs a program of its own to its own end, and takes the JSON that it prints. */
export async function run(program: string, timeout = 60_000): Promise<unknown> {
  const source = `import { connectPair, closePair, closing, direct, negotiate, receiving, within } from ${here('./pair.ts')};
    import { engines } from ${here('./engines.ts')};
    import { rawPeer } from ${here('./raw.ts')};
    import { turnServer } from ${here('./turn.ts')};
    import { weriftEngine } from ${here('../../src/peer/werift.ts')};
    ${program}`;
  const args = ['--conditions=mcp-rendezvous-source', '--expose-gc', '--input-type=module', '--eval', source];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout, killSignal: 'SIGKILL' });
  return JSON.parse(stdout);
}
