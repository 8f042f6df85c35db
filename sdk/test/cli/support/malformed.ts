import { constant, constantFrom, type Arbitrary, oneof, record, sample } from 'fast-check';
import { isJsonRpcMessage } from '../../../src/link/message.ts';

/** The seed of what is generated; named in the tests, so that a failure can be repeated. */
export const seed = 19;

const junk = constantFrom<unknown[]>(null, [], [1], 5, 'text', true, {});
const versions = constantFrom<unknown[]>('2.0', '2.0', '2.0', '1.0', 2, null);
const error = oneof(junk, record({ code: junk, message: junk }, { requiredKeys: [] }));

const object = (more: Record<string, Arbitrary<unknown>>, keys: string[]): Arbitrary<Record<string, unknown>> =>
  record<Record<string, unknown>>({ jsonrpc: versions, ...more }, { requiredKeys: keys });

/** What a server or a client may have meant as a request, without its id. */
const requests = oneof(
  object({ method: oneof(constant('x'), junk), params: junk }, ['method']),
  object({ method: oneof(constant('x'), junk), params: junk, result: junk, error }, ['method']),
  object({ params: junk }, []),
);
/** What may have been meant as a response. */
const responses = oneof(
  object({ result: junk }, ['result']),
  object({ error }, ['error']),
  object({ result: junk, error }, ['result', 'error']),
);

function samples(what: Arbitrary<Record<string, unknown>>, prefix: string): { id: string; line: string }[] {
  const invalid = what.filter((members) => !isJsonRpcMessage({ ...members, id: 1 }));
  return sample(invalid, { numRuns: 150, seed }).map((members, index) => {
    const id = `${prefix}-${index}`;
    return { id, line: JSON.stringify({ ...members, id }) };
  });
}

export const malformedRequests = (prefix: string) => samples(requests, prefix);
export const malformedResponses = (prefix: string) => samples(responses, prefix);

/**
 * A stdio server that writes the lines that it is told to, asks what it is told to ask, and logs
 * the answers.
 */
export const obedient: [string, ...string[]] = [
  process.execPath,
  '-e',
  `
  const say = (m) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...m }) + '\\n');
  require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
    const { id, method, params } = JSON.parse(line);
    if (method === 'initialize') say({ id, result: { protocolVersion: '2025-11-25', capabilities: {} } });
    else if (method === 'echo') say({ id, result: { params } });
    else if (method === 'write' || method === 'notifications/write') process.stdout.write(params.text);
    else if (method === 'notifications/ask') for (const asked of params.ids) say({ id: asked, method: 'ping' });
    else if (method === undefined) process.stderr.write('answered ' + line + '\\n');
  });`,
];

/** The ids of the answers that an obedient server has logged. */
export const answersIn = (lines: readonly string[]): Set<unknown> =>
  new Set(
    lines
      .filter((line) => line.startsWith('answered '))
      .map((line) => (JSON.parse(line.slice('answered '.length)) as { id?: unknown }).id),
  );
