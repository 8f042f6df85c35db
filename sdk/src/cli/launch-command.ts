import { basename, delimiter, dirname } from 'node:path';

const name = 'mcp-rendezvous';

export interface Launch {
  /** `process.argv[1]`: an absolute path, with the links in it. */
  script: string;
  env: NodeJS.ProcessEnv;
}

/**
 * The command that started this program, as words: what people are told to run is then something
 * that they have, whether it was installed, is in a folder of theirs, or comes by npx.
 */
export function launchCommand({ script, env }: Launch = thisProcess()): [string, ...string[]] {
  if (/[\\/]_npx[\\/]/.test(script)) return ['npx', '-y', name];
  if (/[\\/]node_modules[\\/]\.bin[\\/]/.test(script)) return ['npx', name];
  // On Windows npm's command starts Node with the path of the script.
  if (/\\node_modules\\mcp-rendezvous\\bin\\[^\\]+$/.test(script)) {
    return env['npm_command'] === undefined ? [name] : ['npx', name];
  }
  if (basename(script) === name && (env['PATH'] ?? '').split(delimiter).includes(dirname(script))) return [name];
  return /\.[cm]?[jt]s$/.test(script) ? ['node', script] : [script];
}

const thisProcess = (): Launch => ({ script: process.argv[1] ?? name, env: process.env });

/** The words as a line for a shell. */
export function shellLine(words: readonly string[], platform = process.platform): string {
  const plain = platform === 'win32' ? /^[\w@%+=:,./\\-]+$/ : /^[\w@%+=:,./-]+$/;
  const quoted = (word: string) => (platform === 'win32' ? `"${word}"` : `'${word.replaceAll("'", String.raw`'\''`)}'`);
  return words.map((word) => (plain.test(word) ? word : quoted(word))).join(' ');
}
