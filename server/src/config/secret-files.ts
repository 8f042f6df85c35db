import { readFileSync } from 'node:fs';

/** The variables that hold a secret. Each can be in a file instead, which `<name>_FILE` names. */
const secretNames = [
  'RELAY_SECRET',
  'ADMIN_TOKEN',
  'TURN_SECRET',
  'TURN_CREDENTIALS_TOKEN',
  'REDIS_URL',
  'WEBHOOK_SECRET',
] as const;

/**
 * Adds the secrets that are in files. A variable that is set takes precedence over its file, so
 * that an operator can override a file of the deployment. A line break at the end of a file is not
 * part of its secret.
 *
 * @param set the variables that are set
 * @param problems gets what cannot be read; never what is in a file
 */
export function withSecretFiles(set: Record<string, string>, problems: string[]): Record<string, string> {
  const read: Record<string, string> = {};
  for (const name of secretNames) {
    const path = set[`${name}_FILE`];
    if (path === undefined || set[name] !== undefined) continue;
    const text = readSecretFile(name, path, problems);
    if (text !== undefined) read[name] = text;
  }
  return { ...set, ...read };
}

/** The content of a secret's file; undefined, with the reason in `problems`, if there is none. */
export function readSecretFile(name: string, path: string, problems: string[]): string | undefined {
  try {
    const text = readFileSync(path, 'utf8').replace(/\r?\n$/, '');
    if (text !== '') return text;
    problems.push(`${name}_FILE ${path} is empty.`);
  } catch (error) {
    problems.push(`${name}_FILE ${path} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
  return undefined;
}
