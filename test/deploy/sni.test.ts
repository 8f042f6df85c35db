import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { test } from 'node:test';
import { createCertificate } from '../support/certificate.ts';
import { Coturn } from '../support/coturn.ts';
import { freePort, takesConnections } from '../support/port.ts';
import { closeOf, eventually, within } from '../support/wait.ts';

/** deploy/sni.cfg with a real HAProxy and a real TURN server. */
test('port 443 is shared by name: the TURN server has its own, Caddy all others with who asks', async (t) => {
  const certificate = await createCertificate('DNS:turn.relay.test');
  t.after(() => certificate.remove());
  const coturn = await Coturn.start({ certificate });
  t.after(() => coturn.stop());
  const others: Buffer[] = [];
  const caddy = createServer((socket) => socket.once('data', (data: Buffer) => others.push(data)));
  caddy.listen(0, '127.0.0.1');
  await once(caddy, 'listening');
  t.after(() => caddy.close());

  const port = await freePort();
  const directory = await mkdtemp(join(tmpdir(), 'sni-'));
  t.after(() => rm(directory, { recursive: true }));
  const deployed = await readFile(new URL('../../deploy/sni.cfg', import.meta.url), 'utf8');
  const config = deployed
    .replace('bind :443', `bind 127.0.0.1:${port}`)
    .replace('coturn:5349', `127.0.0.1:${coturn.tlsPort}`)
    .replace('caddy:443', `127.0.0.1:${(caddy.address() as AddressInfo).port}`);
  await writeFile(join(directory, 'haproxy.cfg'), config);
  const env = { PATH: process.env['PATH'], TURN_HOST: 'turn.relay.test' };
  const haproxy = spawn('haproxy', ['-f', join(directory, 'haproxy.cfg')], { env, stdio: 'inherit' });
  t.after(async () => {
    if (haproxy.exitCode !== null) return;
    haproxy.kill('SIGKILL');
    await once(haproxy, 'close');
  });
  await eventually(() => takesConnections(port));

  const ask = (servername: string): TLSSocket => {
    const socket = connect({ host: '127.0.0.1', port, servername, rejectUnauthorized: false });
    socket.on('error', () => {}); // a stand-in for Caddy speaks no TLS
    t.after(() => socket.destroy());
    return socket;
  };
  const turn = ask('TURN.relay.test');
  await within(once(turn, 'secureConnect'), 'the TURN server answers in TLS');
  assert.equal(turn.getPeerX509Certificate()?.subjectAltName, 'DNS:turn.relay.test');
  assert.equal(others.length, 0);

  ask('relay.test');
  await eventually(() => others.length > 0);
  const [first = Buffer.alloc(0)] = others;
  assert.equal(first.subarray(0, 12).toString('hex'), '0d0a0d0a000d0a515549540a', 'PROXY protocol, version 2');
  assert.deepEqual([...first.subarray(16, 20)], [127, 0, 0, 1]);

  // What is no TLS is nobody's.
  const plain: Socket = connectTcp(port, '127.0.0.1');
  t.after(() => plain.destroy());
  plain.on('error', () => {});
  const closed = closeOf(plain);
  plain.end('GET / HTTP/1.1\r\n\r\n');
  await within(closed, 'it is closed');
  assert.equal(others.length, 1);
});
