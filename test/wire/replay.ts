import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import {
  decodeRelayed,
  deriveSecret,
  encodeRelayed,
  frameFromRelay,
  frameToRelay,
  fromBase64Url,
  parseInvitation,
  pathAnswer,
  peerData,
  type Schema,
  secretKeyBytes,
  toBase64Url,
} from 'mcp-rendezvous-protocol';
import type { Step, Transcript } from '../../scripts/wire/transcript.ts';
import {
  decode,
  encodeAck,
  encodeAuth,
  encodeClose,
  encodeData,
  encodeHello,
  encodePing,
  encodePong,
  type Frame,
} from '../../sdk/src/link/frame.ts';
import { pathKey, prove, relayedSession, sessionKey, verify, type Witness } from '../../sdk/src/link/proof.ts';
import { Reassembler } from '../../sdk/src/link/send-receive-window.ts';
import { certificateBinding, relayContext, relayedPrologue } from '../../sdk/src/link/transcript.ts';
import { parseDescription } from '../../sdk/src/peer/description.ts';
import { NoiseHandshake, type NoiseSession } from '../../sdk/src/relayed/noise.ts';
import { loadPrimitives } from '../../sdk/src/relayed/primitives.ts';

/**
 * Replays transcripts with the code of the SDK and the relay: what is binary is read, and written
 * again to the same bytes; what is JSON is read by the schemas; keys and proofs are computed again.
 */
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytesOf = (digits: string): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(Buffer.from(digits, 'hex'));
  assert.equal(hex(bytes), digits);
  return bytes;
};

/** What a transcript of each kind has in `given` and `derived`. */
interface People {
  iss: string;
  room: string;
  roles: ['client', 'server'];
  subjects: [string, string];
}
interface ChannelGiven extends People {
  secret: string;
  session: string;
  nonces: [string, string];
  firstNonces: [string, string];
  fingerprints: [string, string];
}
interface Said {
  from: string;
  message: unknown;
  meta?: unknown;
}
interface RelayedGiven extends People {
  ids: { client: string; server: string };
  session: string;
  gen: number;
  psk: string;
  ephemerals: [string, string];
  payload: string;
}
interface SignalingGiven extends People {
  key: string;
  root: string;
}

export async function replay(transcript: Transcript): Promise<void> {
  assert.equal(transcript.format, 1);
  if (transcript.kind === 'signaling') await replaySignaling(transcript);
  else if (transcript.kind === 'channel') await replayChannel(transcript);
  else await replayRelayed(transcript);
}

/** A frame by value, as transcripts have it. */
function valueOf(frame: Frame): unknown {
  switch (frame.type) {
    case 'auth':
      return { type: 'auth', proof: hex(frame.proof) };
    case 'data': {
      const { type, seq, ack, end, meta, part } = frame;
      return { type, seq, ack, end, ...(meta ? { meta } : {}), part: hex(part) };
    }
    default:
      return frame;
  }
}

function written(frame: Frame): Uint8Array {
  switch (frame.type) {
    case 'hello':
      return encodeHello(frame.hello);
    case 'auth':
      return encodeAuth(frame.proof);
    case 'data':
      return encodeData({ ...frame, meta: frame.meta && new TextEncoder().encode(JSON.stringify(frame.meta)) });
    case 'ack':
      return encodeAck(frame.ack);
    case 'ping':
      return encodePing(frame.id);
    case 'pong':
      return encodePong(frame.id);
    case 'close':
      return encodeClose(frame.code, frame.reason);
    case 'unknown':
      return assert.fail('a frame of an unknown type');
  }
}

function readFrame(bytes: Uint8Array, value: unknown): Frame {
  const frame = decode(bytes);
  assert.deepEqual(valueOf(frame), value);
  assert.equal(hex(written(frame)), hex(bytes));
  return frame;
}

/** Both directions of a session: what of the frames is a message, in its order. */
class Conversation {
  readonly said: Said[] = [];
  readonly #received: number;
  readonly #directions = new Map<string, Reassembler>();

  constructor(received: number) {
    this.#received = received;
  }

