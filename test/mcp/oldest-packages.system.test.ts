import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { execPath } from 'node:process';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Transport as TransportV2 } from 'mcp-client-oldest';
import type { WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import type { Transport as TransportV1 } from 'mcp-sdk-oldest/shared/transport.js';
import type { Transport as ServerTransportV2 } from 'mcp-server-oldest';
import * as z from 'zod';
import { oldestPackages } from '../support/oldest-packages.ts';

const root = new URL('../../', import.meta.url);
const manifest = z.object({
  version: z.string(),
  peerDependencies: z.record(z.string(), z.string()).default({}),
});
const manifestOf = (folder: string) =>
  manifest.parse(JSON.parse(readFileSync(new URL(`${folder}/package.json`, root), 'utf8')));

const document = readFileSync(new URL('docs/reference/compatibility.md', root), 'utf8');

/** SDK v1 was written without `exactOptionalPropertyTypes`, and programs of its time were. */
type WithoutExactOptions<T> = { [K in keyof T]: T[K] | undefined };

/** To be compiled: a transport is one to the types of the oldest supported versions. */
export const typed = (
  client: WebRTCClientTransport,
  server: WebRTCServerTransport,
): [WithoutExactOptions<TransportV1>[], TransportV2, ServerTransportV2] => [[client, server], client, server];

void suite('the oldest supported versions', () => {
  for (const [name, range] of Object.entries(manifestOf('sdk').peerDependencies)) {
    test(`of ${name}: what is tried is what its range begins with, and the document says so`, () => {
      const oldest = manifestOf(`node_modules/${oldestPackages[name] ?? name}`).version;
      assert.equal(`^${oldest}`, range);
      const newest = manifestOf(`node_modules/${name}`).version;
      assert.ok(document.includes(`| \`${name}\` | ${oldest} | ${newest} |`), `${name} ${oldest} to ${newest}`);
    });
  }

  for (const file of ['test/mcp/differential.test.ts', 'sdk/test/opentelemetry.test.ts']) {
    test(`pass ${file}`, async () => {
      const args = ['--conditions=mcp-rendezvous-source', '--import', './test/support/oldest-packages.ts'];
      // These versions let a timer of a request that ended run on, which keeps a process.
      await promisify(execFile)(execPath, [...args, '--test', '--test-force-exit', file], {
        cwd: fileURLToPath(root),
        env: { ...process.env, NODE_TEST_CONTEXT: undefined },
      });
    });
  }
});
