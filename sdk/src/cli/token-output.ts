import { exec } from 'node:child_process';
import { promisify } from 'node:util';
import { usage } from './cli-error.ts';

/** How long a command may take, in milliseconds. */
const timeoutMs = 15_000;
const run = promisify(exec);

/**
 * The token that `--token-command` prints. A shell runs it, as the user wrote it, with this
 * program's environment: it may need a key that is there.
 *
 * @throws CliError `bad_option`, which quotes neither the command nor what it printed
 */
export async function outputOf(command: string): Promise<string> {
  let token: string;
  try {
    const { stdout } = await run(command, { timeout: timeoutMs, maxBuffer: 65_536, windowsHide: true });
    token = stdout.trim();
  } catch (error) {
    const { code, killed } = error as { code?: number | string; killed?: boolean };
    throw usage(
      `The --token-command ${killed ? `did not end within ${timeoutMs / 1000} s` : `failed (${code ?? 'signal'})`}. Run it by itself to see why.`,
    );
  }
  if (token) return token;
  throw usage('The --token-command printed no token on its standard output.');
}
