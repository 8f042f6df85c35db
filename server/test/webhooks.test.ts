import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { mock, suite, test, type TestContext } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { RedisServer } from '../../test/support/redis.ts';
import { eventually } from '../../test/support/wait.ts';
import { ConfigError, parseConfig } from '../src/config/config.ts';
import { createLogger } from '../src/log.ts';
import { createMetrics } from '../src/metrics.ts';
import { readWebhookSecrets, signatureOf } from '../src/webhooks/webhook-secret.ts';
import { Webhooks } from '../src/webhooks/webhooks.ts';
import { type RunningApp, startApp } from './support/app.ts';
import { scraped } from './support/broker.ts';
import { RawPeer, testToken } from './support/peer.ts';
import { WebhookEndpoint, webhookSecret } from './support/webhook-endpoint.ts';

const join = (app: RunningApp, role: 'server' | 'client', subject: string, resume?: string): Promise<RawPeer> =>
  RawPeer.join(app.url, testToken({ room: 'desk', role, subject, id: `jti-${subject}` }), resume ? { resume } : {});

void suite('webhooks of peers', () => {
  test('who joins and who leaves, signed, without a token', async (t) => {
    const endpoint = await WebhookEndpoint.start(t);
    const app = await startApp(t, endpoint.env);
    const ada = await join(app, 'server', 'ada');
    const [online] = await endpoint.until(1);
    assert.deepEqual(
      [online?.type, online?.data],
      ['peer.online', { room: 'desk', id: ada.id, role: 'server', sub: 'ada', jti: 'jti-ada' }],
    );
    assert.match(online?.id ?? '', /^msg_[\w-]{36}$/);
    assert.ok(!Number.isNaN(Date.parse(online?.timestamp ?? '')));
    ada.send({ type: 'leave' });
    const [, offline] = await endpoint.until(2);
    assert.deepEqual([offline?.type, offline?.data['id'], offline?.data['reason']], ['peer.offline', ada.id, 'left']);
    assert.doesNotMatch(JSON.stringify(endpoint.received), /eyJ|"exp"|resume/);
    assert.deepEqual(endpoint.problems, []);
    assert.doesNotMatch(app.log(), /hunter2|whsec_/);
  });

  test('who resumes was never gone', async (t) => {
    const endpoint = await WebhookEndpoint.start(t);
    const app = await startApp(t, endpoint.env);
    const ada = await join(app, 'server', 'ada');
    ada.socket.terminate();
    const again = await join(app, 'server', 'ada', ada.joined.resume);
    assert.equal(again.id, ada.id);
    again.send({ type: 'leave' });
    await endpoint.until(2);
    assert.deepEqual(endpoint.steps, ['peer.online ada', 'peer.offline ada']);
  });

  test('who does not come back is gone when the window is over', async (t) => {
    const endpoint = await WebhookEndpoint.start(t);
    const app = await startApp(t, { ...endpoint.env, RESUME_WINDOW_MS: '100' });
    (await join(app, 'server', 'ada')).socket.terminate();
    const [, offline] = await endpoint.until(2);
    assert.deepEqual([offline?.type, offline?.data['reason']], ['peer.offline', 'closed']);
  });

  test('why a peer is gone: replaced, kicked, revoked', async (t) => {
    const endpoint = await WebhookEndpoint.start(t);
    const admin = 'the-token-of-the-operator';
    const app = await startApp(t, { ...endpoint.env, ADMIN_TOKEN: admin });
    const headers = { authorization: `Bearer ${admin}`, 'content-type': 'application/json' };
    const first = await join(app, 'server', 'ada');
    const second = await join(app, 'server', 'ada');
    const bob = await join(app, 'client', 'bob');
    await fetch(`${app.url}/v1/rooms/desk/peers/${second.id}`, { method: 'DELETE', headers });
    const body = JSON.stringify({ jti: 'jti-bob' });
    await fetch(`${app.url}/v1/revocations`, { method: 'POST', headers, body });
    await endpoint.until(6);
    const reasons = endpoint.received.flatMap(({ data: { id, reason } }) => (reason ? [[id, reason]] : []));
    assert.deepEqual(
      new Map(reasons as [string, string][]),
      new Map([
        [first.id, 'replaced'],
        [second.id, 'kicked'],
        [bob.id, 'revoked'],
      ]),
    );
  });

  test('the path of a session, each change of it, and why one failed', async (t) => {
    const endpoint = await WebhookEndpoint.start(t);
    const app = await startApp(t, endpoint.env);
    const ada = await join(app, 'server', 'ada');
    const bob = await join(app, 'client', 'bob');
    for (const path of ['relayed', 'direct', 'direct']) bob.send({ type: 'connected', peer: ada.id, path });
    bob.send({ type: 'connected', peer: 'p-nobody', path: 'turn' });
    bob.send({ type: 'failed', peer: ada.id, code: 'session_lost' });
    bob.send({ type: 'leave' });
    await endpoint.until(6);
    const about = { room: 'desk', id: bob.id, role: 'client', sub: 'bob', jti: 'jti-bob', peer: ada.id };
    const ofBob = endpoint.received.filter(({ data }) => data.id === bob.id);
    assert.deepEqual(
      ofBob.slice(1, -1).map(({ type, data }) => [type, data]),
      [
        ['peer.connected', { ...about, path: 'relayed' }],
        ['peer.connected', { ...about, path: 'direct' }],
        ['peer.failed', { ...about, code: 'session_lost' }],
      ],
    );
    assert.deepEqual([ofBob.at(0)?.type, ofBob.at(-1)?.type], ['peer.online', 'peer.offline']);
    assert.deepEqual(endpoint.problems, []);
  });

  test('a relay without Redis that stops says that its peers are gone', async (t) => {
    const endpoint = await WebhookEndpoint.start(t);
    const app = await startApp(undefined, endpoint.env);
    await join(app, 'server', 'ada');
    await join(app, 'client', 'bob');
    await app.close();
    assert.deepEqual(
      new Set(endpoint.steps),
      new Set(['peer.online ada', 'peer.online bob', 'peer.offline ada', 'peer.offline bob']),
    );
  });
});

