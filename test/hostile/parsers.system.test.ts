import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import {
  type Arbitrary,
  array,
  assert as check,
  asyncProperty,
  constant,
  oneof,
  property,
  sample,
  tuple,
} from 'fast-check';
import { RendezvousError, TcpSocketSignaling } from 'mcp-rendezvous';
import { readInvitation, readSignals } from '../../sdk/src/a2a/attributes.ts';
import { agentStackUri } from '../../sdk/src/a2a/agent-stack.ts';
import { extensionUri } from '../../sdk/src/a2a/extension.ts';
import { readMessages, writeMessage } from '../../sdk/src/cli/jsonlines.ts';
import type { JsonRpcMessage } from '../../sdk/src/link/message.ts';
import { insteadOf, parseMessage } from '../../sdk/src/link/reading.ts';
import { isTooDeep } from '../../sdk/src/link/depth.ts';
import { decode, encodeHello } from '../../sdk/src/link/frame.ts';
import { hello } from '../../sdk/test/link/raw.ts';
import { brokenDeepJson, damaged, jsonName, jsonObject, jsonText } from '../support/hostile-json.ts';
import { claims, joined, joinServer, otherRelay, send } from '../support/other-relay.ts';
import { freePort } from '../support/port.ts';
import { eventually, within } from '../support/wait.ts';

const seed = Number(process.env['HOSTILE_SEED'] ?? Date.now() % 1_000_000);
const runs = Number(process.env['HOSTILE_FRAMES'] ?? 4_000) / 8;

/** An object with these members, each of which may be another one, or of another value. */
const like = (members: Record<string, string>): Arbitrary<string> => {
  const entries = Object.entries(members).map(([name, value]) =>
    tuple(
      oneof({ weight: 9, arbitrary: constant(JSON.stringify(name)) }, { weight: 1, arbitrary: jsonName }),
      oneof({ weight: 3, arbitrary: constant(value) }, { weight: 1, arbitrary: jsonText }),
    ),
  );
  return tuple(...entries).map((pairs) => jsonObject(pairs));
};

const messages = damaged(
  oneof(
    like({ jsonrpc: '"2.0"', id: '1', method: '"m"', params: '{}' }),
    like({ jsonrpc: '"2.0"', id: '"a"', result: '{}' }),
    like({ jsonrpc: '"2.0"', id: '1', error: '{"code":1,"message":"m","data":[]}' }),
    jsonText.map((params) => `{"jsonrpc":"2.0","method":"m","params":{"x":${params}}}`),
    jsonText.map((result) => `{"jsonrpc":"2.0","id":1,"result":{"x":${result}}}`),
    jsonText,
  ),
);
const signals = damaged(
  oneof(
    like({ kind: '"offer"', gen: '1', seq: '1', ack: '0', body: '{"sdp":"v=0"}' }),
    like({ kind: '"candidate"', gen: '1', body: '{"candidate":"c","sdpMid":"0"}' }),
    like({ kind: '"bye"', gen: '1', body: '{"code":"busy","message":"m"}' }),
    jsonText.map((body) => `{"kind":"offer","gen":1,"seq":1,"body":{"sdp":"v=0","x":${body}}}`),
    jsonText,
  ),
);

/** What everybody may do with a message that a parser has let through. */
function usable(message: JsonRpcMessage): void {
  JSON.stringify(message);
  isDeepStrictEqual(message, structuredClone(message));
}

test(`what comes out of a data channel can be written again (seed ${seed})`, () => {
  const seen = new Set<string>();
  check(
    property(messages, (text) => {
      const parsed = parseMessage(text);
      if (parsed.type === 'message') usable(parsed.message);
      else assert.equal(parsed.error.code, 'bad_message');
      seen.add(parsed.type);
    }),
    { numRuns: runs, seed },
  );
  assert.equal(seen.size, 2);
});

