import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { execPath } from 'node:process';

/**
 * Turns the changes in .changeset into the next version: of both packages, which always have the same one, of the chart, and in the
 * lock file. Publishes and commits nothing.
 *
 * Usage: npm run release:version
 */
const run = (command: string, ...args: string[]): void => void execFileSync(command, args, { stdio: 'inherit' });

run(execPath, 'node_modules/@changesets/cli/bin.js', 'version');
const { version } = JSON.parse(readFileSync('server/package.json', 'utf8')) as { version: string };
const chart = 'deploy/helm/mcp-rendezvous/Chart.yaml';
writeFileSync(chart, readFileSync(chart, 'utf8').replaceAll(/^(version|appVersion): .*$/gm, `$1: ${version}`));
run('npm', 'install', '--package-lock-only', '--ignore-scripts');
