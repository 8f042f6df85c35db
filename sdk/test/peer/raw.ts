import { generateKeyPairSync } from 'node:crypto';
import {
  CipherContext,
  HashAlgorithm,
  NamedCurveAlgorithm,
  RTCPeerConnection,
  type RTCDtlsTransport,
  SignatureAlgorithm,
} from 'werift';
import type { RtcPeerConnection } from '../../src/peer/engine.ts';
import { PacketFilter } from '../../src/peer/werift/packet-filter.ts';
import { prepareGathering } from '../../src/peer/werift/ice-gathering.ts';
import { peerInternals } from '../../src/peer/werift/internals.ts';

export type Identity = Awaited<ReturnType<typeof CipherContext.createSelfSignedCertificateWithKey>>;

/** A certificate and its key. */
export const identity = (signature: 'ecdsa' | 'rsa' = 'ecdsa'): Promise<Identity> =>
  CipherContext.createSelfSignedCertificateWithKey(
    {
      hash: HashAlgorithm.sha256_4,
      signature: signature === 'rsa' ? SignatureAlgorithm.rsa_1 : SignatureAlgorithm.ecdsa_3,
    },
    NamedCurveAlgorithm.secp256r1_23,
  );

/** Somebody else's certificate, which anyone can have, with a key that is not the one in it. */
export const stolenCertificate = ({ certPem, signatureHash }: Identity): Identity => ({
  certPem,
  signatureHash,
  keyPem: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
});

export interface RawOptions {
  keys?: Identity;
  /** With our gate in front of it, or as werift is. */
  gated?: boolean;
  /** What becomes of each packet that it sends over ICE: a network, or an attacker. */
  alter?: (packet: Buffer, send: (packet: Buffer) => void) => void;
}

export interface RawPeer {
  connection: RtcPeerConnection;
  /** Sends a packet as it is, from the address that the other side has validated. */
  inject(packet: Buffer): Promise<void>;
  readonly transport: RTCDtlsTransport;
  /** Of a gated one. */
  readonly gate: PacketFilter;
}

/** werift without the adapter: the other side of an attack. */
export function rawPeer({ keys, gated = false, alter }: RawOptions = {}): RawPeer {
  const peer = new RTCPeerConnection({ iceServers: [], ...(keys ? { dtls: { keys } } : {}) });
  const internals = peerInternals(peer);
  const createDtlsTransport = internals.createDtlsTransport.bind(peer);
  let made: RTCDtlsTransport | undefined;
  let gate: PacketFilter | undefined;
  let inject: (packet: Buffer) => Promise<void> = () => Promise.reject(new Error('There is no transport yet.'));
  internals.createDtlsTransport = (options) => {
    made = createDtlsTransport(options);
    // Without addresses of our choosing it has none at all on a machine that has nothing but
    // loopback.
    prepareGathering(made);
    if (gated) gate = new PacketFilter(made);
    const { connection } = made.iceTransport;
    inject = connection.send.bind(connection);
    const send = inject;
    if (alter) connection.send = async (packet) => alter(packet, (altered) => void send(altered));
    return made;
  };
  const close = peer.close.bind(peer);
  peer.close = async () => {
    gate?.close();
    await close();
  };
  return {
    // It does not keep to the interface, which is what the adapter is for, but near enough to be
    // connected.
    connection: peer as unknown as RtcPeerConnection,
    inject: (packet) => inject(packet),
    get transport() {
      if (!made) throw new Error('There is no transport yet.');
      return made;
    },
    get gate() {
      if (!gate) throw new Error('There is no gate.');
      return gate;
    },
  };
}
