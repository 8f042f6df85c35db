import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as fc from 'fast-check';
import { NoiseHandshake, type NoiseSession } from '../../src/relayed/noise.ts';
import { loadPrimitives } from '../../src/relayed/primitives.ts';
import { RelayedChannel } from '../../src/relayed/relayed-channel.ts';
import { type DataSocket, RelayedLine } from '../../src/relayed/relayed-line.ts';

const more = 1;
const last = 0;

before(loadPrimitives);

/** A channel of this side, and what the other one sends with its keys, whatever it likes. */
function open() {
  const prologue = new Uint8Array();
  const [client, server] = [true, false].map((initiator) => new NoiseHandshake({ initiator, prologue }));
  server!.read(client!.write());
  client!.read(server!.write());
  const socket: DataSocket = {
    relayedRate: { bytesPerSecond: 1_000_000, burst: 1_000_000 },
    maxFrameBytes: 65_536,
    unsentBytes: 0,
    sendRelayed: () => true,
  };
  const channel = new RelayedChannel(new RelayedLine(socket), 'p-1', 1);
  channel.begin(server!.split());
  const messages: number[][] = [];
  channel.onmessage = ({ data }) => void messages.push([...new Uint8Array(data as ArrayBuffer)]);
  let closed = false;
  channel.onclose = () => (closed = true);
  const other: NoiseSession = client!.split();
  const send = (kind: number, content: readonly number[]) =>
    channel.receive(other.send.seal(Uint8Array.of(kind, ...content)));
  return { channel, messages, send, closed: () => closed };
}

void suite('parts of messages', () => {
  test('are put together, however they were cut', () => {
    const content = fc.array(fc.nat(255), { minLength: 1, maxLength: 20 });
    const message = fc.record({
      parts: fc.array(content, { maxLength: 5 }),
      end: fc.array(fc.nat(255), { maxLength: 20 }),
    });
    fc.assert(
      fc.property(fc.array(message, { maxLength: 8 }), (sent) => {
        const { channel, messages, send } = open();
        for (const { parts, end } of sent) {
          for (const part of parts) send(more, part);
          send(last, end);
        }
        assert.deepEqual(
          messages,
          sent.map(({ parts, end }) => [...parts.flat(), ...end]),
        );
        channel.close();
      }),
    );
  });

  test('that are empty, of which there could be any number, end the path', () => {
    const { send, closed, messages } = open();
    send(more, [1]);
    assert.equal(closed(), false);
    send(more, []);
    assert.equal(closed(), true);
    send(last, [2]);
    assert.deepEqual(messages, []);
  });

  test('cost no more memory than what is in them', () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const used = () => {
      collect();
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    };
    const { channel, messages, send } = open();
    const count = 30_000;
    for (let n = 0; n < 1000; n++) send(more, [7]);
    const start = used();
    for (let n = 0; n < count; n++) send(more, [7]);
    const grown = used() - start;
    assert.ok(grown < 50 * count, `${grown} bytes for ${count}`);
    send(last, []);
    assert.equal(messages[0]?.length, count + 1000);
    channel.close();
  });
});
