import { connect } from 'node:tls';
import * as fc from 'fast-check';
import { closeOf, within } from '../support/wait.ts';

/** Paths of a relay that are for operators, or for a development relay's own console. */
export const privatePaths = [
  '/metrics',
  '/v1/rooms',
  '/v1/rooms/a',
  '/v1/rooms/a/peers/b',
  '/v1/revocations',
  '/v1/tokens',
  '/console/tokens',
];
const publicPaths = ['/', '/sandbox', '/healthz', '/v1/connect', '/assets/x.js'];

const hex = (code: number): string => `%${code.toString(16).padStart(2, '0')}`;
const encode = (text: string): string => Array.from(Buffer.from(text), hex).join('');
/** Request targets are bytes, so that text beyond ASCII is written as the bytes of its UTF-8. */
const bytes = (text: string): string => Buffer.from(text).toString('latin1');
const fullWidth = (text: string): string => String.fromCodePoint(...Array.from(text, (c) => c.charCodeAt(0) + 0xfee0));
/** UTF-8 with two or three bytes where one is enough (RFC 3629 §3 forbids it). */
const overlong = (code: number): string => hex(0xc0 | (code >> 6)) + hex(0x80 | (code & 0x3f));
const longer = (code: number): string => hex(0xe0) + hex(0x80 | (code >> 6)) + hex(0x80 | (code & 0x3f));

/** Changes one character of the path, the `at`th from its start. */
const oneCharacter: ((character: string, code: number) => string)[] = [
  (_, code) => hex(code),
  (_, code) => hex(code).toUpperCase(),
  (_, code) => `%25${hex(code).slice(1)}`,
  (_, code) => `%25%32%35${hex(code).slice(1)}`,
  (_, code) => overlong(code),
  (_, code) => longer(code),
  (_, code) => `%u00${hex(code).slice(1)}`,
  (character) => character.toUpperCase(),
  (character) => bytes(fullWidth(character)),
  (character) => encode(fullWidth(character)),
  (character) => `%00${character}`,
  (character) => `${character};x=1`,
];
const words = (text: string): string[] => text.split(' ');
const separators = words('// /./ /x/../ /%2e/ /x/%2e%2e/ \\ %5c %2f /%2f %252f %c0%af /;/');
const ends = [
  ...words('/ // . /. /.. /../ %00 %20 %09 %0a %0d%0aX:%201 ; ;x=1 ? ?a=b # #a'),
  ...words('%23 %3f %3b %2e %2f \\ %5c .json * ~ %ff % %6 %zz'),
  bytes('é'),
  '\u0080',
];
/** What some parser takes for the end of a path, or for a step up. */
const joints = [...words('? # ; %3f %23 %3b %00 %0a %20 %0d%0a \\ %5c'), '', bytes('é')];
const steps = words('/.. /../.. /%2e%2e /.%2e %2f.. %2f%2e%2e \\.. /..; /..%00 /%252e%252e');
/**
 * Steps that lead from a path back to the root, of which a router that splits before it decodes
 * sees one segment only.
 */
const climbs = words('%2f..%2f %2f%2e%2e%2f').flatMap((step) =>
  [1, 2, 3, 4].map((count) => step + '..%2f'.repeat(count - 1)),
);
const authorities = [
  ...words('http://localhost https://localhost HTTP://localhost http://localhost:1 http://a@localhost http://'),
  ...words('http://localhost? http://localhost# http://localhost/healthz? http://localhost/healthz# //localhost'),
  ...words('http://localhost/healthz/.. http://localhost; http://localhost%2f http: x: localhost ws://localhost'),
];

type Spelling = (path: string) => string;
const spellings: fc.Arbitrary<Spelling> = fc.oneof(
  fc.tuple(fc.nat(24), fc.constantFrom(...oneCharacter)).map(
    ([at, change]): Spelling =>
      (path) =>
        changeAt(path, 1 + (at % (path.length - 1)), change),
  ),
  fc.tuple(fc.nat(4), fc.constantFrom(...separators)).map(
    ([at, to]): Spelling =>
      (path) =>
        replaceSlash(path, at, to),
  ),
  fc.constantFrom(...ends).map(
    (end): Spelling =>
      (path) =>
        path + end,
  ),
  fc.constant<Spelling>((path) => `/${encode(path.slice(1))}`),
  fc.constant<Spelling>((path) => path.toUpperCase()),
);
const changeAt = (path: string, at: number, change: (character: string, code: number) => string): string =>
  path.slice(0, at) + change(path[at] ?? '', path.charCodeAt(at)) + path.slice(at + 1);
