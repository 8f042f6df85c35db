import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { suite, test, type TestContext } from 'node:test';
import { MdnsResolver } from '../../src/peer/mdns.ts';
import { closePair, connectPair, direct, receiving, within } from './pair.ts';
import { weriftEngine } from '../../src/peer/werift.ts';

const name = '1f4712db-ea17-4bcf-a596-105139dfd8bf.local';

/** A browser's side of mDNS (RFC 6762 §6), which does not hear the first questions for its name. */
async function responder(t: TestContext, address: () => string, deafMs = 0): Promise<void> {
  const socket: Socket = createSocket({ type: 'udp4', reuseAddr: true });
  t.after(() => socket.close());
  let firstAt: number | undefined;
  socket.on('message', (query) => {
    const isQuery = (query.readUInt8(2) & 0x80) === 0;
    if (!isQuery || !query.includes(name.slice(0, 36))) return;
    firstAt ??= performance.now();
    if (performance.now() - firstAt < deafMs) return;
    const labels = name.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]);
    const unrelated = [5, ...Buffer.from('other'), 0, 0, 16, 0, 1, 0, 0, 0, 120, 0, 2, 1, 65];
    const header = [0, 0, 0x84, 0, 0, 0, 0, 2, 0, 0, 0, 0];
    const octets = address().split('.').map(Number);
    const answer = [...labels, 0, 0, 1, 0x80, 1, 0, 0, 0, 120, 0, 4, ...octets];
    socket.send(Buffer.from([...header, ...unrelated, ...answer]), 5353, '224.0.0.251');
  });
  await new Promise<void>((resolve) => socket.bind(5353, resolve));
  socket.addMembership('224.0.0.251', '127.0.0.1');
  socket.setMulticastInterface('127.0.0.1');
}

suite('mDNS names of candidates', () => {
  test('are asked for until someone answers', async (t) => {
    await responder(t, () => '192.0.2.77', 500);
    const resolver = new MdnsResolver();
    t.after(() => resolver.close());
    const twice = Promise.all([resolver.resolve(name), resolver.resolve(name.toUpperCase())]);
    assert.deepEqual(await within(twice, 'the address'), ['192.0.2.77', '192.0.2.77']);
  });

  test('that nobody knows end with the resolver', async () => {
    const resolver = new MdnsResolver();
    const unknown = resolver.resolve('00000000-0000-4000-8000-000000000000.local');
    setImmediate(() => resolver.close());
    assert.equal(await within(unknown, 'the end'), undefined);
  });

  test('are asked for by an open resolver, and not any number of them', async (t) => {
    const resolver = new MdnsResolver();
    t.after(() => resolver.close());
    const known = Array.from({ length: 32 }, (_, n) => resolver.resolve(`${n}.local`));
    assert.equal(await within(resolver.resolve('one-more.local'), 'the refusal'), undefined);
    const again = resolver.resolve('0.LOCAL');
    resolver.close();
    await within(Promise.all([...known, again]), 'the end');
    assert.equal(await within(resolver.resolve('0.local'), 'the refusal'), undefined);
  });

  test('lead to a connection', async (t) => {
    const offerer = weriftEngine.createPeerConnection(direct);
    const answerer = weriftEngine.createPeerConnection(direct);
    t.after(() => closePair({ offerer, answerer }));
    let address = '127.0.0.1';
    await responder(t, () => address);
    // Each side knows the other by name only, so that no packet can lead the way.
    for (const side of [offerer, answerer]) {
      const add = side.addIceCandidate.bind(side);
      side.addIceCandidate = async (candidate) => {
        const line = candidate.candidate;
        const host = line.split(' ')[4] ?? '';
        if (host.includes(':')) return;
        address = host;
        await add({ ...candidate, candidate: line.replace(host, name) });
      };
    }
    const { near, far } = await connectPair({ offerer, answerer });
    const message = receiving(far);
    near.send('hello');
    assert.deepEqual(await within(message, 'a message'), ['hello']);
  });
});
