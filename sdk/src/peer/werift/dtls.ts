import { timingSafeEqual, verify, X509Certificate } from 'node:crypto';
import { RendezvousError } from 'mcp-rendezvous-protocol';
import { handshakeType, type Handshake } from './dtls-handshake.ts';
import { dtlsClient, type DtlsInternals, type HandshakeMessage } from './internals.ts';
import { prf, sha256, sharedSecret } from './prf.ts';

/**
 * Proves that a finished DTLS handshake was made with the holder of the certificate that the other
 * side's description names.
 *
 * werift reads the signatures of ServerKeyExchange and CertificateVerify and the verify_data of
 * Finished, and checks none of them. A certificate travels in the clear, so that anyone on the path
 * can present the right one; only the signature shows who has its key, and only Finished that both
 * sides saw the same messages.
 *
 * @param fingerprint in the form of {@link Description.fingerprint}
 * @throws RendezvousError `dtls_untrusted` when any part of the proof is wrong, missing or
 *   unexpected.
 */
export function verifyHandshake(socket: DtlsInternals, handshake: Handshake, fingerprint: string): void {
  try {
    if (socket.sessionType === dtlsClient) verifyServer(socket, handshake, fingerprint);
    else verifyClient(socket, handshake, fingerprint);
  } catch (cause) {
    if (cause instanceof RendezvousError) throw cause;
    throw untrusted('is incomplete or not valid DTLS 1.2', cause);
  }
}

const type = handshakeType;

/** We are the DTLS client: the other side signed its ServerKeyExchange. */
function verifyServer(socket: DtlsInternals, { received }: Handshake, fingerprint: string): void {
  const { handshakeCache } = socket.dtls;
  const clientHello = handshakeCache[3]?.data[0] ?? handshakeCache[1]?.data[0];
  // Not part of the transcript: RFC 6347 §4.2.1.
  const first = received[0]?.msg_type === type.helloVerifyRequest ? 1 : 0;
  const [serverHello, certificate, keyExchange, ...rest] = received.slice(first);
  const finished = rest.pop();
  const done = rest.at(-1);
  const ours = handshakeCache[5]?.data ?? [];
  expect(
    [clientHello, serverHello, certificate, keyExchange, done, finished],
    [type.clientHello, type.serverHello, type.certificate, type.serverKeyExchange, type.serverHelloDone, type.finished],
  );
  if (rest.length > 1) expect(rest, [type.certificateRequest, type.serverHelloDone]);
  const transcript = [clientHello!, ...received.slice(first, -1), ...ours];
  const leaf = trustedCertificate(certificate!, fingerprint);
  const randoms = Buffer.concat([random(clientHello!), random(serverHello!)]);
  const exchange = parseServerKeyExchange(keyExchange!.fragment);
  verifySignature(leaf, exchange.scheme, Buffer.concat([randoms, exchange.params]), exchange.signature);
  const ourExchange = transcript.findIndex((message) => message.msg_type === type.clientKeyExchange);
  const master = verifyMasterSecret(socket, transcript.slice(0, ourExchange + 1), randoms, {
    ours: transcript[ourExchange]!.fragment.subarray(1),
    theirs: exchange.publicKey,
  });
  verifyFinished(master, 'server finished', transcript, finished!);
}

/** We are the DTLS server: the other side signed the messages so far in its CertificateVerify. */
function verifyClient(socket: DtlsInternals, { received }: Handshake, fingerprint: string): void {
  const { handshakeCache } = socket.dtls;
  // Before the first of two hellos there was no cookie; neither it nor our request for one is part
  // of the transcript.
  const helloAt = received.findLastIndex((message) => message.msg_type === type.clientHello);
  const [clientHello, ...theirs] = received.slice(helloAt);
  const ours = handshakeCache[4]?.data.filter((message) => message.msg_type !== type.clientHello) ?? [];
  expect(
    [clientHello, ...ours, ...theirs],
    [
      type.clientHello,
      type.serverHello,
      type.certificate,
      type.serverKeyExchange,
      type.certificateRequest,
      type.serverHelloDone,
      type.certificate,
      type.clientKeyExchange,
      type.certificateVerify,
      type.finished,
    ],
  );
  const [certificate, keyExchange, certificateVerify, finished] = theirs;
  const signed = [clientHello!, ...ours, certificate!, keyExchange!];
  const leaf = trustedCertificate(certificate!, fingerprint);
  const { scheme, signature } = parseSignature(certificateVerify!.fragment);
  verifySignature(leaf, scheme, serialize(signed), signature);
  const randoms = Buffer.concat([random(clientHello!), random(ours[0]!)]);
  const master = verifyMasterSecret(socket, signed, randoms, {
    ours: parseServerKeyExchange(ours[2]!.fragment).publicKey,
    theirs: vector8(keyExchange!.fragment),
  });
  verifyFinished(master, 'client finished', [...signed, certificateVerify!], finished!);
}

