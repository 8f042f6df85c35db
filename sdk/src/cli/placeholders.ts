import { usage } from './cli-error.ts';

/** `${NAME}`, `${NAME:-default}` as in Claude Code, `${env:NAME}` as in VS Code and Cursor. */
const placeholder = /\$\{(?:env:)?(\w+)(?::-([^}]*))?\}/g;

/** The names of the variables that these texts stand for. */
export const variablesIn = (texts: readonly string[]): string[] =>
  texts.flatMap((text) => [...text.matchAll(placeholder)].map(([, name]) => name!));

/**
 * The text with the environment's variables in place of `${NAME}`.
 *
 * @param where names the text in the error
 * @throws CliError `bad_option` for a variable that is not set and has no default
 */
export function withVariables(text: string, where: string, env: NodeJS.ProcessEnv): string {
  return text.replaceAll(placeholder, (_, name: string, otherwise: string | undefined) => {
    const found = env[name] || otherwise;
    if (found === undefined && env[name] === undefined) throw usage(`${where}: the variable ${name} is not set.`);
    return found ?? '';
  });
}
