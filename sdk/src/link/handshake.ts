import { RendezvousError } from 'mcp-rendezvous-protocol';
import { randomBase64Url } from '../util/random.ts';
import { encodeAuth, encodeHello, type Frame, type Hello, violation } from './frame.ts';
import type { FrameChannel } from './frame-channel.ts';
import { hasWebCrypto, importKey, prove, sessionKey, verify, type Witness } from './proof.ts';
import { parseDescription } from '../peer/description.ts';
import { certificateBinding } from './transcript.ts';

/** HELLO and its answer have to fit into a frame, and parts of a message must not be ridiculous. */
const leastFrameBytes = 1_024;

/** What outlives a channel. */
export interface SessionState {
  readonly name: string;
  /** Without it there is no other channel after this one: a side without Web Crypto can prove nothing. */
  readonly key: CryptoKey | undefined;
  /** What this side may send: the smaller of both sides' limits on the first channel. */
  readonly maxMessageBytes: number;
}

export interface HandshakeOptions {
  /** Of this channel. */
  offerer: boolean;
  maxMessageBytes: number;
  /** The key of the end-to-end secret. */
  secret: Uint8Array<ArrayBuffer> | undefined;
  /** Who was introduced to whom, and where: the same at both ends. */
  context: Uint8Array;
  /** The session to be resumed. */
  session: SessionState | undefined;
  /** The highest `seq` that this side has had in it. */
  received: number;
}

/**
 * HELLO and AUTH on one channel: PROTOCOL.md §7. Resolves when the other side has proven what it has to; what comes behind that
 * waits in the channel. Rejects with `secret_mismatch`, `session_lost`, `bad_channel`, or with what the channel was failed with.
 */
export async function shakeHands(
  channel: FrameChannel,
  options: HandshakeOptions,
): Promise<{ session: SessionState; received: number }> {
  const { offerer, secret, session } = options;
  if (channel.maxFrameBytes < leastFrameBytes) throw violation(`a max-message-size of ${channel.maxFrameBytes}`);
  const name = session?.name ?? (offerer ? randomBase64Url(16) : undefined);
  const own: Hello = {
    ...(name === undefined ? {} : { session: name }),
    nonce: randomBase64Url(32),
    maxMessageBytes: options.maxMessageBytes,
    received: options.received,
    auth: secret === undefined ? 'none' : 'secret',
    ...(hasWebCrypto() ? {} : { resumable: false }),
  };
  channel.send(encodeHello(own));
  const other = await helloOf(channel);
  if (other.auth !== own.auth) throw oneSided(own);
  const agreed = session ? resumed(session, other) : begun(name, offerer, other);
  const witness = witnessOf(channel, options, own, other, agreed);
  if (session || secret !== undefined) {
    const key = session ? session.key : secret && (await importKey(secret));
    if (!key) throw sessionLost('One side has no Web Crypto, so that the session ends with its connection.');
    // The offerer proves first, so that an offer alone gets nothing out of the answerer that was made with the key.
    if (offerer) channel.send(encodeAuth(await prove(key, 'offerer', witness)));
    const frame = await following(channel);
    if (frame.type !== 'auth') throw violation(`${frame.type.toUpperCase()} where AUTH is due`);
    if (!(await verify(key, offerer ? 'answerer' : 'offerer', witness, frame.proof))) throw disproved(session);
    if (!offerer) channel.send(encodeAuth(await prove(key, 'answerer', witness)));
  }
  if (session) return { session, received: other.received };
  const resumable = hasWebCrypto() && other.resumable !== false;
  const key = resumable ? await sessionKey(witness, secret) : undefined;
  const maxMessageBytes = Math.min(options.maxMessageBytes, other.maxMessageBytes);
  return { session: { name: agreed, key, maxMessageBytes }, received: 0 };
}

async function helloOf(channel: FrameChannel): Promise<Hello> {
  const frame = await following(channel);
  if (frame.type !== 'hello') throw violation(`${frame.type.toUpperCase()} where HELLO is due`);
  return frame.hello;
}

