import { existsSync, readFileSync } from 'node:fs';

/**
 * Until the project has a home its packages name `git.example`, which nobody can visit (RFC 2606).
 * They are not published with it: a release and `npm publish` begin with this check.
 */
interface Manifest {
  homepage?: string;
  repository?: { url?: string };
  bugs?: { url?: string };
}

/** What is wrong with the addresses in a package's manifest, one per line. */
export function problemsOfAddresses(path: string): string[] {
  const { homepage, repository, bugs } = JSON.parse(readFileSync(path, 'utf8')) as Manifest;
  const addresses = { homepage, 'repository.url': repository?.url, 'bugs.url': bugs?.url };
  return Object.entries(addresses).flatMap(([member, address]) => {
    const host = URL.parse(address?.replace(/^git\+/, '') ?? '')?.hostname;
    if (host !== undefined && host !== 'example' && !host.endsWith('.example')) return [];
    return `${path}: ${member} is ${address === undefined ? 'missing' : 'a placeholder'}. Write the address of the project there.`;
  });
}

/** The file of the SDK that names the URI of the A2A extension, which nobody can change later. */
export const extensionFile = 'src/a2a/extension.ts';

/** What is wrong with the URI of the A2A extension in that file, one per line. */
export function problemsOfExtension(path: string): string[] {
  const [, uri = ''] = /^export const extensionUri = '(.*)';$/m.exec(readFileSync(path, 'utf8')) ?? [];
  const { protocol, hostname } = URL.parse(uri) ?? { protocol: '', hostname: 'example' };
  if (protocol === 'https:' && hostname !== 'example' && !hostname.endsWith('.example')) return [];
  return [`${path}: extensionUri is a placeholder. Write a URI of the project there and in docs/guides/a2a.md.`];
}

if (import.meta.main) {
  // npm runs this in the folder of the package that it is about to publish.
  const problems = problemsOfAddresses('package.json');
  if (existsSync(extensionFile)) problems.push(...problemsOfExtension(extensionFile));
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
