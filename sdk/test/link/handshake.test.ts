import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { eventually } from '../../../test/support/wait.ts';
import { encodeAuth, encodeClose } from '../../src/link/frame.ts';
import type { FramedLinkOptions } from '../../src/link/framed.ts';
import type { RtcCarrier } from '../../src/link/link.ts';
import { randomBase64Url } from '../../src/util/random.ts';
import { type Carriers, connectCarriers, connectLinks, note, Recorder } from './carriers.ts';
import { ManualClock } from '../manual-clock.ts';
import { RawPeer } from './raw.ts';

const waitMs = 30_000;
const secret = crypto.getRandomValues(new Uint8Array(32));
const otherSecret = secret.map((byte, at) => (at === 31 ? byte ^ 1 : byte));

/** Both ends refuse each other with `secret_mismatch`, and no message passes. */
async function refuse(t: TestContext, near: Partial<FramedLinkOptions>, far: typeof near, carriers?: Carriers) {
  const ends = [new Recorder({ offerer: true, ...near }), new Recorder({ offerer: false, ...far })] as const;
  const { near: nearCarrier, far: farCarrier } = carriers ?? (await connectCarriers(t));
  const attached = await Promise.allSettled([ends[0].link.attach(nearCarrier), ends[1].link.attach(farCarrier)]);
  for (const [at, result] of attached.entries()) {
    assert.equal(result.status, 'rejected');
    assert.equal((result.reason as { code?: string }).code, 'secret_mismatch');
    const { link, messages, closes } = ends[at]!;
    await assert.rejects(link.send(note(1)), { code: 'closed' });
    assert.deepEqual([messages, closes], [[], []]);
    await link.close();
  }
  await eventually(() => nearCarrier.channel.readyState === 'closed', waitMs);
}

/** As a relay would have it that gives each side another certificate than the other side's own. */
const swapped = (carrier: RtcCarrier): RtcCarrier => ({
  ...carrier,
  remoteSdp: carrier.remoteSdp.replaceAll(/^(a=fingerprint:\S+ )(\w\w)/gm, (_, name: string, byte: string) =>
    byte === '00' ? `${name}01` : `${name}00`,
  ),
});

