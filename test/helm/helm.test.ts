import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { parse } from 'yaml';
import { parseConfig } from '../../server/src/config/config.ts';
import { environment } from '../../server/src/config/environment.ts';
import { RedisServer } from '../support/redis.ts';
import { RelayProcess } from '../support/relay.ts';
import { eventually } from '../support/wait.ts';
import { chart, Helm, type Rendered, root, type Values } from './helm.ts';
import { entryOf, environmentOf, find, relayOf, type Workload } from './volumes.ts';

const helm = await Helm.find();
after(() => rm(helm.folder, { recursive: true }));
const folder = (): Promise<string> => mkdtemp(join(helm.folder, 'volumes-'));

const secret = 'a secret for tests that is long enough';
const certificate = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const toRedis = [{ to: [{ ipBlock: { cidr: '192.0.2.7/32' } }], ports: [{ port: 6379 }] }];
const secretOf = (stringData: Record<string, string>): Rendered => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'mine', labels: {} },
  stringData,
});

/** Values that installations have, and the Secrets that these take for granted. */
const installations: Record<string, { values: Values; brings?: Rendered[] }> = {
  defaults: { values: {} },
  'ingress with TLS': {
    values: { ingress: { enabled: true, className: 'nginx', host: 'relay.example', tlsSecret: 'relay-tls' } },
  },
  'TURN over TLS at an address of its own': {
    values: {
      ingress: { enabled: true, host: 'relay.example' },
      secrets: { turn: 'shared' },
      turn: {
        bundled: {
          host: 'turn.example',
          ip: '192.0.2.7',
          check: 'stun.example:3478',
          tlsSecret: 'turn-tls',
          service: { annotations: { a: 'b' } },
        },
      },
    },
  },
  'external Redis with TLS': {
    values: {
      redis: { mode: 'external', url: 'rediss+cluster://relay:p%40ss@a:6379,b:6379', ca: certificate },
      networkPolicy: { egress: toRedis },
    },
  },
  'a Secret that is there': {
    values: {
      secrets: { existing: 'mine' },
      redis: { mode: 'external' },
      turn: { urls: ['turn:t.example:3478?transport=udp'], stunUrls: ['stun:t.example:3478'] },
      networkPolicy: { enabled: false },
    },
    brings: [
      secretOf({
        'relay-secret': `${secret}\nanother secret that is long enough\n`,
        'admin-token': 'operator-operator',
        'turn-secret': 'shared',
        'redis-url': 'redis+sentinel://a:26379,b:26379/main',
      }),
    ],
  },
  'issuers and TURN': {
    values: {
      keys: 'issuers',
      secrets: {
        issuers: [{ issuer: 'https://app.example', secret }],
        turn: 'shared',
        adminToken: 'operator-operator',
      },
      turn: { urls: ['turns:t.example:5349?transport=tcp'] },
    },
  },
  "a provider's TURN servers": {
    values: {
      secrets: { relaySecret: secret, adminToken: 'operator-operator', turnCredentialsToken: 'a-token' },
      turn: { stunUrls: ['stun:stun.example:3478'], credentialsUrl: 'https://turn.example/credentials' },
    },
  },
  webhooks: {
    values: {
      secrets: { relaySecret: secret, adminToken: 'operator-operator', webhook: `whsec_${'A'.repeat(43)}=` },
      webhooks: { url: 'http://backend.app:8080/hooks' },
    },
  },
  'autoscaling and monitoring': {
    values: {
      autoscaling: { enabled: true, sockets: 5000, minReplicas: 3 },
      monitoring: { enabled: true, labels: { release: 'prometheus' } },
    },
  },
  everything: {
    values: {
      image: { repository: 'registry.example/relay', digest: `sha256:${'0'.repeat(64)}` },
      imagePullSecrets: [{ name: 'registry' }],
      replicas: 5,
      env: { MAX_BYTES_BURST: 1_048_576, LOG_LEVEL: 'debug', ALLOWED_ORIGINS: 'https://app.example', RELAY_PORT: 9000 },
      drainSeconds: 60,
      trustProxy: '10.0.0.0/8,100.64.0.0/10',
      redis: { persistence: { storageClass: 'fast' } },
      networkPolicy: { from: [{ namespaceSelector: { matchLabels: { name: 'ingress' } } }], egress: toRedis },
      service: { type: 'LoadBalancer', annotations: { a: 'b' } },
      nodeSelector: { disk: 'ssd' },
      tolerations: [{ key: 'relay', operator: 'Exists' }],
      affinity: { podAntiAffinity: {} },
      podAnnotations: { c: 'd' },
      podLabels: { e: 'f' },
      priorityClassName: 'high',
    },
  },
};