  take(from: string, frame: Frame): void {
    if (frame.type !== 'data') return;
    let direction = this.#directions.get(from);
    if (!direction) {
      direction = new Reassembler(10_485_760);
      // Frames of the channels before, which the transcript does not have.
      for (let seq = 1; seq <= this.#received; seq++) {
        direction.take({ type: 'data', seq, ack: 0, end: true, meta: undefined, part: new Uint8Array(), bytes: 18 });
      }
      this.#directions.set(from, direction);
    }
    const taken = direction.take(frame);
    if (taken.type !== 'message') return;
    const text = typeof taken.text === 'string' ? taken.text : new TextDecoder().decode(taken.text);
    this.said.push({ from, message: JSON.parse(text) as unknown, ...(taken.meta ? { meta: taken.meta } : {}) });
  }
}

async function replayChannel({ given, derived, steps }: Transcript): Promise<void> {
  const { room, iss, roles, subjects, secret, session, nonces, firstNonces, fingerprints } =
    given as unknown as ChannelGiven;
  const [offerer, answerer] = ([0, 1] as const).map((at) => ({ role: roles[at], subject: subjects[at] }));
  const context = relayContext({ room, issuer: iss, otherIssuer: iss, offerer: offerer!, answerer: answerer! });
  const binding = certificateBinding(...fingerprints);
  const witness = ([offererNonce, answererNonce]: [string, string]): Witness => ({
    offererNonce,
    answererNonce,
    session,
    context,
    binding,
  });
  const key = secret === '' ? undefined : secretKeyBytes(secret);
  const ofSession = await sessionKey(witness(firstNonces), key);
  const resumes = nonces[0] !== firstNonces[0];
  const proving = resumes ? ofSession : key;
  const ends = ['offerer', 'answerer'] as const;
  const proofs = proving ? await Promise.all(ends.map((end) => prove(proving, end, witness(nonces)))) : [];

  let received = 0;
  const seen: string[] = [];
  let conversation: Conversation | undefined;
  for (const { from, hex: digits = '', frame: value } of steps) {
    const at = ends.indexOf(from as 'offerer');
    const frame = readFrame(bytesOf(digits), value);
    seen.push(`${frame.type} of the ${from}`);
    if (frame.type === 'hello') {
      assert.equal(frame.hello.nonce, nonces[at as 0 | 1]);
      assert.equal(frame.hello.session, at === 0 || resumes ? session : undefined);
      ({ received } = frame.hello);
    } else if (frame.type === 'auth') {
      assert.ok(proving && (await verify(proving, ends[at]!, witness(nonces), frame.proof)));
    } else {
      conversation ??= new Conversation(received);
      conversation.take(from, frame);
    }
  }
  const begins = ['hello of the offerer', 'hello of the answerer'];
  const proven = proving ? ['auth of the offerer', 'auth of the answerer'] : [];
  assert.deepEqual(seen.slice(0, begins.length + proven.length), [...begins, ...proven]);
  assert.deepEqual(derived, {
    context: hex(context),
    binding: hex(binding),
    proofs: proofs.map(hex),
    sessionKey: hex(ofSession),
    messages: conversation?.said,
  });
}

/** A text frame of the WebSocket, and the data of a signal in it. */
function readText({ from, text }: Step): Record<string, unknown> {
  const schema: Schema<unknown> = from === 'relay' ? frameFromRelay : frameToRelay;
  assert.deepEqual(schema.parse(text), text, 'a frame has a member that its schema does not know');
  const frame = text as { type: string; data?: unknown; signal?: { data: unknown } };
  const data = frame.type === 'signal' ? frame.data : frame.signal?.data;
  if (data !== undefined) {
    const read = peerData.parse(data);
    assert.deepEqual(read, data);
    if (read.kind === 'offer' || read.kind === 'answer') parseDescription(read.body.sdp);
  }
  return frame;
}