/** The next frame that means something; the other side's CLOSE ends the handshake. */
async function following(channel: FrameChannel): Promise<Exclude<Frame, { type: 'close' | 'unknown' }>> {
  while (true) {
    const frame = await channel.next();
    if (frame.type === 'close') throw closeError(frame.code, frame.reason) ?? left();
    if (frame.type !== 'unknown') return frame;
  }
}

/** The name of a session that begins: the offerer gives it. */
function begun(own: string | undefined, offerer: boolean, other: Hello): string {
  const name = offerer ? own : other.session;
  if (name === undefined || (offerer && other.session !== undefined)) {
    throw violation(offerer ? 'a HELLO that names a session of its own' : 'a HELLO without a session');
  }
  if (other.received !== 0) throw violation('a HELLO that has received something before the session began');
  return name;
}

function resumed(session: SessionState, other: Hello): string {
  if (other.session !== session.name) throw sessionLost('The other peer does not go on with the same session.');
  return session.name;
}

function witnessOf(
  channel: FrameChannel,
  { offerer, context }: HandshakeOptions,
  own: Hello,
  other: Hello,
  session: string,
): Witness {
  const local = parseDescription(channel.carrier.localSdp).fingerprint;
  const remote = parseDescription(channel.carrier.remoteSdp).fingerprint;
  return {
    offererNonce: offerer ? own.nonce : other.nonce,
    answererNonce: offerer ? other.nonce : own.nonce,
    session,
    context,
    binding: offerer ? certificateBinding(local, remote) : certificateBinding(remote, local),
  };
}

/** The codes of PROTOCOL.md §7, CLOSE. */
export const closeCode = { done: 0, violation: 1, tooLarge: 2, noProof: 3, refused: 4, noSession: 5 } as const;

/** What the other side is told of an end. */
export function closeCodeOf(error: RendezvousError | undefined): number {
  switch (error?.code) {
    case 'bad_channel':
      return closeCode.violation;
    case 'message_too_large':
      return closeCode.tooLarge;
    case 'secret_mismatch':
      return closeCode.noProof;
    case 'session_lost':
      return closeCode.noSession;
    case 'peer_refused':
    case 'token_expired':
      return closeCode.refused;
    default:
      return closeCode.done;
  }
}

/** What the other side's CLOSE means here; an orderly one nothing. */
export function closeError(code: number, reason: string): RendezvousError | undefined {
  const told = reason ? `: ${reason}` : '.';
  switch (code) {
    case closeCode.done:
      return undefined;
    case closeCode.tooLarge:
      return new RendezvousError('message_too_large', `The other peer got a message that is too large${told}`);
    case closeCode.noProof:
      return new RendezvousError(
        'secret_mismatch',
        `The other peer saw no proof, or a wrong one, that both know the same secret and see the same connection${told}`,
      );
    case closeCode.refused:
      return new RendezvousError('peer_refused', `The other peer refused${told}`);
    case closeCode.noSession:
      return sessionLost(`The other peer does not have the session${told}`);
    default:
      return new RendezvousError('bad_channel', `The other peer ended the session (${code})${told}`);
  }
}

const left = () =>
  new RendezvousError('peer_gone', 'The other peer closed the connection during the handshake.', { retryable: true });

const sessionLost = (message: string) => new RendezvousError('session_lost', message);

const oneSided = ({ auth }: Hello) =>
  new RendezvousError(
    'secret_mismatch',
    auth === 'secret'
      ? 'This side has an end-to-end secret and the other one has none. Give both the same one.'
      : 'The other side has an end-to-end secret and this one has none. Give both the same one.',
  );

const disproved = (session: SessionState | undefined) =>
  new RendezvousError(
    'secret_mismatch',
    session
      ? 'The new connection does not come from the peer of this session, or somebody in between swapped its DTLS fingerprints.'
      : 'The end-to-end secrets differ, the relay introduced a peer of another room, issuer, subject or role, or somebody in between swapped the DTLS fingerprints of the connection.',
  );