test('and so can what comes from another process', async () => {
  const lines = sample(messages, { numRuns: runs, seed }).map((text) => text.replaceAll('\n', ' '));
  const input = new PassThrough();
  const output = new PassThrough();
  output.resume();
  const writing: Promise<void>[] = [];
  const rubbish: string[] = [];
  const ended = new Promise<void>((end) => {
    readMessages(input, {
      message(message) {
        usable(message);
        writing.push(writeMessage(output, message));
      },
      malformed: (malformed) => void writing.push(writeMessage(output, insteadOf(malformed))),
      rubbish: (line) => void rubbish.push(line),
      tooLong: () => assert.fail('no line is that long'),
      end,
    });
  });
  for (const line of lines) input.write(`${line}\n`);
  input.end();
  await within(ended, 'all lines are read');
  await Promise.all(writing);
  assert.ok(writing.length > 0 && rubbish.length > 0);
});

test('signals of a hostile relay are dropped or passed on, and the connection stays', async (t) => {
  const texts = sample(signals, { numRuns: runs, seed });
  const relay = await otherRelay(t, (socket) => {
    send(socket, joined('server', 'client'));
    for (const data of texts) socket.send(`{"type":"signal","from":"client","data":${data}}`);
    for (const frame of sample(damaged(like({ type: '"peer"', id: '"client"', state: '"away"' })), {
      numRuns: 100,
      seed,
    }))
      socket.send(frame);
    send(socket, { type: 'peer', id: 'last', state: 'online', claims: claims('last', 'client') });
  });
  const connection = await joinServer(t, relay);
  connection.onchannel = (channel) => void channel.start().catch(() => undefined);
  const failures: Error[] = [];
  connection.onclose = (error) => error && failures.push(error);
  await eventually(() => connection.knows('last'));
  assert.equal(connection.state, 'joined');
  assert.deepEqual(failures, []);
});

test('a hostile end of a TCP connection ends it with bad_signal, or is understood', async () => {
  const ends = asyncProperty(array(signals, { minLength: 1, maxLength: 10 }), async (texts) => {
    const port = await freePort();
    const signaling = new TcpSocketSignaling('127.0.0.1', port);
    const closed = new Promise<Error | undefined>((resolve) => {
      signaling.onclose = resolve;
    });
    const started = signaling.start('offerer');
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    await within(Promise.all([started, once(socket, 'connect')]), 'both sides are connected');
    socket.end(texts.map((text) => `${text.replaceAll('\n', ' ')}\n`).join(''));
    const error = await within(closed, 'it ends');
    assert.ok(error === undefined || (error instanceof RendezvousError && error.code === 'bad_signal'), String(error));
    await signaling.close();
    socket.destroy();
  });
  await check(ends, { numRuns: 40, seed });
});

test('hostile parts of an A2A message are left out', () => {
  const values = sample(signals, { numRuns: runs, seed }).flatMap((text) => {
    // Here it is the A2A SDK that parses.
    if (isTooDeep(text)) return [];
    try {
      return [JSON.parse(text) as unknown];
    } catch {
      return [];
    }
  });
  for (const value of values) {
    const parts = [{ content: { $case: 'data', value }, mediaType: 'application/vnd.mcp-rendezvous.signal+json' }];
    for (const metadata of [
      value,
      { [extensionUri]: value },
      { [extensionUri]: { signal: value, invitations: value } },
    ]) {
      const message = { parts, metadata } as unknown as Parameters<typeof readSignals>[0];
      for (const signal of readSignals(message)) structuredClone(signal);
      assert.equal(readInvitation(message), undefined);
    }
    for (const fulfillments of [value, { default: value }, { default: { transport: value } }]) {
      const metadata = { [agentStackUri]: { mcp_fulfillments: fulfillments } };
      assert.equal(
        readInvitation({ parts: [], metadata } as unknown as Parameters<typeof readInvitation>[0]),
        undefined,
      );
    }
  }
});

test('a HELLO of any JSON is understood or ends the session, and no parser of JSON sees one that is very deep', () => {
  const [type] = encodeHello(hello());
  assert.ok(type !== undefined);
  check(
    property(damaged(oneof(jsonText, brokenDeepJson)), (text) => {
      const bytes = new Uint8Array([type, ...new TextEncoder().encode(text)]);
      try {
        decode(bytes);
      } catch (error) {
        assert.ok(error instanceof RendezvousError && error.code === 'bad_channel', String(error));
      }
    }),
    { numRuns: runs, seed },
  );
});