async function replayRelayed({ given, derived, steps }: Transcript): Promise<void> {
  await loadPrimitives();
  const { iss, room, subjects, ids, session, gen, psk, ephemerals, payload } = given as unknown as RelayedGiven;
  const prologue = relayedPrologue({ issuer: iss, room, client: subjects[0] }, session, gen);
  const key = psk === '' ? undefined : bytesOf(psk);
  const [client, server] = ephemerals.map(
    (ephemeral, at) => new NoiseHandshake({ initiator: at === 0, prologue, psk: key, ephemeral: bytesOf(ephemeral) }),
  );
  const messages = [client!.write()];
  assert.equal(server!.read(messages[0]!).length, 0);
  messages.push(server!.write(new TextEncoder().encode(payload)));
  assert.equal(new TextDecoder().decode(client!.read(messages[1]!)), payload);
  const said = pathAnswer.parse(JSON.parse(payload));
  assert.equal(said.subject, subjects[1]);
  const keys: Record<string, NoiseSession> = { client: client!.split(), server: server!.split() };
  const { handshakeHash, exported } = keys['client']!;
  const begun = await relayedSession(handshakeHash, new Uint8Array(exported));

  const noise: string[] = [];
  const pieces: Record<string, string> = { client: '', server: '' };
  const conversation = new Conversation(said.hello.received);
  let opaque = '';
  for (const step of steps) {
    if (step.text !== undefined) {
      const { data } = readText(step) as { data: { body: { noise: string } } };
      if (step.from !== 'relay') noise.push(hex(fromBase64Url(data.body.noise)));
      continue;
    }
    const bytes = bytesOf(step.hex ?? '');
    const { peer, payload: inside } = decodeRelayed(bytes) ?? assert.fail('it is not relayed data');
    assert.equal(hex(encodeRelayed(peer, inside)), step.hex);
    assert.equal(peer, step.relayed?.peer);
    assert.equal(Buffer.from(inside).readUInt32BE(0), gen);
    if (step.from === 'relay') {
      const from = step.to === 'client' ? 'server' : 'client';
      assert.equal(peer, ids[from]);
      assert.equal(hex(inside), opaque, 'the relay passes on other bytes than it was given');
      const sealed = inside.subarray(4);
      const plain = sealed.length === 0 ? sealed : keys[step.to]!.receive.open(sealed);
      assert.equal(hex(plain), step.relayed?.plain);
      if (plain.length === 0 || plain[0] === 2) continue;
      pieces[from] += hex(plain.subarray(1));
      if (plain[0] === 1) continue;
      conversation.take(from, readFrame(bytesOf(pieces[from]!), step.relayed?.frame));
      pieces[from] = '';
    } else {
      assert.equal(peer, ids[step.to === 'relay' && step.from === 'client' ? 'server' : 'client']);
      const plain = bytesOf(step.relayed?.plain ?? '');
      const sealed = plain.length === 0 ? plain : keys[step.from]!.send.seal(plain);
      opaque = hex(inside);
      assert.equal(hex(inside.subarray(4)), hex(sealed));
    }
  }
  assert.deepEqual(noise, messages.map(hex));
  assert.deepEqual(derived, {
    prologue: hex(prologue),
    noise,
    hash: hex(handshakeHash),
    exported: hex(exported),
    session: begun.name,
    sessionKey: hex(begun.key),
    pathKey: hex(await pathKey(begun.key)),
    messages: conversation.said,
  });
}

async function replaySignaling({ given, derived, steps }: Transcript): Promise<void> {
  const { key, root } = given as unknown as SignalingGiven;
  const { tokens, claims, secret, invitation } = derived as {
    tokens: Record<string, string>;
    claims: Record<string, Record<string, unknown>>;
    secret: string;
    invitation: string;
  };
  for (const [name, token] of Object.entries(tokens)) {
    const [head = '', body = '', signature = ''] = token.split('.');
    const mac = createHmac('sha256', key).update(`${head}.${body}`).digest();
    assert.equal(signature, toBase64Url(mac));
    assert.deepEqual(JSON.parse(new TextDecoder().decode(fromBase64Url(body))), claims[name]);
  }
  assert.equal(await deriveSecret(root, String(claims['client']?.['jti'])), secret);
  const invited = parseInvitation(invitation, { now: 0 });
  assert.deepEqual([invited.token, invited.secret], [tokens['client'], secret]);

  const known = new Set(Object.values(tokens));
  const open = new Set<string>();
  for (const step of steps) {
    const peer = step.from === 'relay' ? step.to : step.from;
    if (step.close) {
      assert.equal(step.from, 'relay');
      assert.ok(open.delete(peer), `the socket of the ${peer} is closed already`);
      continue;
    }
    const frame = readText(step);
    if (frame['type'] === 'join') open.add(peer);
    assert.ok(open.has(peer), `a frame of or to the ${peer}, which has not joined`);
    if ('token' in frame) assert.ok(known.has(frame['token'] as string), 'a token that nobody signed');
  }
  assert.deepEqual([...open], []);
}
