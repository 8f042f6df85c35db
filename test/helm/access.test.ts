import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, suite, test } from 'node:test';
import { Helm, type Values } from './helm.ts';
import { admits, type Pod } from './policy.ts';
import { find, relayOf, type Workload } from './volumes.ts';

const helm = await Helm.find();
after(() => rm(helm.folder, { recursive: true }));

const controller: Pod = {
  namespace: 'ingress-nginx',
  labels: { 'app.kubernetes.io/name': 'ingress-nginx', 'app.kubernetes.io/component': 'controller' },
};
const prometheus: Pod = { namespace: 'monitoring', labels: { 'app.kubernetes.io/name': 'prometheus' } };
const strangers: Pod[] = [
  { namespace: 'default', labels: {} },
  { namespace: 'ns', labels: {} },
  { namespace: 'default', labels: controller.labels },
  { namespace: 'ns', labels: prometheus.labels },
  { namespace: 'ingress-nginx', labels: { 'app.kubernetes.io/name': 'something-else' } },
  { namespace: 'monitoring', labels: { 'app.kubernetes.io/name': 'grafana' } },
];
const ingress = { enabled: true, host: 'relay.example' };

void suite('who reaches the pods of the chart', () => {
  for (const [name, values] of Object.entries({
    defaults: {},
    'an ingress': { ingress },
    monitoring: { monitoring: { enabled: true } },
    nobody: { networkPolicy: { from: [] } },
  } satisfies Record<string, Values>)) {
    test(`${name}: no pod that is not named reaches the relay or Redis`, async () => {
      const objects = await helm.template(values);
      const relay = relayOf(objects).spec.template.metadata.labels;
      const redis = (find(objects, 'StatefulSet', 'relay-mcp-rendezvous-redis') as Workload).spec.template.metadata
        .labels;
      for (const pod of strangers) {
        assert.equal(admits(objects, pod, relay), false, JSON.stringify(pod));
        assert.equal(admits(objects, pod, redis), false, JSON.stringify(pod));
      }
      assert.equal(admits(objects, controller, relay), name !== 'nobody');
      assert.equal(admits(objects, prometheus, relay), name === 'monitoring');
      assert.equal(admits(objects, { namespace: 'ns', labels: relay }, redis), true);
    });
  }

  test('X-Forwarded-For is believed only where a NetworkPolicy keeps others out, or where addresses are given', async () => {
    const trusted = async (values: Values): Promise<string | undefined> => {
      const { env } = relayOf(await helm.template(values)).spec.template.spec.containers[0];
      return env.find(({ name }) => name === 'TRUST_PROXY')?.value;
    };
    assert.equal(await trusted({}), 'false');
    assert.equal(await trusted({ ingress }), 'uniquelocal');
    assert.equal(await trusted({ ingress, trustProxy: '10.1.2.3' }), '10.1.2.3');
    assert.equal(await trusted({ networkPolicy: { enabled: false } }), 'false');
    const open = { ingress, networkPolicy: { enabled: false } };
    await assert.rejects(helm.template(open), { message: /trustProxy/ });
    assert.equal(await trusted({ ...open, trustProxy: '10.1.2.3' }), '10.1.2.3');
  });
});

void suite('the annotations of the pods', () => {
  const given = {
    secrets: { adminToken: 'operator-operator', turn: 'shared' },
    redis: { password: 'a-password-of-redis' },
  };
  const turn = { urls: ['turn:t.example'] };
  const annotations = async (values: Values): Promise<string> => {
    const objects = await helm.template(values);
    const redis = find(objects, 'StatefulSet', 'relay-mcp-rendezvous-redis') as Workload;
    return JSON.stringify([relayOf(objects), redis].map(({ spec }) => spec.template.metadata.annotations));
  };

  test('do not depend on a secret', async () => {
    const others = {
      secrets: { adminToken: 'another-operator', turn: 'other' },
      redis: { password: 'another-password' },
    };
    assert.equal(await annotations({ ...given, turn }), await annotations({ ...others, turn }));
  });

  test('change with each upgrade where secrets are among the values, so that pods have the new ones', async () => {
    // `helm template` is always revision 1.
    assert.equal((await annotations({ ...given, turn })).match(/"release\/revision":"1"/g)?.length, 2);
    assert.doesNotMatch(await annotations({}), /revision/);
  });
});
