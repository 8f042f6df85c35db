import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { sampled } from '../../test/support/full.ts';
import { stopClock } from '../../test/support/stopped-clock.ts';
import { eventually } from '../../test/support/wait.ts';
import { type RunningApp, startApp } from './support/app.ts';
import { RawPeer, testToken } from './support/peer.ts';

const adminToken = 'a'.repeat(16);
/** A peer behind two trusted proxies: one on this machine, one at 10.0.0.0/8. */
const behind = { TRUST_PROXY: 'loopback, 10.0.0.0/8' };

/** The ways in which proxies write the address 203.0.113.x. */
const ipv4 = [
  (last: number, port: number) => `203.0.113.${last}${port ? `:${port}` : ''}`,
  (last: number, port: number) => `[::ffff:203.0.113.${last}]${port ? `:${port}` : ''}`,
  (last: number) => `::ffff:203.0.113.${last}`,
  (last: number) => `::FFFF:CB00:71${last.toString(16).padStart(2, '0')}`,
  (last: number, port: number) => `[0:0:0:0:0:ffff:cb00:71${last.toString(16).padStart(2, '0')}]:${port || 443}`,
  (last: number) => `64:ff9b::203.0.113.${last}`,
];
/** The ways in which proxies write an address of the network 2001:db8:0:1::/64. */
const ipv6 = [
  (last: number, port: number) => `[2001:db8:0:1::${last.toString(16)}]${port ? `:${port}` : ''}`,
  (last: number) => `2001:db8:0:1::${last.toString(16)}`,
  (last: number) => `2001:0DB8:0000:0001:0:0:0:${last.toString(16)}`,
  (last: number, port: number) => `[2001:DB8:0:1:0::${last.toString(16)}%eth0]:${port || 443}`,
  (last: number) => `2001:db8:0:1:1:2:3.4.5.${last}`,
];
const port = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 65_535 }));
/** What a peer writes into the header itself, ahead of what the proxies add. */
const forged = fc.array(
  fc.constantFrom('192.0.2.9', '192.0.2.9:80', 'unknown', '', '[::', '10.0.0.9', '127.0.0.1', '_hidden', 'a b', '::1'),
  { maxLength: 3 },
);
/** Proxies that are trusted, with and without a port. */
const hops = fc.array(fc.constantFrom('10.0.0.2', '10.0.0.2:443', '[::ffff:10.0.0.3]:80', '127.0.0.1:9', '::1'), {
  maxLength: 3,
});
const space = fc.constantFrom(', ', ',', ' ,  ');

/** Headers that are all of one peer, who is at 203.0.113.`last` or in 2001:db8:0:1::/64. */
const headers = (last: number) =>
  fc
    .tuple(fc.constantFrom(...ipv4), port, forged, hops, space)
    .map(([write, at, before, after, between]) => [...before, write(last, at), ...after].join(between));
const headers6 = fc
  .tuple(fc.constantFrom(...ipv6), fc.integer({ min: 1, max: 99 }), port, forged, hops, space)
  .map(([write, last, at, before, after, between]) => [...before, write(last, at), ...after].join(between));

const limitedBy = async (app: RunningApp): Promise<number> => {
  const text = await (await fetch(`${app.url}/metrics`)).text();
  return Number(/^rendezvous_limited_total\{limit="address"\} (\d+)$/m.exec(text)?.[1] ?? 0);
};

for (const [family, mine, other] of [
  ['IPv4', headers(7), '203.0.113.8:7'],
  ['IPv6', headers6, '[2001:db8:0:2::7]:7'],
] as const) {
  test(`one address counts once, however proxies write it: ${family}`, async (t) => {
    const app = await startApp(t, { ...behind, MAX_CONNECTIONS_PER_ADDRESS: '3' });
    const join = async (header: string): Promise<RawPeer> => {
      const peer = new RawPeer(app.url, { headers: { 'x-forwarded-for': header } });
      await once(peer.socket, 'open');
      peer.send({ type: 'join', token: await testToken({ room: 'a', role: 'client', subject: crypto.randomUUID() }) });
      return peer;
    };
    const samples = fc.sample(mine, { numRuns: sampled(200), seed: 17 });
    let inside = await Promise.all(samples.splice(0, 3).map(join));
    for (const peer of inside) await peer.next('joined');
    let refused = 0;
    for (const [index, header] of samples.entries()) {
      assert.equal(await (await join(header)).refusal(), 'rate_limited', header);
      refused++;
      // The limit is met and left again and again while peers come.
      if (index % 20 !== 0) continue;
      inside[0]?.send({ type: 'leave' });
      await inside[0]?.closed;
      const next = await join(header);
      await next.next('joined');
      inside = [...inside.slice(1), next];
    }
    assert.equal(await limitedBy(app), refused);
    await (await join(other)).next('joined');
  });
}

test('wrong admin tokens of one address count together, however proxies write it', async (t) => {
  stopClock(t);
  const app = await startApp(t, { ...behind, ADMIN_TOKEN: adminToken });
  const guess = async (header: string, token = 'wrong'): Promise<number> => {
    const answer = await fetch(`${app.url}/v1/rooms`, {
      headers: { authorization: `Bearer ${token}`, 'x-forwarded-for': header },
    });
    return answer.status;
  };
  const answers: number[] = [];
  for (const header of fc.sample(headers(7), { numRuns: 30, seed: 4 })) answers.push(await guess(header));
  assert.deepEqual(answers, [...Array<number>(10).fill(401), ...Array<number>(20).fill(429)]);
  assert.equal(await guess('203.0.113.7:5', adminToken), 200);
  assert.equal(await guess('203.0.113.8:5'), 401);
});

test('a proxy that forwards no address is named in the log, and its peers count together', async (t) => {
  const app = await startApp(t, { ...behind, MAX_CONNECTIONS_PER_ADDRESS: '2', JOIN_TIMEOUT_MS: '60000' });
  const open = (header: string): RawPeer => new RawPeer(app.url, { headers: { 'x-forwarded-for': header } });
  const peers = ['unknown', '_hidden', '203.0.113.1, 999.1.1.1', '[::', ',', '-'].map(open);
  // Whichever two of them came first are let in.
  const closed: unknown[] = [];
  for (const peer of peers) void peer.closed.then(({ code }) => closed.push(code));
  await eventually(() => closed.length === 4);
  assert.deepEqual(closed, Array(4).fill('rate_limited'));
  const lines = app.log().match(/^.*X-Forwarded-For.*$/gm) ?? [];
  assert.equal(lines.length, 1, app.log());
  assert.match(lines[0] ?? '', /"level":40.*"proxy":"127\.0\.0\.1".*Configure the proxy/);
  for (const peer of peers) peer.socket.terminate();
});
