import type { ConformanceOptions } from './conformance-session.ts';
import { type ConformanceCase, conformanceTests, type Subject } from './conformance-test.ts';
import { deliveryConformance } from './delivery-conformance.ts';
import { flowConformance } from './flow-conformance.ts';
import { lifeConformance } from './life-conformance.ts';
import type { McpSdk } from './mcp-sdk.ts';
import { reuseConformance } from './reuse-conformance.ts';
import type { MakePair } from './transport-pair.ts';
import { versionConformance } from './version-conformance.ts';

/** The draft whose tests these are. It narrows SEP-2598 of the Model Context Protocol. */
export const conformanceDraft = {
  title: 'Pluggable Transport Interface for MCP SDKs',
  repository: 'https://github.com/modelcontextprotocol/transports-wg',
  path: 'proposals/XXXX-pluggable-transports.md',
  commit: '82a50cc94b7f3d8bcbf8af2cc18fc0c6adcc8e63',
} as const;

/**
 * The 11 required and 6 recommended tests of the draft {@link conformanceDraft}, in its order, for
 * any pair of transports: an MCP SDK runs over them. Each test connects pairs of its own. Run them
 * one at a time: `no-http-dependency` sees the HTTP requests of the whole process.
 *
 * ```ts
 * const sdk = { Client, McpServer, serveStdio }; // serveStdio: of SDK v2
 * const cases = customTransportConformance(sdk, () => MyTransport.pair());
 * for (const { name, run } of cases) test(name, run);
 * ```
 *
 * @param sdk the MCP SDK that runs over the transports, v1 or v2
 * @param makePair a client's and a server's transport that find each other once both are started; a
 *   new pair for each call
 * @param options what the tests cannot do with the interface alone, and how long to wait
 */
export function customTransportConformance(
  sdk: McpSdk,
  makePair: MakePair,
  options: ConformanceOptions = {},
): ConformanceCase[] {
  const subject: Subject = { sdk, makePair, options, patienceMs: options.patienceMs ?? 20_000 };
  const order = Object.keys(conformanceTests);
  return [lifeConformance, deliveryConformance, reuseConformance, flowConformance, versionConformance]
    .flatMap((part) => part(subject))
    .toSorted((a, b) => order.indexOf(a.id) - order.indexOf(b.id));
}
