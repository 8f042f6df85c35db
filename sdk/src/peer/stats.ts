import { sha256 } from '../util/digest.ts';
import type { RtcPeerConnection, RtcStats } from './engine.ts';

/** How two peers are connected, as far as the engine tells. */
export interface TransportStats {
  /** Over what the data goes; undefined where the engine does not tell. */
  path?: 'direct' | 'turn' | 'relayed';
  /**
   * This side's kind of candidate in use: `host` (direct), `srflx` or `prflx` (through a NAT),
   * `relay` (through TURN).
   */
  localCandidateType?: string;
  remoteCandidateType?: string;
  /** `udp` or `tcp`. */
  protocol?: string;
  /** The last measured round trip of the ICE path, in milliseconds. */
  roundTripMs?: number;
  bytesSent?: number;
  bytesReceived?: number;
}

/**
 * Reads what https://www.w3.org/TR/webrtc-stats/ defines; what an engine does not report is left
 * out.
 */
export async function readStats(connection: Pick<RtcPeerConnection, 'getStats'>): Promise<TransportStats> {
  const { reports, all, transport } = await readReports(connection);
  const pair =
    reports.get(String(transport?.['selectedCandidatePairId'])) ??
    all.find((report) => report.type === 'candidate-pair' && report['nominated'] && report['state'] === 'succeeded');
  const local = reports.get(String(pair?.['localCandidateId']));
  const remote = signaled(reports.get(String(pair?.['remoteCandidateId'])), all);
  const roundTrip = number(pair, 'currentRoundTripTime');
  const localCandidateType = string(local, 'candidateType');
  const remoteCandidateType = string(remote, 'candidateType');
  const turn = localCandidateType === 'relay' || remoteCandidateType === 'relay';
  return present({
    path: localCandidateType === undefined ? undefined : turn ? ('turn' as const) : ('direct' as const),
    localCandidateType,
    remoteCandidateType,
    protocol: string(local, 'protocol'),
    roundTripMs: roundTrip === undefined ? undefined : roundTrip * 1000,
    bytesSent: number(transport, 'bytesSent') ?? number(pair, 'bytesSent'),
    bytesReceived: number(transport, 'bytesReceived') ?? number(pair, 'bytesReceived'),
  });
}

/**
 * A peer-reflexive candidate is the one that the other side tells with this address, before or
 * after its check (RFC 8445 §7.3.1.3). werift keeps both.
 */
function signaled(candidate: RtcStats | undefined, all: RtcStats[]): RtcStats | undefined {
  if (candidate?.['candidateType'] !== 'prflx') return candidate;
  const isSame = (report: RtcStats): boolean =>
    report.type === candidate.type &&
    report['candidateType'] !== 'prflx' &&
    report['address'] === candidate['address'] &&
    report['port'] === candidate['port'];
  return all.find(isSame) ?? candidate;
}

/**
 * The certificate with which the other side made the DTLS handshake, in the form of {@link
 * Description.fingerprint}; undefined where the engine does not tell it by SHA-256.
 */
export async function remoteFingerprint(connection: RtcPeerConnection): Promise<string | undefined> {
  const [certificate] = connection.sctp?.transport?.getRemoteCertificates?.() ?? [];
  if (certificate) {
    const digest = await sha256(new Uint8Array(certificate));
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

async function readReports(connection: Pick<RtcPeerConnection, 'getStats'>) {
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
