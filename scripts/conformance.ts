import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { argv } from 'node:process';
import { conformanceDraft, conformanceTests, type ConformanceTestId } from '../sdk/src/testing/index.ts';
import { failures, sdkVersions, transportNames } from '../test/custom-transport/results.ts';

/**
 * Writes the table of the conformance tests from the tests and from the list of what does not pass,
 * which the system tests hold to what happens. A test compares the two.
 *
 * Usage: node --conditions=mcp-rendezvous-source scripts/conformance.ts
 */
export const conformanceFile = join(import.meta.dirname, '../docs/reference/custom-transport.md');

const what: Record<ConformanceTestId, string> = {
  'third-party-replacement': 'The SDK runs over the transport through its public API; no method of it is replaced.',
  'request-delivery': 'Requests arrive once, in order and unchanged, in both directions.',
  'response-delivery': 'So do results.',
  'notification-delivery': 'So do notifications. Nothing answers them, and they pass while a request waits.',
  'error-response':
    'A JSON-RPC error arrives with its code and data, and is not reported as a failure of the transport.',
  'transport-failure':
    'A broken carrier ends the session at the client: pending requests reject, without a JSON-RPC error.',
  close: '`close()` of either end ends both, stops delivery and sending, and releases what the transport held.',
  'no-http-dependency':
    'The six members of the interface are enough; no headers, status codes or session name of HTTP.',
  'protocol-reuse': 'Each feature of the SDK gives the same results and the same messages as over memory.',
  'opaque-context': 'Messages reach the request that they belong to; their context never becomes part of them.',
  'concurrent-requests': '40 requests overlap in each direction, and are answered in another order.',
  cancellation: 'An aborted request aborts its handler at the other end, and no other request.',
  'malformed-input': 'What is not JSON-RPC is rejected or ignored; the session goes on.',
  backpressure: '200 messages that are sent at once in each direction all arrive, in order.',
  'extension-fields': 'Unknown members of `params`, of results and of `_meta` arrive unchanged.',
  'protocol-version': 'Versions pass unchanged; one that an end does not support fails, and says so.',
  'long-lived-streams':
    'A request with 150 progress messages, and `subscriptions/listen` with SDK v2, run beside other requests.',
};

const columns = transportNames.flatMap((transport) => sdkVersions.map((sdk) => ({ transport, sdk })));
const tests = Object.entries(conformanceTests) as [ConformanceTestId, readonly [string, string]][];

const table = (headers: string[], rows: string[][]): string =>
  [headers, headers.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

const rows = tests.map(([id, [name, level]]) => [
  name,
  level,
  ...columns.map(({ transport, sdk }) => {
    const at = failures.findIndex((one) => one.sdk === sdk && one.transport === transport && one.test === id);
    return at === -1 ? 'pass' : `fail (${at + 1})`;
  }),
]);

const notes = failures.map(
  ({ sdk, transport, test, reason }, at) =>
    `${at + 1}. ${transport}, SDK ${sdk}, ${conformanceTests[test][0]}: ${reason}.`,
);

const { title, repository, path, commit } = conformanceDraft;

/** The text of the page. */
export const conformancePage = (): string => `# Conformance as a custom transport

<!-- Written by scripts/conformance.ts from the tests. Change those, and run it again. -->

The Transports Working Group of MCP drafts what a custom transport must do:
[${title}](${repository}/blob/${commit}/${path}), which narrows SEP-2598. It names 11 required and 6 recommended tests.
\`mcp-rendezvous/testing\` has them for any pair of transports, with the MCP SDK for TypeScript v1 or v2 running over them.

- Draft: commit \`${commit}\`
- What this transport promises in the specification's terms: [PROTOCOL.md](../../PROTOCOL.md#as-a-custom-transport)
- How to run the tests on a transport of your own: [testing](../internals/testing.md#conformance-of-a-custom-transport)

## Results

v1 is \`@modelcontextprotocol/sdk\`; v2 is \`@modelcontextprotocol/client\` and \`/server\`. "In memory" and "stdio" are the SDKs' own transports.
"Own signaling" and "relay" are this project's, over werift.

${table(['test', 'level', ...columns.map(({ transport, sdk }) => `${transport}, ${sdk}`)], rows)}

${notes.join('\n')}

The system tests run this table. A test that fails and is listed as passing is red there, and so is a test that passes and is listed as failing.

## What each test checks

${table(
  ['test', 'what must hold'],
  tests.map(([id, [name]]) => [name, what[id]]),
)}

Each test is itself tested: transports with one flaw each, such as one that drops the second response, or carries one request at a time,
make the test red that is meant to find it.
`;

if (argv[1] === import.meta.filename) writeFileSync(conformanceFile, conformancePage());
