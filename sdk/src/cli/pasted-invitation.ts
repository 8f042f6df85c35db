import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { usage } from './cli-error.ts';

/**
 * Asks for an invitation at a terminal, which does not show it.
 *
 * @throws CliError `bad_option` if the user gives up
 */
export async function pastedInvitation(stdin: NodeJS.ReadStream, stderr: NodeJS.WriteStream): Promise<string> {
  stderr.write('Paste the invitation, which is not shown, and press Enter: ');
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  // A terminal's own line editing ends lines at 1024 characters on macOS; readline reads raw input.
  const lines = createInterface({ input: stdin, output: silent, terminal: true });
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once('line', (line) => resolve(line.trim()));
      lines.once('SIGINT', () => reject(usage('No invitation was pasted.')));
      lines.once('close', () => reject(usage('No invitation was pasted.')));
    });
  } finally {
    lines.close();
    stderr.write('\n');
  }
}