interface Port {
  name?: string;
  port: number | string;
  targetPort?: string;
}
const matches = (labels: Record<string, string>, selector: Record<string, string>): boolean =>
  Object.entries(selector).every(([name, value]) => labels[name] === value);

void suite('the Helm chart', () => {
  const all: Rendered[] = [];
  for (const [name, { values, brings = [] }] of Object.entries(installations)) {
    test(`${name}: linted, and the relay takes its environment`, async () => {
      assert.match(
        await helm.run('lint', '--strict', chart, '--values', await helm.valuesFile(values)),
        /0 chart\(s\) failed/,
      );
      const objects = await helm.template(values);
      all.push(...objects);
      const env = await environmentOf([...objects, ...brings], await folder());
      assert.deepEqual(
        Object.keys(env).filter((variable) => !(variable in environment.shape)),
        [],
      );
      const config = parseConfig(env);
      assert.equal(config.host, '0.0.0.0');
      assert.ok(config.adminToken && config.redis);
      assert.equal(config.trustProxy !== false, 'ingress' in values || 'trustProxy' in values);
      const { spec } = relayOf(objects).spec.template;
      const [{ lifecycle, ports }] = spec.containers;
      assert.deepEqual(ports, [{ name: 'http', containerPort: config.port }]);
      const needed = lifecycle.preStop.sleep.seconds * 1000 + config.limits.drainWindowMs + 5000;
      assert.ok(spec.terminationGracePeriodSeconds * 1000 > needed);
    });

    test(`${name}: what refers to something finds it, and no pod has more rights than it needs`, async () => {
      const objects = await helm.template(values);
      const of = (kind: string) => objects.filter((object) => object.kind === kind);
      const workloads = [...of('Deployment'), ...of('StatefulSet')] as Workload[];
      const selects = (selector: Record<string, string>): Workload => {
        const [only, ...more] = workloads.filter(({ spec }) => matches(spec.template.metadata.labels, selector));
        assert.ok(only && more.length === 0, JSON.stringify(selector));
        return only;
      };
      for (const workload of workloads) {
        assert.equal(selects(workload.spec.selector.matchLabels), workload);
        const { spec } = workload.spec.template;
        assert.deepEqual([spec.enableServiceLinks, spec.automountServiceAccountToken], [false, false]);
        assert.deepEqual(spec.securityContext['seccompProfile'], { type: 'RuntimeDefault' });
        assert.equal(spec.securityContext['runAsNonRoot'], true);
        const nothing = {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          // What coturn's program asks for.
          capabilities: {
            drop: ['ALL'],
            ...(workload.metadata.name.endsWith('-turn') && { add: ['NET_BIND_SERVICE'] }),
          },
        };
        assert.deepEqual(
          spec.containers.map(({ securityContext }) => securityContext),
          [nothing],
        );
      }
      const services = of('Service') as (Rendered & { spec: { selector: Record<string, string>; ports: Port[] } })[];
      for (const { spec } of services) {
        const [{ ports }] = selects(spec.selector).spec.template.spec.containers;
        assert.deepEqual(
          spec.ports.map(({ targetPort }) => targetPort),
          ports.map(({ name: port }) => port),
        );
      }
      for (const { spec } of [...of('PodDisruptionBudget'), ...of('NetworkPolicy')] as (Rendered & {
        spec: {
          selector?: { matchLabels: Record<string, string> };
          podSelector?: { matchLabels: Record<string, string> };
        };
      })[]) {
        selects((spec.selector ?? spec.podSelector)?.matchLabels ?? {});
      }
      for (const { spec } of of('ServiceMonitor') as (Rendered & {
        spec: { selector: { matchLabels: Record<string, string> } };
      })[]) {
        const [monitored, ...more] = services.filter(({ metadata }) =>
          matches(metadata.labels, spec.selector.matchLabels),
        );
        assert.ok(monitored?.metadata.name === 'relay-mcp-rendezvous' && more.length === 0);
        // What the rules call it.
        assert.equal(monitored.metadata.labels['app.kubernetes.io/component'], 'relay');
      }
    });
  }

  test("every object has the form that Kubernetes' types say, and a typo would be seen", async () => {
    assert.equal(await helm.typeErrors(all), '');
    const deployment = all.find(({ kind }) => kind === 'Deployment');
    const wrong = JSON.parse(JSON.stringify(deployment).replace('livenessProbe', 'livenesProbe')) as Rendered;
    assert.match(await helm.typeErrors([wrong]), /livenesProbe/);
    const kinds = new Set(all.map(({ kind }) => kind));
    for (const kind of [
      'HorizontalPodAutoscaler',
      'Ingress',
      'NetworkPolicy',
      'PodDisruptionBudget',
      'PrometheusRule',
      'ServiceMonitor',
    ]) {
      assert.ok(kinds.has(kind), kind);
    }
  });

  test('autoscaling goes by a metric that there is, and leaves the number of replicas alone', async () => {
    const objects = await helm.template(installations['autoscaling and monitoring']?.values ?? {});
    assert.equal(relayOf(objects).spec.replicas, undefined);
    const text = JSON.stringify(find(objects, 'HorizontalPodAutoscaler', 'relay-mcp-rendezvous'));
    assert.match(text, /"averageValue":"5000"/);
    const [, metric = ''] = /"metric":\{"name":"(\w+)"/.exec(text) ?? [];
    assert.ok((await readFile(join(root, 'docs/reference/metrics.md'), 'utf8')).includes(`| \`${metric}\` | gauge |`));
  });

  test('a package of the chart has the alerts and the configurations of deploy/', async () => {
    const [, path = ''] = /to: (\S+)/.exec(await helm.run('package', chart, '--destination', await folder())) ?? [];
    const objects = await helm.template({ monitoring: { enabled: true } }, path);
    const rules = parse(await readFile(join(root, 'deploy/prometheus/alerts.yml'), 'utf8')) as object;
    assert.deepEqual(find(objects, 'PrometheusRule', 'relay-mcp-rendezvous')['spec'], rules);
    const redis = await readFile(join(root, 'deploy/redis.conf'), 'utf8');
    const mounted = entryOf(objects, 'ConfigMap', 'relay-mcp-rendezvous-redis', 'redis.conf');
    assert.equal(mounted.trim(), redis.trim());
    const turn = await helm.template({ turn: { bundled: { host: 'turn.example' } } }, path);
    for (const file of ['turn.sh', 'turn-address.sh', 'turnserver.conf']) {
      const text = entryOf(turn, 'ConfigMap', 'relay-mcp-rendezvous-turn', file);
      assert.equal(text.trim(), (await readFile(join(root, 'deploy', file), 'utf8')).trim());
    }
  });

  test('the bundled Redis and the relay run with what is rendered, and know each other', async (t) => {
    const objects = await helm.template({});
    const name = 'relay-mcp-rendezvous-redis';
    const data = await folder();
    await writeFile(join(data, 'users.acl'), entryOf(objects, 'Secret', name, 'users.acl'));
    const conf = entryOf(objects, 'ConfigMap', name, 'redis.conf');
    await writeFile(join(data, 'redis.conf'), conf.replace('/run/keys', data).replace('dir /data', `dir ${data}`));
    const redis = await RedisServer.start(['--include', join(data, 'redis.conf')]);
    t.after(() => redis.stop());
    const env = await environmentOf(objects, await folder());
    const url = await readFile(env['REDIS_URL_FILE'] ?? '', 'utf8');
    assert.equal(new URL(url).host, `${find(objects, 'Service', name).metadata.name}:6379`);
    await writeFile(env['REDIS_URL_FILE'] ?? '', url.replace(`${name}:6379`, `127.0.0.1:${redis.port}`));
    const relay = await RelayProcess.start({
      ...env,
      RELAY_SECRET: '',
      DRAIN_WINDOW_MS: '0',
      RELAY_HOST: '127.0.0.1',
      RELAY_PORT: '0',
    });
    t.after(() => relay.stop());
    await eventually(async () => (await fetch(`${relay.url}/readyz`)).ok, 30_000, 'the relay is ready');
    assert.ok(
      (await readFile(join(root, 'docs/run/redis.md'), 'utf8')).includes(aclOf(objects)),
      'the permissions of docs/run/redis.md',
    );
  });

  test('with nothing but the domain there are STUN and TURN over UDP and TCP, with one secret', async () => {
    const ingress = { enabled: true, host: 'relay.example' };
    const iceOf = async (values: Values) => {
      const objects = await helm.template(values);
      return { objects, ice: parseConfig(await environmentOf(objects, await folder())).ice };
    };
    const { objects, ice } = await iceOf({ ingress });
    const name = 'relay-mcp-rendezvous-turn';
    assert.deepEqual(ice.stunUrls, ['stun:turn.relay.example:3478']);
    const plain = ['udp', 'tcp'].map((transport) => `turn:turn.relay.example:3478?transport=${transport}`);
    assert.deepEqual(ice.turnUrls, plain);
    assert.match(ice.turnSecret ?? '', /^[\w-]{48}$/);
    assert.equal(ice.turnSecret, entryOf(objects, 'Secret', name, 'turn-secret'));
    const { containers, volumes } = (find(objects, 'Deployment', name) as Workload).spec.template.spec;
    const [{ env, volumeMounts }] = containers;
    const set = Object.fromEntries(env.map((variable) => [variable.name, variable.value]));
    assert.deepEqual([set['TURN_HOST'], set['TURN_IP'], set['TURN_CHECK']], ['turn.relay.example', '', '']);
    // What turn.sh reads, where it reads it.
    const script = entryOf(objects, 'ConfigMap', name, 'turn.sh');
    for (const [, variable = ''] of script.matchAll(/\$(TURN_\w+)/g)) assert.ok(variable in set, variable);
    for (const path of ['/etc/turnserver.conf', '/run/keys', '/tmp'])
      assert.ok(script.includes(path) && volumeMounts.some(({ mountPath }) => mountPath === path), path);
    assert.ok(!volumes.some((volume) => volume.name === 'certificate'));

    const tls = await iceOf({ ingress, turn: { bundled: { tlsSecret: 'turn-tls' } } });
    assert.deepEqual(tls.ice.turnUrls, [...plain, 'turns:turn.relay.example:443?transport=tcp']);
    const { ports } = find(tls.objects, 'Service', name)['spec'] as { ports: Port[] };
    assert.deepEqual(ports.at(-1), { name: 'turns', port: 443, protocol: 'TCP', targetPort: 'turns' });
    const mounted = (find(tls.objects, 'Deployment', name) as Workload).spec.template.spec.containers[0].volumeMounts;
    assert.ok(mounted.some(({ mountPath }) => mountPath === '/run/certificate'));

    // There is none where others are named, where it is not wanted, and where it has no name.
    for (const values of [
      {},
      { ingress, turn: { bundled: { enabled: false } } },
      { ingress, turn: { stunUrls: ['stun:s.example:3478'] } },
      { ingress, secrets: { turn: 'x' }, turn: { urls: ['turn:t.example:3478'] } },
      { ingress, secrets: { turnCredentialsToken: 'x' }, turn: { credentialsUrl: 'https://t.example/' } },
    ]) {
      const rendered = await helm.template(values);
      assert.ok(!rendered.some(({ metadata }) => metadata.name === name), JSON.stringify(values));
    }
  });

  test('random keys differ, and each of them is strong', async () => {
    const rendered = [await helm.template({}), await helm.template({})];
    const keys = rendered.flatMap((objects) => [
      entryOf(objects, 'Secret', 'relay-mcp-rendezvous', 'relay-secret'),
      entryOf(objects, 'Secret', 'relay-mcp-rendezvous', 'admin-token'),
      entryOf(objects, 'Secret', 'relay-mcp-rendezvous-redis', 'password'),
    ]);
    assert.equal(new Set(keys).size, 6);
    assert.ok(keys.every((key) => /^[\w-]{48}$/.test(key)));
  });

  test('wrong values are refused, and it is said why', async () => {
    const wrong: [RegExp, Values][] = [
      [/replica\b|replica'/, { replica: 3 }],
      [/replicas/, { replicas: 0 }],
      [/MAX_FRAME_BYTE\b|MAX_FRAME_BYTE'/, { env: { MAX_FRAME_BYTE: 1 } }],
      [/RELAY_SECRET/, { env: { RELAY_SECRET: secret } }],
      [/keys/, { keys: 'jwks' }],
      [/relaySecret/, { secrets: { relaySecret: 'short' } }],
      [/adminToken/, { secrets: { adminToken: 'short' } }],
      [/redis\/url/, { redis: { mode: 'external', url: 'localhost:6379' } }],
      [/redis\/password/, { redis: { password: 'with spaces and such' } }],
      [/turn\/urls/, { turn: { urls: ['turn.example'] } }],
      [/pathType/, { ingress: { paths: [{ path: '/' }] } }],
      [/drainSeconds/, { drainSeconds: 0.5 }],
      [/ingress\.enabled needs ingress\.host/, { ingress: { enabled: true } }],
      [/bundled\/host/, { turn: { bundled: { host: 'turn:turn.example' } } }],
      [/secrets\/webhook/, { secrets: { webhook: 'hunter2' } }],
      [/webhooks\.url needs secrets\.webhook/, { webhooks: { url: 'https://a.example/' } }],
      [/turn\.urls needs secrets\.turn/, { turn: { urls: ['turn:t.example'] } }],
      [/needs redis\.url/, { redis: { mode: 'external' }, networkPolicy: { egress: toRedis } }],
      [/networkPolicy\.egress has to/, { redis: { mode: 'external', url: 'redis://a' } }],
      [/redis\.ca is for/, { redis: { ca: certificate } }],
      [/needs secrets\.issuers/, { keys: 'issuers' }],
    ];
    for (const [message, values] of wrong) await assert.rejects(helm.template(values), { message });
  });

  test('`env` takes every variable of the relay that no other value sets', async () => {
    const schema = JSON.parse(await readFile(join(chart, 'values.schema.json'), 'utf8')) as {
      properties: { env: { properties: object } };
    };
    const set =
      /^(RELAY_SECRET|RELAY_ISSUERS|REDIS_|ADMIN_TOKEN|STUN_URLS|TURN_URLS|TURN_SECRET|TURN_CREDENTIALS_|WEBHOOK_|TRUST_PROXY|DRAIN_WINDOW_MS)/;
    const others = Object.keys(environment.shape).filter((name) => !set.test(name));
    assert.deepEqual(Object.keys(schema.properties.env.properties), others);
  });
});

/** The rights of Redis's user, without its password. */
const aclOf = (objects: Rendered[]): string =>
  /~rendezvous.*/.exec(entryOf(objects, 'Secret', 'relay-mcp-rendezvous-redis', 'users.acl'))?.[0] ?? 'none';
