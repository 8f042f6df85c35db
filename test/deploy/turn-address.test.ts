import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { Coturn } from '../support/coturn.ts';

const script = fileURLToPath(new URL('../../deploy/turn-address.sh', import.meta.url));

/** What deploy/turn-address.sh finds, and says to the operator. */
function find(env: Record<string, string>) {
  const { status, stdout, stderr } = spawnSync('sh', [script], {
    env: { PATH: process.env['PATH'] ?? '', TURN_IP: '', TURN_CHECK: '', ...env },
    encoding: 'utf8',
  });
  assert.ok(stderr.trim() !== '' && !stderr.trim().includes('\n'), `one line: ${stderr}`);
  return { status, address: stdout.trim(), said: stderr };
}

void suite("the TURN server's public address", () => {
  let stun: Coturn;
  before(async () => {
    stun = await Coturn.start();
  });
  after(() => stun.stop());

  test('is TURN_IP, or else what DNS says of TURN_HOST', () => {
    const explicit = find({ TURN_HOST: 'nowhere.invalid', TURN_IP: '192.0.2.1' });
    assert.deepEqual([explicit.status, explicit.address], [0, '192.0.2.1']);
    assert.match(explicit.said, /192\.0\.2\.1, by TURN_IP\.$/m);
    const named = find({ TURN_HOST: '192.0.2.2' });
    assert.deepEqual([named.status, named.address], [0, '192.0.2.2']);
    assert.match(named.said, /by the DNS record of 192\.0\.2\.2/);
  });

  test('a name without an address, and one that leads to this machine only, end it with what to do', () => {
    for (const [name, says] of [
      ['nowhere.invalid', /has no IPv4 address in DNS\. Add the record, or set TURN_IP/],
      ['localhost', /leads to 127\.0\.0\.1, which is this machine only\. Set TURN_IP/],
    ] as const) {
      const { status, address, said } = find({ TURN_HOST: name });
      assert.deepEqual([status, address], [1, '']);
      assert.match(said, says);
    }
  });

  test('is not asked of anybody, unless the operator names a STUN server', async () => {
    const compose = parse(await readFile(new URL('../../docker-compose.yml', import.meta.url), 'utf8')) as {
      services: { coturn: { environment: Record<string, string> } };
    };
    assert.equal(compose.services.coturn.environment['TURN_CHECK'], '${TURN_CHECK:-}');
    const silent = find({ TURN_IP: '192.0.2.1', TURN_HOST: 'relay.example', TURN_CHECK: '127.0.0.1:9' });
    assert.deepEqual([silent.status, silent.address], [0, '192.0.2.1']);
    assert.match(silent.said, /It was not checked: no STUN server answers at 127\.0\.0\.1:9\.$/m);
  });

  test('a private one is taken, and said to be one', () => {
    for (const address of ['10.1.2.3', '172.16.0.1', '172.31.255.1', '192.168.1.2', '169.254.1.1', '100.64.0.1'])
      assert.match(find({ TURN_HOST: address }).said, /It is a private one, .* set TURN_IP/, address);
    for (const address of ['172.32.0.1', '172.15.0.1', '100.63.0.1', '100.128.0.1', '192.0.2.1', '11.0.0.1'])
      assert.match(find({ TURN_HOST: address }).said, /by the DNS record of [\d.]+\.$/m, address);
  });

  test('is compared with what a STUN server sees', () => {
    const check = { TURN_HOST: 'relay.example', TURN_CHECK: `127.0.0.1:${stun.port}` };
    assert.match(
      find({ ...check, TURN_IP: '127.0.0.1' }).said,
      /is 127\.0\.0\.1, and 127\.0\.0\.1:\d+ sees the same one/,
    );
    const other = find({ ...check, TURN_IP: '192.0.2.1' });
    assert.equal(other.address, '192.0.2.1');
    assert.match(
      other.said,
      /is 192\.0\.2\.1, by TURN_IP, but 127\.0\.0\.1:\d+ sees 127\.0\.0\.1\. .*correct the DNS record/,
    );
  });
});
