import type { RtcPeerConnection, RtcStats } from './engine.ts';

/** How two peers are connected, as far as the engine tells. */
export interface TransportStats {
  /** This side's kind of candidate in use: `host` (direct), `srflx` or `prflx` (through a NAT), `relay` (through TURN). */
  localCandidateType?: string;
  remoteCandidateType?: string;
  /** `udp` or `tcp`. */
  protocol?: string;
  /** The last measured round trip of the ICE path, in milliseconds. */
  roundTripMs?: number;
  bytesSent?: number;
  bytesReceived?: number;
}

/** Reads what https://www.w3.org/TR/webrtc-stats/ defines; what an engine does not report is left out. */
export async function readStats(connection: RtcPeerConnection): Promise<TransportStats> {
  const { reports, all, transport } = await readReports(connection);
  const pair =
    reports.get(String(transport?.['selectedCandidatePairId'])) ??
    all.find((report) => report.type === 'candidate-pair' && report['nominated'] && report['state'] === 'succeeded');
  const local = reports.get(String(pair?.['localCandidateId']));
  const remote = reports.get(String(pair?.['remoteCandidateId']));
  const roundTrip = number(pair, 'currentRoundTripTime');
  return present({
    localCandidateType: string(local, 'candidateType'),
    remoteCandidateType: string(remote, 'candidateType'),
    protocol: string(local, 'protocol'),
    roundTripMs: roundTrip === undefined ? undefined : roundTrip * 1000,
    bytesSent: number(transport, 'bytesSent') ?? number(pair, 'bytesSent'),
    bytesReceived: number(transport, 'bytesReceived') ?? number(pair, 'bytesReceived'),
  });
}

/**
 * The certificate with which the other side made the DTLS handshake, in the form of {@link Description.fingerprint}; undefined where
 * the engine does not tell it by SHA-256.
 */
export async function remoteFingerprint(connection: RtcPeerConnection): Promise<string | undefined> {
  const [certificate] = connection.sctp?.transport?.getRemoteCertificates?.() ?? [];
  // A page that is not a secure context has no Web Crypto.
  if (certificate && (crypto.subtle as SubtleCrypto | undefined)) {
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', certificate));
    const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0').toUpperCase());
    return `sha-256 ${hex.join(':')}`;
  }
  return await reportedFingerprint(connection);
}

async function reportedFingerprint(connection: RtcPeerConnection): Promise<string | undefined> {
  const { reports, transport } = await readReports(connection);
  const certificate = reports.get(String(transport?.['remoteCertificateId']));
  if (string(certificate, 'fingerprintAlgorithm')?.toLowerCase() !== 'sha-256') return undefined;
  return `sha-256 ${string(certificate, 'fingerprint')?.toUpperCase()}`;
}

async function readReports(connection: RtcPeerConnection) {
  const reports = new Map<string, RtcStats>();
  (await connection.getStats()).forEach((report) => reports.set(report.id, report));
  const all = [...reports.values()];
  return { reports, all, transport: all.find((report) => report.type === 'transport') };
}

const string = (report: RtcStats | undefined, name: string) =>
  typeof report?.[name] === 'string' ? report[name] : undefined;

const number = (report: RtcStats | undefined, name: string) =>
  typeof report?.[name] === 'number' ? report[name] : undefined;

function present<T extends object>(members: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}
