import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { argv } from 'node:process';
import { closeCodes, type RelayErrorCode, verdictOf } from '../protocol/src/close-codes.ts';
import { type CodeEntry, errorDetails, sdkErrors } from '../protocol/src/error-table.ts';
import { cliErrors } from '../sdk/src/cli/cli-error.ts';
import { messages } from '../server/src/errors.ts';
import { httpErrors } from '../server/src/http/http-errors.ts';

/**
 * Writes the page of all codes from the tables in the sources, which are its only source. A test
 * compares the two.
 *
 * Usage: node --conditions=mcp-rendezvous-source scripts/codes.ts
 */
export const codesFile = join(import.meta.dirname, '../docs/troubleshooting/codes.md');

const retryable = { give_up: 'no', new_token: 'with another token', come_back: 'yes' } as const;
const seenBy = { client: 'client', server: 'server', both: 'client, server' } as const;

const table = (headers: string[], rows: string[][]): string =>
  [headers, headers.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

/** Splits the relay's message: its last sentence is what to do. */
function sentences(code: RelayErrorCode): [what: string, remedy: string] {
  const message = messages[code];
  const [, what = message, remedy = ''] = /^(.*?\.) (?=[A-Z])(.*)$/.exec(message) ?? [];
  return [what, remedy];
}

const relayRows = (Object.entries(closeCodes) as [RelayErrorCode, number][]).map(([code, number]) => [
  `\`${code}\``,
  String(number),
  ...sentences(code),
  retryable[verdictOf(number)],
]);

const rowsOf = (entries: Record<string, CodeEntry>): string[][] =>
  Object.entries(entries).map(([code, entry]) => [
    `\`${code}\``,
    entry.what,
    entry.remedy,
    entry.retryable === 'depends' ? 'see `retryable`' : entry.retryable,
    seenBy[entry.seenBy],
  ]);

const detailsOf = (of: string): string[][] =>
  Object.entries(errorDetails)
    .filter(([, entry]) => entry.of === of)
    .map(([detail, { what, remedy }]) => [`\`${detail}\``, what, remedy]);

const httpRows = Object.entries(httpErrors).map(([code, { status, what, remedy }]) => [
  `\`${code}\``,
  String(status),
  what,
  remedy,
  status === 429 || status === 503 ? 'yes' : 'no',
]);

const common = ['code', 'what happened', 'what to do', 'retryable'];
const numbered = (number: string) => ['code', number, 'what happened', 'what to do', 'retryable'];
const detailed = ['`detail`', 'what happened', 'what to do'];

/** The text of the page. */
export const codesPage = (): string => `# All codes

<!-- Written by scripts/codes.ts from the tables in the sources. Change those, and run it again. -->

Every error has a stable \`code\` for programs, and a message that says what happened and what to do. \`retryable\` says whether the same
attempt may succeed later.

## From the relay

A peer gets these as an \`error\` frame, and as the reason and the number of the close frame behind it. The SDK passes them on as the
\`code\` of a \`RendezvousError\`; codes that begin with \`token_\` are a \`RendezvousAuthError\`. The operator sees them in the relay's log and
in the metric \`rendezvous_errors_total\`.

${table(numbered('close code'), relayRows)}

Closings without a code of this table, such as 1001, 1006 or 1012, are retryable. 1009 means the same as \`frame_too_large\`.

## From the SDK

The \`code\` of a \`RendezvousError\`. \`expose\`, \`connect\` and \`doctor\` pass it on as \`data.code\` of a JSON-RPC error or in their output.

${table([...common, 'seen by'], rowsOf(sdkErrors))}

### Details of \`relay_unreachable\`

Seen by the peer that dials, as \`detail\` of the error. Retryable.

${table(detailed, detailsOf('relay_unreachable'))}

### Details of \`ice_failed\`

Seen by the peer that tried to connect, as \`detail\` of the error. Retryable.

${table(detailed, detailsOf('ice_failed'))}

## From the command line

The \`data.code\` of a JSON-RPC error that \`connect\` and \`expose\` send in place of an answer, next to the codes of the SDK and the relay.

${table([...common, 'seen by'], rowsOf(cliErrors))}

## From the HTTP API

The body of an HTTP error is \`{"error": {"code": "…", "message": "…"}}\`. Whoever calls the API sees it: your backend, the operator, or a
load balancer.

${table(numbered('status'), httpRows)}
`;

if (argv[1] === import.meta.filename) writeFileSync(codesFile, codesPage());