function expect(messages: readonly (HandshakeMessage | undefined)[], types: readonly number[]): void {
  if (messages.length !== types.length || messages.some((message, i) => message?.msg_type !== types[i])) {
    throw untrusted('lacks the messages that authenticate the other side');
  }
}

/**
 * The certificate that the other side presented, which must be the one that its description names
 * (RFC 8122 §5).
 */
function trustedCertificate({ fragment }: HandshakeMessage, fingerprint: string): X509Certificate {
  const listEnd = 3 + fragment.readUIntBE(0, 3);
  const leafEnd = 6 + fragment.readUIntBE(3, 3);
  if (listEnd !== fragment.length || leafEnd > listEnd) throw untrusted('has an invalid certificate message');
  const leaf = new X509Certificate(fragment.subarray(6, leafEnd));
  if (`sha-256 ${leaf.fingerprint256}` !== fingerprint) {
    throw untrusted('used a certificate that does not match the fingerprint in the SDP');
  }
  return leaf;
}

/**
 * The two schemes that werift offers (RFC 5246 §7.4.1.4.1), and the kind of key that each is for.
 */
const schemes: Readonly<Record<number, string>> = { 0x0401: 'rsa', 0x0403: 'ec' };

function verifySignature(certificate: X509Certificate, scheme: number, data: Buffer, signature: Buffer): void {
  const key = certificate.publicKey;
  if (schemes[scheme] !== key.asymmetricKeyType)
    throw untrusted('is signed with an algorithm that its certificate does not allow');
  if (!verify('sha256', data, key, signature)) {
    throw untrusted('was not signed with the key of the certificate');
  }
}

/**
 * That the keys in use come from the exchange that was signed, and not from another one (RFC 5246
 * §8.1, RFC 7627 §4).
 *
 * @returns the master secret.
 */
function verifyMasterSecret(
  socket: DtlsInternals,
  untilKeyExchange: readonly HandshakeMessage[],
  randoms: Buffer,
  publicKeys: { ours: Buffer; theirs: Buffer },
): Buffer {
  const { localKeyPair, masterSecret } = socket.cipher;
  if (!localKeyPair || !masterSecret || !localKeyPair.publicKey.equals(publicKeys.ours)) {
    throw untrusted('does not contain the keys in use');
  }
  const premaster = sharedSecret(localKeyPair, publicKeys.theirs);
  if (!premaster) throw untrusted('uses an unknown curve');
  const expected = socket.dtls.remoteExtendedMasterSecret
    ? prf(premaster, 'extended master secret', sha256(serialize(untilKeyExchange)), 48)
    : prf(premaster, 'master secret', randoms, 48);
  if (!same(expected, masterSecret)) throw untrusted('was signed for other keys than those in use');
  return expected;
}

/** RFC 5246 §7.4.9. */
function verifyFinished(
  master: Buffer,
  label: 'client finished' | 'server finished',
  transcript: readonly HandshakeMessage[],
  finished: HandshakeMessage,
): void {
  if (!same(prf(master, label, sha256(serialize(transcript)), 12), finished.fragment)) {
    throw untrusted('was modified in transit');
  }
}

/** RFC 8422 §5.4: curve_type, named curve, public key, signature. */
function parseServerKeyExchange(body: Buffer) {
  const namedCurve = 3;
  if (body[0] !== namedCurve) throw untrusted('uses an unknown curve');
  const publicKeyEnd = 4 + body.readUInt8(3);
  return {
    params: body.subarray(0, publicKeyEnd),
    publicKey: body.subarray(4, publicKeyEnd),
    ...parseSignature(body.subarray(publicKeyEnd)),
  };
}

/** RFC 5246 §4.7. */
function parseSignature(body: Buffer): { scheme: number; signature: Buffer } {
  if (body.length !== 4 + body.readUInt16BE(2)) throw untrusted('has an invalid signature');
  return { scheme: body.readUInt16BE(0), signature: body.subarray(4) };
}

function vector8(body: Buffer): Buffer {
  if (body.length !== 1 + body.readUInt8(0)) throw untrusted('has an invalid key exchange');
  return body.subarray(1);
}

/** A hello's random, behind its version (RFC 5246 §7.4.1.2). */
const random = ({ fragment }: HandshakeMessage): Buffer => fragment.subarray(2, 34);

const serialize = (messages: readonly HandshakeMessage[]): Buffer =>
  Buffer.concat(messages.map((message) => message.serialize()));

const same = (a: Buffer, b: Buffer): boolean => a.length === b.length && timingSafeEqual(a, b);

const untrusted = (what: string, cause?: unknown): RendezvousError =>
  new RendezvousError(
    'dtls_untrusted',
    `The DTLS handshake ${what}. Nothing was sent, because the connection may be intercepted.`,
    cause === undefined ? {} : { cause },
  );