void suite('webhooks of several instances', () => {
  const pair = async (t: TestContext) => {
    const redis = await RedisServer.start();
    t.after(() => redis.stop());
    const endpoint = await WebhookEndpoint.start(t);
    const env = {
      ...endpoint.env,
      REDIS_URL: redis.url,
      LEASE_MS: '3000',
      RESUME_WINDOW_MS: '300',
      DRAIN_WINDOW_MS: '0',
    };
    return { redis, endpoint, one: await startApp(t, env), two: await startApp(t, env) };
  };

  test('each peer makes one event, also one whose instance is gone', async (t) => {
    const { endpoint, one, two } = await pair(t);
    const ada = await join(one, 'server', 'ada');
    const bob = await join(two, 'client', 'bob');
    await join(one, 'client', 'eve');
    await endpoint.until(3);
    ada.send({ type: 'leave' });
    await endpoint.until(4);
    // Eve does not come back.
    await one.close();
    await endpoint.until(5);
    bob.send({ type: 'leave' });
    await endpoint.until(6);
    const steps = ['ada', 'bob', 'eve'].flatMap((sub) => [`peer.online ${sub}`, `peer.offline ${sub}`]);
    assert.deepEqual(endpoint.steps.toSorted(), steps.toSorted());
  });

  test('a peer that the shared memory has lost is online again', async (t) => {
    const { redis, endpoint, one } = await pair(t);
    const ada = await join(one, 'server', 'ada');
    await endpoint.until(1);
    await redis.command('FLUSHALL');
    const [, restored] = await endpoint.until(2);
    assert.deepEqual([restored?.type, restored?.data.id, restored?.data['restored']], ['peer.online', ada.id, true]);
  });
});

/** Deliveries without the pauses of a minute in between. */
function deliveries(url: string, pauseMs: (attempt: number) => number = () => 1) {
  const lines: string[] = [];
  const metrics = createMetrics(scraped);
  const log = createLogger('info', { write: (line) => void lines.push(line) });
  const secrets = readWebhookSecrets(webhookSecret) ?? [];
  const webhooks = new Webhooks({ url, secrets }, { log, metrics, pauseMs });
  const count = async (result: string) =>
    (await metrics.webhooks.get()).values.find(({ labels }) => labels['result'] === result)?.value ?? 0;
  return { webhooks, log: () => lines.join(''), count };
}

const event = (sub: string) => ['peer.online', sub, { id: sub, sub }] as const;

