import { writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { argv } from 'node:process';
import * as z from 'zod';
import { type Actions, createProgram } from '../sdk/src/cli/program.ts';
import { variables } from '../sdk/src/cli/variables.ts';
import { environment } from '../server/src/config/environment.ts';

/**
 * Writes the reference of the command line and of the environment from the programs themselves. A
 * test compares the two.
 *
 * Usage: node --conditions=mcp-rendezvous-source scripts/reference.ts
 */
const folder = join(import.meta.dirname, '../docs/reference');
const written =
  '<!-- Written by scripts/reference.ts from the programs themselves. Change those, and run it again. -->\n';

type Command = ReturnType<typeof createProgram>;

const table = (headers: string[], rows: string[][]): string =>
  [headers, headers.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |\n`).join('');

/** The texts of this machine are the same as those of any other one. */
const anywhere = (text: string): string => text.replaceAll(`@${hostname()}`, '@<machine>');
/** Plain text as Markdown. Code in it stays as it is. */
const prose = (text: string): string =>
  anywhere(text).replaceAll(/`[^`]*`|[|<*]/g, (found) => (found.length > 1 ? found : `\\${found}`));
const code = (text: string): string => `\`${text.replaceAll('|', '\\|')}\``;
const sentence = (text: string): string => `${prose(text).replace(/^./, (first) => first.toUpperCase())}.`;

/** Every command. Only its form is asked for, so that it has nothing to do. */
function commands(): Command[] {
  const actions = new Proxy({}, { get: () => () => {} }) as Actions;
  const all = (command: Command): Command[] => command.commands.flatMap((child) => [child, ...all(child)]);
  return all(createProgram(actions)).filter((command) => command.commands.length === 0);
}

/** `invitations list`. */
const nameOf = (command: Command): string =>
  [...(command.parent?.parent ? [command.parent.name()] : []), command.name()].join(' ');

/** What follows the options in the command's help. */
function notesOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part) }).outputHelp();
  return text.slice(command.helpInformation().length).trim();
}

/** A part of the notes: prose, a list of names with their meanings, or examples. */
function note(part: string): string {
  const [, title = '', lines = ''] = /^(\S[^\n]*):\n((?: {2}[^\n]*\n?)+)$/.exec(part) ?? [];
  if (!lines) return `${prose(part)}\n`;
  const text = anywhere(lines.replaceAll(/^ {2}/gm, '')).trimEnd();
  if (title.startsWith('Example')) {
    const language = text.startsWith('{') ? 'json' : 'sh';
    const tested = language === 'sh' ? '<!-- tested by: test/reference.test.ts -->\n' : '';
    return `${title}:\n\n${tested}\`\`\`${language}\n${text}\n\`\`\`\n`;
  }
  const rows = text.split('\n').map((line) => line.split(/ {2,}/));
  return table(
    [title.toLowerCase().replace(/s$/, ''), 'meaning'],
    rows.map(([name = '', ...rest]) => [code(name), prose(rest.join(' '))]),
  );
}

function commandSection(command: Command): string {
  const help = command.createHelp();
  const usages = help.commandUsage(command).split('\n');
  const operands = help
    .visibleArguments(command)
    .map((argument) => [code(argument.name()), prose(help.argumentDescription(argument))]);
  const options = help
    .visibleOptions(command)
    .map((option) => [code(help.optionTerm(option)), prose(help.optionDescription(option))]);
  const notes = notesOf(command);
  return [
    `## ${nameOf(command)}\n`,
    `${sentence(command.description())}\n`,
    usages.map((usage) => `- \`${usage.trim()}\`\n`).join(''),
    ...(operands.length > 0 ? [table(['argument', 'meaning'], operands)] : []),
    table(['option', 'meaning'], options),
    ...(notes ? notes.split(/\n\n+/).map(note) : []),
  ].join('\n');
}

/** What each variable of the command line is for. */
const meanings: Record<keyof typeof variables, string> = {
  relay: 'URL of the relay',
  token: 'room token, with the role of the command',
  secret: 'end-to-end secret, the same on both sides',
  invitation: 'invitation, instead of relay, token and secret',
  turnUsername: 'user of the TURN servers of `--ice-server`',
  turnPassword: 'password of that user',
  httpToken: 'bearer token that `connect --http` requires',
  key: 'key of the relay, which signs tokens and invitations; if there are several, one per line, the first one signs',
  admin: 'admin token, with which `invitations revoke` also reaches server invitations',
};

function relayVariables(): string[][] {
  const { properties = {} } = z.toJSONSchema(environment, { io: 'input' });
  return Object.entries(properties).map(([name, property]) => {
    const { default: value, description = '' } = property as { default?: string; description?: string };
    return [code(name), value ? code(value) : '', prose(description)];
  });
}

/** The generated pages, by their names in docs/reference. */
export const pages: Record<string, string> = {
  'cli.md': `# Command line reference

${written}
Every command of \`mcp-rendezvous\`, with its options. [Command line](../guides/command-line.md) has the tasks.
\`mcp-rendezvous-server\` has no options: [variables](environment.md) configure it.

${commands().map(commandSection).join('\n')}`,
  'environment.md': `# Environment variables

${written}
## Relay

\`mcp-rendezvous-server\` reads these. Empty variables are ignored. If anything is wrong, the relay lists every problem and exits with
code 1. Names that end in \`_MS\` are milliseconds, and in \`_BYTES\` bytes. [Configure the relay](../run/configuration.md) explains keys,
issuers, Redis and limits.

${table(['variable', 'default', 'meaning'], relayVariables())}
## Command line

${table(
  ['variable', 'meaning'],
  Object.entries(variables).map(([key, name]) => [code(name), meanings[key as keyof typeof variables]]),
)}
The command line, and the SDK in Node, also use \`HTTPS_PROXY\`, \`HTTP_PROXY\`, \`ALL_PROXY\` and \`NO_PROXY\`: see
[behind an HTTP proxy](../guides/http-proxies.md).
`,
};

if (argv[1] === import.meta.filename) {
  for (const [name, text] of Object.entries(pages)) writeFileSync(join(folder, name), text);
}
