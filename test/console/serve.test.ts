import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { RelayProcess } from '../support/relay.ts';
import { assertBuilt, dist } from './support/built.ts';

let development: RelayProcess;
let relay: RelayProcess;
let documented: RelayProcess;

before(async () => {
  assertBuilt();
  development = await RelayProcess.start({ RELAY_SECRET: '' });
  relay = await RelayProcess.start();
  documented = await RelayProcess.start({ DOCS_URL: 'https://docs.example/relay?a=1&b="2"' });
});
after(() => Promise.all([development?.stop(), relay?.stop(), documented?.stop()]));

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

/** Without what fetch adds and forbids by itself. */
const ask = (url: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const asked = request(url, { method, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    asked.on('error', reject).end();
  });

test('the page: its policy, its tag, and nothing of the relay that it need not know', async () => {
  const page = await ask(relay.url);
  assert.equal(page.status, 200);
  assert.equal(page.headers['content-type'], 'text/html; charset=utf-8');
  assert.equal(page.headers['cache-control'], 'no-cache');
  assert.equal(page.headers['x-content-type-options'], 'nosniff');
  assert.equal(page.headers['referrer-policy'], 'no-referrer');
  const policy = String(page.headers['content-security-policy']);
  assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'/);
  assert.match(policy, /connect-src 'self';.*frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe|https?:|\*/);
  assert.doesNotMatch(page.body.toString(), /data-development|data-admin|data-docs|<script>|style="/);
  const etag = String(page.headers['etag']);
  for (const tag of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const again = await ask(relay.url, { 'if-none-match': tag });
    assert.deepEqual([again.status, again.body.length], [304, 0], tag);
  }
  assert.equal((await ask(relay.url, { 'if-none-match': '"other"' })).status, 200);
  assert.match((await ask(development.url)).body.toString(), /<html data-development/);
  // A URL that is configured is a link, and cannot end the attribute.
  assert.match((await ask(documented.url)).body.toString(), /<html [^>]*data-docs="[^"]+a=1&amp;b=%222%22" /);
});

test('its files have names of their content, are kept for ever, and come with gzip', async () => {
  const html = (await ask(relay.url)).body.toString();
  const paths = Array.from(html.matchAll(/(?:src|href)="\.\/(assets\/[^"]+)"/g), ([, path]) => path ?? '');
  assert.ok(paths.some((path) => path.endsWith('.js')) && paths.some((path) => path.endsWith('.css')));
  const wanted: Record<string, string> = {
    js: 'text/javascript; charset=utf-8',
    css: 'text/css; charset=utf-8',
    svg: 'image/svg+xml',
  };
  for (const path of paths) {
    assert.match(path, /-[\w-]{8}\.(js|css|svg)$/);
    const plain = await ask(`${relay.url}/${path}`);
    assert.deepEqual([plain.status, plain.headers['content-type']], [200, wanted[path.split('.').at(-1) ?? '']]);
    assert.equal(plain.headers['cache-control'], 'public, max-age=31536000, immutable');
    assert.equal(plain.headers['content-encoding'], undefined);
    const zipped = await ask(`${relay.url}/${path}`, { 'accept-encoding': 'br;q=1, gzip;q=0.5' });
    assert.equal(zipped.headers['content-encoding'], 'gzip');
    assert.deepEqual(gunzipSync(zipped.body), plain.body);
    assert.equal(
      (await ask(`${relay.url}/${path}`, { 'accept-encoding': 'gzip;q=0' })).headers['content-encoding'],
      undefined,
    );
  }
  assert.equal((await ask(`${relay.url}/assets/../../package.json`)).status, 404);
  assert.equal((await ask(`${relay.url}/index.html`)).status, 404);
});

test('its script is small: what the first view loads, and all of it', (t) => {
  const html = readFileSync(join(dist, 'index.html'), 'utf8');
  const sizes = new Map(
    readdirSync(join(dist, 'assets'))
      .filter((name) => name.endsWith('.js'))
      .map((name) => [name, gzipSync(readFileSync(join(dist, 'assets', name))).byteLength]),
  );
  const first = [...sizes].reduce((total, [name, bytes]) => total + (html.includes(name) ? bytes : 0), 0);
  const all = [...sizes.values()].reduce((total, bytes) => total + bytes, 0);
  t.diagnostic(`${first} bytes of script with gzip for the first view, ${all} in all`);
  assert.ok(first > 0 && first < 60_000, `${first} bytes for the first view`);
  assert.ok(all < 220_000, `${all} bytes in all`);
});

test('tokens for a try: from the console on this machine only, and never from a relay with a key', async () => {
  const url = `${development.url}/console/tokens`;
  const { host } = new URL(development.url);
  const post = (headers: Record<string, string>, to = url) => ask(to, headers, 'POST');
  const given = await post({ host, origin: `http://${host}` });
  assert.equal(given.status, 201);
  assert.equal(given.headers['cache-control'], 'no-store');
  const { room, server, client } = JSON.parse(given.body.toString()) as Record<string, string>;
  assert.match(String(room), /^try-[\w-]{12}$/);
  for (const [token, role] of [
    [server, 'server'],
    [client, 'client'],
  ]) {
    const claims = JSON.parse(Buffer.from(String(token).split('.')[1] ?? '', 'base64url').toString()) as Record<
      string,
      unknown
    >;
    assert.deepEqual([claims['room'], claims['role']], [room, role]);
  }
  const others: Record<string, string>[] = [
    { host },
    { host, origin: 'https://elsewhere.example' },
    { host, origin: 'null' },
    { host, origin: `https://${host}` },
    // A name that was made to point to this machine.
    { host: 'rebound.example:8787', origin: 'http://rebound.example:8787' },
    { host: '127.0.0.1.rebound.example', origin: 'http://127.0.0.1.rebound.example' },
    // A proxy that passes on what comes from elsewhere.
    { host, origin: 'https://relay.example' },
  ];
  for (const headers of others) assert.equal((await post(headers)).status, 403, JSON.stringify(headers));
  assert.equal((await ask(url, { origin: `http://${host}` })).status, 404, 'by GET');
  const own = new URL(relay.url).host;
  assert.equal((await post({ host: own, origin: `http://${own}` }, `${relay.url}/console/tokens`)).status, 404);
});
