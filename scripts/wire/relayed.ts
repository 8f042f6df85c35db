import { secretKeyBytes, toBase64Url } from 'mcp-rendezvous-protocol';
import { encodeRelayed } from '../../protocol/src/relayed-frame.ts';
import { pathKey, relayedSession } from '../../sdk/src/link/proof.ts';
import { relayedPrologue } from '../../sdk/src/link/transcript.ts';
import { type NoiseCipher, NoiseHandshake } from '../../sdk/src/relayed/noise.ts';
import { loadPrimitives } from '../../sdk/src/relayed/primitives.ts';
import { messages, people, secret } from './channels.ts';
import {
  dataFrames,
  encodeFrame,
  fromHex,
  type FrameValue,
  sdpOf,
  type Step,
  toHex,
  type Transcript,
} from './transcript.ts';

/** The transcripts of the relayed path with fixed keys: PROTOCOL.md §4 and §8. */
const [client, server] = people.subjects;
const ids = { client: 'p-7Qm2k9', server: 'p-a81hZx' };
const ephemerals = [
  '0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20',
  '4142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60',
];
const nonces = {
  client: 'EjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJCrze8',
  server: 'q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA',
};
type End = 'client' | 'server';

interface Relayed {
  title: string;
  psk: Uint8Array | undefined;
  /** The session that goes on; empty where one begins. */
  session: string;
  gen: number;
}

async function relayed({ title, psk, session, gen }: Relayed) {
  await loadPrimitives();
  const prologue = relayedPrologue({ issuer: people.iss, room: people.room, client }, session, gen);
  const [initiator, responder] = ephemerals.map(
    (ephemeral, at) => new NoiseHandshake({ initiator: at === 0, prologue, psk, ephemeral: fromHex(ephemeral) }),
  );
  const first = initiator!.write();
  responder!.read(first);
  const auth = psk ? ('secret' as const) : ('none' as const);
  const received = session === '' ? 0 : 2;
  const hello = { nonce: nonces.server, maxMessageBytes: 10_485_760, received, auth };
  const payload = JSON.stringify({ subject: server, hello });
  const second = responder!.write(new TextEncoder().encode(payload));
  initiator!.read(second);
  const keys = { client: initiator!.split(), server: responder!.split() };
  const begun = await relayedSession(keys.client.handshakeHash, new Uint8Array(keys.client.exported));
  const name = session === '' ? begun.name : session;

  const steps: Step[] = [];
  let signals = 0;
  const signal = (from: End, data: object) => {
    const to = from === 'client' ? ids.server : ids.client;
    const asked = { type: 'signal', id: `${++signals}`, to, data };
    const told = { type: 'signal', from: ids[from], data };
    steps.push({ from, to: 'relay', text: asked });
    steps.push({ from: 'relay', to: from === 'client' ? 'server' : 'client', text: told });
  };
  const send = (from: End, plain: Uint8Array, frame?: FrameValue) => {
    const to = from === 'client' ? 'server' : 'client';
    const cipher: NoiseCipher = keys[from].send;
    const sealed = plain.length === 0 ? plain : cipher.seal(plain);
    const opaque = Uint8Array.of(0, 0, 0, gen, ...sealed);
    const value = { gen, plain: toHex(plain), ...(frame ? { frame } : {}) };
    const [there, here] = [ids[to], ids[from]];
    steps.push({ from, to: 'relay', hex: toHex(encodeRelayed(there, opaque)), relayed: { peer: there, ...value } });
    steps.push({ from: 'relay', to, hex: toHex(encodeRelayed(here, opaque)), relayed: { peer: here, ...value } });
  };
  /** A frame of §7 in so many pieces. */
  const frameIn = (pieces: number, from: End, frame: FrameValue) => {
    const bytes = encodeFrame(frame);
    const size = Math.ceil(bytes.length / pieces);
    for (let n = 0; n < pieces; n++) {
      const last = n === pieces - 1;
      const piece = Uint8Array.of(last ? 0 : 1, ...bytes.subarray(n * size, (n + 1) * size));
      send(from, piece, last ? frame : undefined);
    }
    return bytes.length;
  };
  const acknowledge = (from: End, bytes: number) => {
    const plain = new Uint8Array(9);
    plain[0] = 2;
    new DataView(plain.buffer).setBigUint64(1, BigInt(bytes));
    send(from, plain);
  };

  signal('client', {
    kind: 'offer',
    gen,
    seq: 1,
    ack: 0,
    body: { sdp: sdpOf('actpass', session === '' ? '1' : `1 resume=${session}`), noise: toBase64Url(first) },
  });
  signal('server', { kind: 'path', gen, seq: 1, ack: 1, body: { noise: toBase64Url(second) } });
  const own = { session: name, nonce: nonces.client, maxMessageBytes: 10_485_760, received, auth };
  let bytes = frameIn(1, 'client', { type: 'hello', hello: own });
  for (const frame of dataFrames(messages.initialize, received + 1, received, 1)) bytes += frameIn(3, 'client', frame);
  acknowledge('server', bytes);
  for (const frame of dataFrames(messages.result, received + 1, received + 1, 2)) frameIn(1, 'server', frame);
  frameIn(1, 'server', { type: 'ping', id: 42 });
  frameIn(1, 'client', { type: 'pong', id: 42 });
  frameIn(1, 'client', { type: 'close', code: 0, reason: '' });
  frameIn(1, 'server', { type: 'close', code: 0, reason: '' });
  send('client', new Uint8Array());

  const transcript: Transcript = {
    format: 1,
    kind: 'relayed',
    title,
    sections: '§4, §6, §7, §8',
    given: { ...people, ids, session, gen, psk: psk ? toHex(psk) : '', ephemerals, payload },
    derived: {
      prologue: toHex(prologue),
      noise: [toHex(first), toHex(second)],
      hash: toHex(keys.client.handshakeHash),
      exported: toHex(keys.client.exported),
      session: begun.name,
      sessionKey: toHex(begun.key),
      pathKey: toHex(await pathKey(begun.key)),
      messages: [
        { from: 'client', message: messages.initialize },
        { from: 'server', message: messages.result },
      ],
    },
    steps,
  };
  return { transcript, session: begun.name, key: await pathKey(begun.key) };
}

export async function relayedTranscripts(): Promise<Record<string, Transcript>> {
  const open = await relayed({
    title: 'The relayed path without a key: Noise NN',
    psk: undefined,
    session: '',
    gen: 1,
  });
  const keyed = await relayed({
    title: 'The relayed path with a secret: Noise NNpsk0',
    psk: secretKeyBytes(secret),
    session: '',
    gen: 1,
  });
  const further = await relayed({
    title: 'A further relayed path of the session of relayed-secret.json, under its path key',
    psk: keyed.key,
    session: keyed.session,
    gen: 2,
  });
  return {
    'relayed.json': open.transcript,
    'relayed-secret.json': keyed.transcript,
    'relayed-resume.json': further.transcript,
  };
}
