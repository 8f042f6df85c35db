import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** How often it is looked whether the launcher still runs: there is no event for that. */
const everyMs = 2_000;

/**
 * Calls `ongone` when the `npx` or `npm exec` that started this process is gone. A supervisor that
 * ends npx may not reach what npx has started, which would run on for ever.
 *
 * @returns stops looking
 */
export function watchLauncher(env: NodeJS.ProcessEnv, ongone: () => void): () => void {
  if (env['npm_command'] !== 'exec') return () => {};
  const parent = process.ppid;
  const launchers = [parent, ...aboveShell(parent)];
  const timer = setInterval(() => {
    if (process.ppid === parent && launchers.every(isAlive)) return;
    clearInterval(timer);
    ongone();
  }, everyMs).unref();
  return () => clearInterval(timer);
}

/** npx starts a command by way of a shell, which may live on without it. */
function aboveShell(pid: number): number[] {
  try {
    const [parent = '', ...words] = describe(pid);
    return /(?:^|\/)(?:ba|da|a|z|k)?sh$/.test(words[0] ?? '') && words[1] === '-c' ? [Number(parent)] : [];
  } catch {
    return []; // Windows: the parent is all that is known
  }
}

/** The parent of a process, and its command line. */
function describe(pid: number): string[] {
  if (process.platform === 'linux') {
    const parent = /^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
    return [parent, ...readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')];
  }
  return execFileSync('ps', ['-o', 'ppid=,args=', '-p', `${pid}`], { encoding: 'utf8' })
    .trim()
    .split(/\s+/);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
