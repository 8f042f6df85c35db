import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { SignJWT } from 'jose';
import { maxFrameDepth } from 'mcp-rendezvous-protocol';
import { testSecret } from '../../test/support/relay.ts';
import { eventually } from '../../test/support/wait.ts';
import { type RunningApp, startApp } from './support/app.ts';
import { RawPeer, testToken } from './support/peer.ts';

/** Every bad input has its own code, and the pair beside it goes on. */
suite('bad input', () => {
  let relay: RunningApp;
  let url: string;
  let server: RawPeer;
  let client: RawPeer;

  before(async () => {
    relay = await startApp(undefined, { MAX_FRAME_BYTES: '4096', MAX_JOIN_BYTES: '2048' });
    url = relay.url;
    server = await RawPeer.join(url, testToken({ room: 'good', role: 'server' }));
    client = await RawPeer.join(url, testToken({ room: 'good', role: 'client' }));
    await server.sees(client, 'online');
  });

  after(() => relay.close());

  const untouched = async (): Promise<void> => {
    client.signal(server, 'ping');
    assert.equal((await server.next('signal')).data, 'ping');
    server.signal(client, 'pong');
    assert.equal((await client.next('signal')).data, 'pong');
    assert.deepEqual([...server.frames, ...client.frames], []);
  };

  const badFrames: Record<string, [code: string, ...frames: (string | Uint8Array)[]]> = {
    garbage: ['bad_frame', 'garbage'],
    'an empty frame': ['bad_frame', ''],
    'an array': ['bad_frame', '[]'],
    null: ['bad_frame', 'null'],
    'no type': ['bad_frame', '{}'],
    'a type that is no string': ['bad_frame', '{"type":1}'],
    'an unknown type': ['unknown_type', '{"type":"hello"}'],
    'a type of the relay': ['unknown_type', '{"type":"joined"}'],
    'a join without token': ['bad_frame', '{"type":"join"}'],
    'a join with a token that is no string': ['bad_frame', '{"type":"join","token":{}}'],
    binary: ['binary_frame', new Uint8Array([1, 2, 3])],
    'too large': ['frame_too_large', `{"type":"join","token":"${'x'.repeat(2048)}"}`],
    'too large in bytes, not in characters': ['frame_too_large', `{"type":"join","token":"${'ü'.repeat(1100)}"}`],
    'a signal before the join': ['not_joined', '{"type":"signal","id":"1","to":"p-1","data":1}'],
    'leave before the join': ['not_joined', '{"type":"leave"}'],
    'a token before the join': ['not_joined', '{"type":"token","token":"x"}'],
  };
  for (const [name, [code, ...frames]] of Object.entries(badFrames)) {
    test(`${name}: ${code}`, async () => {
      const peer = await RawPeer.open(url);
      for (const frame of frames) peer.socket.send(frame);
      assert.equal(await peer.refusal(), code);
      await untouched();
    });
  }

  test('no join: join_timeout', async (t) => {
    const impatient = await startApp(undefined, { JOIN_TIMEOUT_MS: '300' });
    t.after(() => impatient.close());
    const peer = await RawPeer.open(impatient.url);
    assert.equal(await peer.refusal(), 'join_timeout');
  });

  test('a frame as large as one may be passes, before and after the join, and one byte more does not', async () => {
    const token = await testToken({ room: 'other', role: 'client' });
    const join = `{"type":"join","token":"${token}"}`;
    const large = await RawPeer.open(url);
    large.socket.send(join.padEnd(2049));
    assert.equal(await large.refusal(), 'frame_too_large');
    const peer = await RawPeer.open(url);
    peer.socket.send(join.padEnd(2048));
    await peer.next('joined');
    peer.socket.send('{"type":"ping"}'.padEnd(4096));
    await peer.next('pong');
    peer.socket.send('{"type":"ping"}'.padEnd(4097));
    assert.equal(await peer.refusal(), 'frame_too_large');
    await untouched();
  });

  test('a message may come in 64 fragments, before and after the join, and not in more', async () => {
    const token = await testToken({ room: 'other', role: 'client' });
    const inPieces = (peer: RawPeer, frame: object, pieces: number): void => {
      const text = JSON.stringify(frame).padEnd(pieces);
      for (let n = 0; n < pieces - 1; n++) peer.socket.send(text[n] ?? '', { fin: false });
      peer.socket.send(text.slice(pieces - 1));
    };
    const early = await RawPeer.open(url);
    inPieces(early, { type: 'join', token }, 65);
    assert.equal(await early.refusal(), 'frame_too_large');
    const peer = await RawPeer.open(url);
    inPieces(peer, { type: 'join', token }, 64);
    await peer.next('joined');
    inPieces(peer, { type: 'ping' }, 64);
    await peer.next('pong');
    inPieces(peer, { type: 'ping' }, 65);
    assert.equal(await peer.refusal(), 'frame_too_large');
    await untouched();
  });

  test('a peer that closes with 1009 itself is not refused anything', async () => {
    const peer = await RawPeer.open(url);
    peer.socket.close(1009);
    assert.equal((await peer.closed).number, 1009);
    assert.deepEqual(peer.frames, []);
  });

  test('a frame that is not UTF-8: 1007', async () => {
    const peer = await RawPeer.open(url);
    peer.socket.send(Buffer.from([0xff, 0xfe]), { binary: false });
    assert.equal((await peer.closed).number, 1007);
    await untouched();
  });

  const joinedFrames: Record<string, [code: string, frame: string | Uint8Array]> = {
    'a second join': ['already_joined', '{"type":"join","token":"x"}'],
    'a signal without id': ['bad_frame', '{"type":"signal","to":"p-1","data":1}'],
    'a signal without data': ['bad_frame', '{"type":"signal","id":"1","to":"p-1"}'],
    'a signal without addressee': ['bad_frame', '{"type":"signal","id":"1","data":1}'],
    'binary after the join that is no relayed data': ['bad_frame', new Uint8Array([1])],
    'relayed data without a payload': ['bad_frame', new Uint8Array([1, 1, 65])],
    'binary of an unknown kind': ['bad_frame', new Uint8Array([2, 1, 65, 66])],
    'an unknown type after the join': ['unknown_type', '{"type":"x"}'],
    'a fresh token that is invalid': ['token_invalid', '{"type":"token","token":"x"}'],
  };
  for (const [name, [code, frame]] of Object.entries(joinedFrames)) {
    test(`${name}: ${code}`, async () => {
      const peer = await RawPeer.join(url, testToken({ room: 'bad', role: 'client' }));
      peer.socket.send(frame);
      assert.equal(await peer.refusal(), code);
      await untouched();
    });
  }

  test('a second frame before joined: join_pending', async () => {
    const peer = await RawPeer.open(url);
    peer.send({ type: 'join', token: await testToken({ room: 'good', role: 'client', subject: 'hasty' }) });
    peer.send({ type: 'signal', id: '1', to: server.id, data: 'too early' });
    assert.equal(await peer.refusal(), 'join_pending');
    // It may have had a place for a moment; it has none now.
    server.frames.length = 0;
    await untouched();
  });

  const nested = (depth: number): string => `${'['.repeat(depth)}{"0":1}${']'.repeat(depth)}`;

  test('data as deep as the protocol allows passes, exactly as it was written', async () => {
    const data = nested(maxFrameDepth - 2);
    client.socket.send(`{"type":"signal","id":"1","to":"${server.id}","data":${data}}`);
    assert.equal(JSON.stringify((await server.next('signal')).data), data);
    await untouched();
  });

  for (const depth of [maxFrameDepth - 1, 2000, 6000]) {
    const frames = {
      'a signal': `{"to":"x","type":"signal","id":"1","data":${nested(depth)}}`,
      'a join': `{"type":"join","token":"x","signal":{"id":"1","data":${nested(depth)}}}`,
      'a member that nobody knows': `{"type":"ping","x":${nested(depth)}}`,
      'a token': `{"type":"token","token":${nested(depth)}}`,
      'a type': `{"type":${nested(depth)}}`,
    };
    for (const [what, frame] of Object.entries(frames)) {
      test(`${what} with ${depth} levels ends its own socket only`, async () => {
        const large = await startApp(undefined);
        const stranger = await RawPeer.open(large.url);
        stranger.socket.send(frame);
        assert.equal(await stranger.refusal(), 'bad_frame');
        const peer = await RawPeer.join(large.url, testToken({ room: 'bad', role: 'client' }));
        peer.socket.send(frame);
        assert.equal(await peer.refusal(), 'bad_frame');
        await large.close();
      });
    }
  }

  // The tests before it may take their time.
  const now = Math.floor(Date.now() / 1000);
  const claims = { room: 'good', role: 'client', sub: 'mallory', aud: 'mcp-rendezvous', exp: now + 3600 };
  const without = (name: keyof typeof claims) => ({ ...claims, [name]: undefined });
  const none = (payload: object) =>
    `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify(payload)).toString('base64url')}.`;
  const badTokens: Record<string, [code: string, payload: Record<string, unknown> | string, key?: string]> = {
    expired: ['token_expired', { ...claims, exp: now - 70 }],
    'not yet valid': ['token_not_yet_valid', { ...claims, nbf: now + 1800 }],
    'alg none': ['token_invalid', none(claims)],
    'wrong key': ['token_invalid', claims, 'another secret that is long enough too'],
    'no JWT': ['token_invalid', 'garbage'],
    'wrong audience': ['token_wrong_audience', { ...claims, aud: 'elsewhere' }],
    'no audience': ['token_invalid', without('aud')],
    'no room': ['token_invalid', without('room')],
    'no role': ['token_invalid', without('role')],
    'no sub': ['token_invalid', without('sub')],
    'no exp': ['token_invalid', without('exp')],
    'unknown role': ['token_invalid', { ...claims, role: 'admin' }],
    'empty room': ['token_invalid', { ...claims, room: '' }],
    'room too long': ['token_invalid', { ...claims, room: 'x'.repeat(129) }],
    'sub too long': ['token_invalid', { ...claims, ['sub']: 'x'.repeat(257) }],
    'half a surrogate pair in the room': ['token_invalid', { ...claims, room: 'x\ud800' }],
    'exp that is no number': ['token_invalid', { ...claims, exp: 'tomorrow' }],
  };
  for (const [name, [code, payload, key]] of Object.entries(badTokens)) {
    test(`token, ${name}: ${code}`, async () => {
      const secret = new TextEncoder().encode(key ?? testSecret);
      const token =
        typeof payload === 'string'
          ? payload
          : await new SignJWT(payload).setProtectedHeader({ alg: 'HS256' }).sign(secret);
      const peer = await RawPeer.open(url);
      peer.send({ type: 'join', token });
      assert.equal(await peer.refusal(), code);
      await untouched();
    });
  }

  test('a minute of clock skew is allowed', async (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: now * 1000 });
    const secret = new TextEncoder().encode(testSecret);
    const answer = async (skewed: object) => {
      const payload = { ...claims, ...skewed, room: 'skew' };
      const token = await new SignJWT(payload).setProtectedHeader({ alg: 'HS256' }).sign(secret);
      const peer = await RawPeer.open(url);
      peer.send({ type: 'join', token });
      await eventually(() => peer.frames.length > 0);
      const [frame] = peer.frames;
      return frame?.type === 'error' ? frame.code : frame?.type;
    };
    assert.equal(await answer({ exp: now - 59 }), 'joined');
    assert.equal(await answer({ exp: now - 60 }), 'token_expired');
    assert.equal(await answer({ nbf: now + 60 }), 'joined');
    assert.equal(await answer({ nbf: now + 61 }), 'token_not_yet_valid');
  });
});
