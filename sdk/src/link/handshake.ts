import { type Hello, RendezvousError } from 'mcp-rendezvous-protocol';
import { randomBase64Url } from '../util/random.ts';
import { encodeAuth, encodeHello, type Frame, violation } from './frame.ts';
import type { FrameChannel } from './frame-channel.ts';
import { prove, sessionKey, verify, type Witness } from './proof.ts';
import { parseDescription } from '../peer/description.ts';
import { certificateBinding } from './transcript.ts';

/** HELLO and its answer have to fit into a frame, and parts of a message must not be ridiculous. */
const leastFrameBytes = 1_024;

/** What outlives a channel. */
export interface SessionState {
  readonly name: string;
  /** Without it there is no other channel after this one: the other side can prove nothing. */
  readonly key: Uint8Array<ArrayBuffer> | undefined;
  /**
   * What this side may send: the smaller of both sides' limits on the first channel. Undefined
   * before that: the session began with a handshake of the relayed path.
   */
  readonly maxMessageBytes?: number;
  /**
   * It began with a handshake of the relayed path: who proves nothing on another path shows that
   * somebody was in the middle of one of them.
   */
  readonly relayed?: boolean;
}

/** The HELLO of this side on a channel that is about to be attached. */
export const ownHello = (
  options: Pick<HandshakeOptions, 'maxMessageBytes' | 'received' | 'secret'>,
  name: string | undefined,
): Hello => ({
  ...(name === undefined ? {} : { session: name }),
  nonce: randomBase64Url(32),
  maxMessageBytes: options.maxMessageBytes,
  received: options.received,
  auth: options.secret === undefined ? 'none' : 'secret',
});

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
 * HELLO and AUTH on one channel: PROTOCOL.md §7. Resolves when the other side has proven what it
 * has to; what comes behind that waits in the channel. Rejects with `secret_mismatch`,
 * `path_untrusted`, `session_lost`, `bad_channel`, or with what the channel was failed with.
 */
export async function shakeHands(channel: FrameChannel, options: HandshakeOptions): Promise<Agreement> {
  try {
    return await shake(channel, options);
  } catch (error) {
    const disproves = error instanceof RendezvousError && error.code === 'secret_mismatch';
    throw disproves && options.session?.relayed ? untrusted(error) : error;
  }
}

/** What both sides have had of each other, as they said, and the session that goes on. */
export interface Agreement {
  session: SessionState & { maxMessageBytes: number };
  received: { here: number; there: number };
}

async function shake(channel: FrameChannel, options: HandshakeOptions): Promise<Agreement> {
  const { offerer, secret, session } = options;
  const { relayed } = channel.carrier;
  if (channel.maxFrameBytes < leastFrameBytes) throw violation(`a max-message-size of ${channel.maxFrameBytes}`);
  const name = session?.name ?? (offerer ? randomBase64Url(16) : undefined);
  const own = relayed?.hello ?? ownHello(options, name);
  if (own !== relayed?.hello) channel.send(encodeHello(own));
  const other = await helloOf(channel);
  if (other.auth !== own.auth) throw oneSided(own);
  const maxMessageBytes = session?.maxMessageBytes ?? Math.min(options.maxMessageBytes, other.maxMessageBytes);
  const received = { here: own.received, there: other.received };
  // The handshake of the relayed path is the proof, and has begun the session, or knows its key.
  if (relayed && session) return { session: { ...session, maxMessageBytes }, received };
  const agreed = session ? resumed(session, other) : begun(name, offerer, other);
  const witness = witnessOf(channel, options, own, other, agreed);
  if (session || secret !== undefined) {
    const key = session ? session.key : secret;
    if (!key) throw sessionLost('The other side cannot resume a session, so that it ends with its connection.');
    // The offerer proves first, so that an offer alone gets nothing out of the answerer that was
    // made with the key.
    if (offerer) channel.send(encodeAuth(await prove(key, 'offerer', witness)));
    const frame = await following(channel);
    if (frame.type !== 'auth') throw violation(`${frame.type.toUpperCase()} instead of AUTH`);
    if (!(await verify(key, offerer ? 'answerer' : 'offerer', witness, frame.proof))) throw disproved(session);
    if (!offerer) channel.send(encodeAuth(await prove(key, 'answerer', witness)));
  }
  if (session) return { session: { ...session, maxMessageBytes }, received };
  const key = other.resumable === false ? undefined : await sessionKey(witness, secret);
  return { session: { name: agreed, key, maxMessageBytes }, received };
}

async function helloOf(channel: FrameChannel): Promise<Hello> {
  const frame = await following(channel);
  if (frame.type !== 'hello') throw violation(`${frame.type.toUpperCase()} instead of HELLO`);
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
    throw violation(offerer ? 'a HELLO with a session of its own' : 'a HELLO without a session');
  }
  if (other.received !== 0) throw violation('a HELLO that acknowledges frames of a new session');
  return name;
}

function resumed(session: SessionState, other: Hello): string {
  if (other.session !== session.name) {
    // Two peers that somebody put himself between have begun different sessions.
    if (session.relayed) throw disproved(session);
    throw sessionLost('The other peer did not resume the session.');
  }
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

/** The reason that the other side receives. */
export function closeCodeOf(error: RendezvousError | undefined): number {
  switch (error?.code) {
    case 'bad_channel':
      return closeCode.violation;
    case 'message_too_large':
      return closeCode.tooLarge;
    case 'secret_mismatch':
    case 'path_untrusted':
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
      return new RendezvousError('message_too_large', `The other peer received a message that is too large${told}`);
    case closeCode.noProof:
      return new RendezvousError(
        'secret_mismatch',
        `The other peer rejected the proof of the end-to-end secret${told}`,
      );
    case closeCode.refused:
      return new RendezvousError('peer_refused', `The other peer rejected the connection${told}`);
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
      ? 'Only this side has an end-to-end secret. Configure the same secret on both sides.'
      : 'Only the other side has an end-to-end secret. Configure the same secret on both sides.',
  );

const disproved = (session: SessionState | undefined) =>
  new RendezvousError(
    'secret_mismatch',
    session
      ? 'The new connection is not from the peer of this session, or its DTLS fingerprints were swapped on the way.'
      : 'The end-to-end secrets differ, or the relay changed the identity of the peer or the DTLS fingerprints. Compare the secrets; if they are equal, do not trust this relay.',
  );

const untrusted = (cause: RendezvousError) =>
  new RendezvousError(
    'path_untrusted',
    'The session was to move to another path, and the peer there is not the one that it began with: somebody was in the middle of one of the two. The session has ended.',
    { cause },
  );