void suite('the delivery of webhooks', () => {
  for (const [name, trouble] of [
    ['an error', (response) => response.writeHead(500).end('x'.repeat(1_000_000))],
    ['a redirect', (response) => response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end()],
    ['a connection that breaks', (response) => response.destroy()],
  ] as [string, NonNullable<WebhookEndpoint['trouble']>][]) {
    test(`${name} is tried again, under the same id, and a peer's events keep their order`, async (t) => {
      const endpoint = await WebhookEndpoint.start(t);
      endpoint.trouble = (response) => {
        if (endpoint.asked >= 3) endpoint.trouble = undefined;
        trouble(response);
      };
      const { webhooks, log, count } = deliveries(endpoint.url);
      for (const type of ['first', 'second', 'third']) webhooks.send(type, 'ada', { sub: 'ada' });
      await endpoint.until(3);
      await webhooks.close();
      assert.deepEqual(endpoint.steps, ['first ada', 'second ada', 'third ada']);
      assert.deepEqual([endpoint.asked, await count('delivered'), webhooks.waiting], [6, 3, 0]);
      assert.match(log(), /"level":40.*Webhooks cannot be delivered/);
      assert.match(log(), /webhooks are delivered again/);
      assert.doesNotMatch(log(), /hunter2/);
    });
  }

  test('an event is given up after six attempts, which is counted and logged', async (t) => {
    const endpoint = await WebhookEndpoint.start(t);
    endpoint.trouble = (response) => response.writeHead(503).end();
    const { webhooks, log, count } = deliveries(endpoint.url);
    webhooks.send(...event('ada'));
    await eventually(async () => (await count('failed')) === 1);
    assert.equal(endpoint.asked, 6);
    assert.match(log(), /"level":50.*"lost":1.*Webhooks were given up/);
    await webhooks.close();
  });

  test('an endpoint that keeps a connection open, whatever it answers, keeps none of ours', async (t) => {
    const endpoint = await WebhookEndpoint.start(t);
    const sockets: Socket[] = [];
    endpoint.trouble = ({ socket }) => {
      if (!socket) return;
      sockets.push(socket);
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
    };
    const app = await startApp(t, endpoint.env);
    await join(app, 'server', 'ada');
    await eventually(() => sockets.length > 0 && sockets.every(({ destroyed }) => destroyed), 30_000);
  });

  test('what waits is limited, and what is more is dropped', async () => {
    // Nobody listens there.
    const { webhooks, log, count } = deliveries('http://127.0.0.1:1/', () => 3_600_000);
    for (let i = 0; i < 10_050; i++) webhooks.send(...event(`peer ${i}`));
    assert.deepEqual([webhooks.waiting, await count('dropped')], [10_000, 50]);
    await eventually(() => log().includes('Webhooks were given up'));
  });

  test('at the end what waits has one more attempt, and what hangs is cut', async (t) => {
    const endpoint = await WebhookEndpoint.start(t);
    const [failing, hanging] = [deliveries(endpoint.url, () => 3_600_000), deliveries(endpoint.url)];
    endpoint.trouble = (response) => response.writeHead(503).end();
    failing.webhooks.send(...event('ada'));
    await eventually(() => failing.log().includes('cannot be delivered'));
    endpoint.trouble = undefined;
    await failing.webhooks.close();
    assert.deepEqual(endpoint.steps, ['peer.online ada']);

    endpoint.trouble = () => {};
    hanging.webhooks.send(...event('bob'));
    await eventually(() => endpoint.asked === 3);
    mock.timers.enable({ apis: ['setTimeout'] });
    t.after(() => mock.timers.reset());
    const closed = hanging.webhooks.close();
    mock.timers.tick(5_000);
    await closed;
    assert.equal(await hanging.count('dropped'), 1);
    assert.match(hanging.log(), /Webhooks were given up/);
  });

  test('while a key is replaced, a receiver may have either of them', () => {
    const other = `whsec_${Buffer.alloc(24, 9).toString('base64')}`;
    const keys = readWebhookSecrets(`${webhookSecret}\n${other}\n`) ?? [];
    const seconds = Math.floor(Date.now() / 1000);
    const headers = {
      'webhook-id': 'msg_1',
      'webhook-timestamp': String(seconds),
      'webhook-signature': signatureOf(keys, 'msg_1', seconds, '{"a":"ü"}'),
    };
    for (const key of [webhookSecret, other]) {
      assert.deepEqual(new Webhook(key).verify('{"a":"ü"}', headers), { a: 'ü' });
      assert.throws(() => new Webhook(key).verify('{"a":"u"}', headers));
    }
  });

  test('a setting that cannot work is a mistake, without the secret in the message', () => {
    const url = 'https://hooks.example/relay';
    for (const [env, why] of [
      [{ WEBHOOK_URL: url }, /WEBHOOK_URL and WEBHOOK_SECRET need each other/],
      [{ WEBHOOK_SECRET: webhookSecret }, /need each other/],
      [{ WEBHOOK_URL: 'ftp://hooks.example', WEBHOOK_SECRET: webhookSecret }, /WEBHOOK_URL must be a URL/],
      [{ WEBHOOK_URL: url, WEBHOOK_SECRET: 'whsec_hunter2' }, /WEBHOOK_SECRET must be whsec_ and the base64/],
      [{ WEBHOOK_URL: url, WEBHOOK_SECRET: `${webhookSecret}\nhunter2` }, /WEBHOOK_SECRET must be whsec_/],
    ] as const) {
      const failure = (error: unknown) =>
        error instanceof ConfigError && why.test(error.message) && !error.message.includes('hunter2');
      assert.throws(() => parseConfig(env), failure);
    }
  });
});