void suite('the handshake of a framed link', () => {
  test('two sides with the same secret find each other', async (t) => {
    const { near, far } = await connectLinks(t, { secret });
    await near.link.send(note(1));
    await far.link.send(note(2));
    await eventually(() => near.messages.length + far.messages.length === 2, waitMs);
    assert.ok(near.link.resumable && far.link.resumable);
  });

  test('different secrets', (t) => refuse(t, { secret }, { secret: otherSecret }));
  test('a secret at the offerer only', (t) => refuse(t, { secret }, {}));
  test('a secret at the answerer only', (t) => refuse(t, {}, { secret }));

  for (const side of ['near', 'far', 'both'] as const) {
    test(`fingerprints swapped on the way to ${side}`, async (t) => {
      const carriers = await connectCarriers(t);
      const near = side === 'far' ? carriers.near : swapped(carriers.near);
      const far = side === 'near' ? carriers.far : swapped(carriers.far);
      await refuse(t, { secret }, { secret }, { near, far });
    });
  }

  test('a proof that is sent back to its sender is none', async (t) => {
    const near = new Recorder({ offerer: true, secret });
    const carriers = await connectCarriers(t);
    const raw = new RawPeer(carriers.far);
    const attached = assert.rejects(near.link.attach(carriers.near), { code: 'secret_mismatch' });
    const { hello } = await raw.next('hello');
    raw.hello({ nonce: hello.nonce, auth: 'secret' });
    raw.send(encodeAuth((await raw.next('auth')).proof));
    await attached;
    assert.equal((await raw.next('close')).code, 3);
  });

  test('no message passes before the proof: DATA in its place ends it', async (t) => {
    const near = new Recorder({ offerer: true, secret });
    const carriers = await connectCarriers(t);
    const raw = new RawPeer(carriers.far);
    raw.hello({ auth: 'secret' });
    raw.data(1, JSON.stringify(note(1)));
    await assert.rejects(near.link.attach(carriers.near), { code: 'bad_channel', message: /DATA instead of AUTH/ });
    assert.deepEqual(near.messages, []);
    assert.equal((await raw.next('close')).code, 1);
  });

  for (const [what, move, code, close] of [
    ['a wrong proof', (raw: RawPeer) => raw.send(encodeAuth(new Uint8Array(32).fill(7))), 'secret_mismatch', 3],
    ['DATA in its place', (raw: RawPeer) => raw.data(1, JSON.stringify(note(1))), 'bad_channel', 1],
    ['a CLOSE', (raw: RawPeer) => raw.send(encodeClose(0)), 'peer_gone', 0],
  ] as const) {
    test(`whoever offers proves first: for ${what} the answerer gives away nothing that was made with the secret`, async (t) => {
      const far = new Recorder({ offerer: false, secret });
      const carriers = await connectCarriers(t);
      const raw = new RawPeer(carriers.near);
      const attached = assert.rejects(far.link.attach(carriers.far), { code });
      raw.hello({ session: randomBase64Url(16), auth: 'secret' });
      move(raw);
      await attached;
      assert.equal((await raw.next('close')).code, close);
      assert.deepEqual(
        raw.frames.map(({ type }) => type),
        ['hello'],
      );
      assert.deepEqual(far.messages, []);
    });
  }

  test('a session is resumed in the same order, with and without a secret', async (t) => {
    for (const options of [{ secret }, {}]) {
      const { far } = await connectLinks(t, options);
      const other = await connectCarriers(t);
      const raw = new RawPeer(other.near);
      const attached = assert.rejects(far.link.attach(other.far), { code: 'secret_mismatch' });
      raw.hello({ session: far.link.session, auth: 'secret' in options ? 'secret' : 'none' });
      raw.send(encodeAuth(new Uint8Array(32).fill(7)));
      await attached;
      assert.equal((await raw.next('close')).code, 3);
      assert.deepEqual(
        raw.frames.map(({ type }) => type),
        ['hello'],
      );
    }
  });

  test('a side that can prove nothing has a session that ends with its connection', async (t) => {
    const near = new Recorder({ offerer: true });
    t.after(() => near.link.end());
    const carriers = await connectCarriers(t);
    new RawPeer(carriers.far).hello({ resumable: false });
    await near.link.attach(carriers.near);
    assert.equal(near.link.resumable, false);
    assert.notEqual(near.link.session, undefined);
  });

  test('the offerer names the session, and nobody else', async (t) => {
    for (const [offerer, session] of [
      [true, randomBase64Url(16)],
      [false, undefined],
    ] as const) {
      const end = new Recorder({ offerer });
      const carriers = await connectCarriers(t);
      const raw = new RawPeer(carriers.far);
      raw.hello(session ? { session } : {});
      await assert.rejects(end.link.attach(carriers.near), { code: 'bad_channel', message: /session/ });
      assert.equal((await raw.next('close')).code, 1);
    }
  });

  test('too much before it is over ends it', async (t) => {
    const near = new Recorder({ offerer: true });
    const carriers = await connectCarriers(t);
    const raw = new RawPeer(carriers.far);
    // Nobody reads before attach(): this is what had come by then.
    const frame = new Uint8Array(60_000);
    frame.set([3, 0]);
    const early = Array.from({ length: 90 }, () => frame);
    raw.hello();
    await assert.rejects(near.link.attach({ ...carriers.near, early }), { code: 'bad_channel' });
  });

  test('its end is told whatever the reason: the signal, silence, a connection that goes', async (t) => {
    const end = () => new Recorder({ offerer: true }).link;
    const carriers = await connectCarriers(t);
    const raw = new RawPeer(carriers.far);
    const abort = new AbortController();
    const aborted = assert.rejects(end().attach(carriers.near, abort.signal), { code: 'aborted' });
    await raw.next('hello');
    abort.abort(new DOMException('enough', 'AbortError'));
    await aborted;
    await eventually(() => raw.closed, waitMs);

    const silent = await connectCarriers(t);
    const clock = new ManualClock();
    const { link } = new Recorder({ offerer: true, clock });
    const unanswered = assert.rejects(link.attach(silent.near), { code: 'peer_silent' });
    await clock.advance(8_000);
    await unanswered;

    const leaving = await connectCarriers(t);
    const left = assert.rejects(end().attach(leaving.near), { code: 'peer_gone' });
    await leaving.far.connection.close();
    await left;
    await assert.rejects(end().attach(leaving.near), { code: 'peer_gone' }, 'it was over before');
  });
});
