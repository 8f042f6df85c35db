import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const here = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);

/**
 * Runs a program of its own to its own end, and takes the JSON that it prints.
 *
 * @param mayCrash in the end, behind its `exit` event, when all of ours is over
 */
export async function run(program: string, timeout = 60_000, mayCrash = false): Promise<unknown> {
  const source = `import { connectPair, closePair, closing, direct, negotiate, receiving, within } from ${here('./pair.ts')};
    import { engines } from ${here('./engines.ts')};
    import { rawPeer } from ${here('./raw.ts')};
    import { turnServer } from ${here('./turn.ts')};
    import { weriftEngine } from ${here('../../src/peer/werift.ts')};
    ${program}`;
  const args = ['--conditions=mcp-rendezvous-source', '--expose-gc', '--input-type=module', '--eval', source];
  const ended = promisify(execFile)(process.execPath, args, { timeout, killSignal: 'SIGKILL' });
  const { stdout } = await ended.catch((error: { signal?: string; stdout: string }) => {
    if (mayCrash && error.signal === 'SIGSEGV' && error.stdout !== '') return error;
    throw error;
  });
  return JSON.parse(stdout);
}