function replaceSlash(path: string, which: number, to: string): string {
  const places = Array.from(path.matchAll(/\//g), ({ index }) => index);
  const at = places[which % places.length] ?? 0;
  return path.slice(0, at) + to + path.slice(at + 1);
}

const wrapped = (path: string): fc.Arbitrary<string> => {
  const open = fc.constantFrom(...publicPaths);
  const joint = fc.constantFrom(...joints);
  const step = fc.constantFrom(...steps);
  return fc.oneof(
    { weight: 3, arbitrary: fc.constant(path) },
    // One parser sees a public path, and another one the private path before or after it.
    fc.tuple(open, joint, step).map(([front, glue, up]) => front + glue + up + path),
    fc.tuple(open, joint, step).map(([front, glue, up]) => path + glue + up + front),
    fc.tuple(open, joint).map(([front, glue]) => front + glue + path),
    fc.tuple(open, fc.constantFrom(...climbs)).map(([front, up]) => path + up + front.slice(1)),
    fc.constantFrom(...authorities).map((authority) => authority + path),
  );
};

/**
 * Request targets that one parser or another could take for a private path; the same ones for a
 * seed.
 */
export function oddTargets(count: number, seed: number): { path: string; target: string }[] {
  const every = privatePaths.flatMap((path) =>
    [
      ...Array.from(path.slice(1), (_, at) => oneCharacter.map((change) => changeAt(path, at + 1, change))).flat(),
      ...separators.flatMap((to) => [0, 1].map((which) => replaceSlash(path, which, to))),
      ...ends.map((end) => path + end),
      ...authorities.map((authority) => authority + path),
    ].map((target) => ({ path, target })),
  );
  const some = fc
    .tuple(fc.constantFrom(...privatePaths), fc.array(spellings, { minLength: 1, maxLength: 3 }))
    .chain(([path, changes]) =>
      wrapped(changes.reduce((text, change) => change(text), path)).map((target) => ({ path, target })),
    );
  const back = privatePaths.flatMap((path) =>
    climbs.flatMap((up) => publicPaths.map((front) => ({ path, target: path + up + front.slice(1) }))),
  );
  return [
    ...back,
    ...fc.sample(fc.constantFrom(...every), { numRuns: count, seed }),
    ...fc.sample(some, { numRuns: count, seed }),
  ];
}

export interface Answer {
  status: number;
  head: string;
  body: string;
}

/** Sends a request as it is, over TLS, which no client library would do. */
export async function ask(port: number, target: string, headers: string[] = [], method = 'GET'): Promise<Answer> {
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost' });
  socket.on('error', () => {}); // what follows is `close`
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => (text += part));
  const lines = [`${method} ${target} HTTP/1.1`, `Host: localhost:${port}`, 'Connection: close', ...headers];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  await within(closeOf(socket), `an answer to ${JSON.stringify(target)}`);
  const end = text.indexOf('\r\n\r\n');
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1] ?? 0);
  return { status, head: text.slice(0, end), body: text.slice(end + 4) };
}

/**
 * What a private path's answer has that no other one has: metrics, or the admin endpoints' headers
 * and members.
 */
const privateMark =
  /rendezvous_|no-store|www-authenticate|"(rooms|peers|token|removed|server)":|bad_request|origin_not_allowed/i;

/**
 * The target whose answer comes from a private path, of those that are asked, with the admin token.
 */
export async function findLeaks(
  port: number,
  targets: { path: string; target: string }[],
  adminToken: string,
): Promise<string[]> {
  const leaks: string[] = [];
  const rest = targets.values();
  const work = async (): Promise<void> => {
    for (const { path, target } of rest) {
      const posts = /tokens|revocations/.test(path);
      const more = posts ? ['Content-Type: application/json', 'Content-Length: 0'] : [];
      const headers = [`Authorization: Bearer ${adminToken}`, ...more];
      const { status, head, body } = await ask(port, target, headers, posts ? 'POST' : 'GET');
      if (privateMark.test(`${head}\n${body}`)) leaks.push(`${JSON.stringify(target)}: ${status} ${body.slice(0, 80)}`);
    }
  };
  await Promise.all(Array.from({ length: 6 }, work));
  return leaks;
}
