import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { execPath } from 'node:process';
import { extensionFile, problemsOfAddresses, problemsOfExtension } from './addresses.ts';
import { readChanges, sectionOf, withSection } from './changelog.ts';

/**
 * Turns the changes in .changeset into the next version: of the packages, which always have the
 * same one, of the chart, in the lock file and in CHANGELOG.md. Publishes and commits nothing.
 * Refuses while a package has a placeholder where the address of the project belongs, or the A2A
 * extension in its URI.
 *
 * Usage: npm run release:version
 */
const run = (command: string, ...args: string[]): void => void execFileSync(command, args, { stdio: 'inherit' });

const problems = ['protocol', 'sdk', 'server'].flatMap((folder) => problemsOfAddresses(`${folder}/package.json`));
problems.push(...problemsOfExtension(`sdk/${extensionFile}`));
if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exit(1);
}
// The next line removes them.
const changes = readChanges('.');
run(execPath, 'node_modules/@changesets/cli/bin.js', 'version');
const { version } = JSON.parse(readFileSync('server/package.json', 'utf8')) as { version: string };
const chart = 'deploy/helm/mcp-rendezvous/Chart.yaml';
writeFileSync(chart, readFileSync(chart, 'utf8').replaceAll(/^(version|appVersion): .*$/gm, `$1: ${version}`));
const changelog = readFileSync('CHANGELOG.md', 'utf8');
writeFileSync('CHANGELOG.md', withSection(changelog, sectionOf(version, changes)));
run('npm', 'install', '--package-lock-only', '--ignore-scripts');
