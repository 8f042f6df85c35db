import { wait } from '../../util/abort.ts';
import { type IceServer, toRendezvousError } from 'mcp-rendezvous-protocol';
import { WebRTCClientTransport } from '../../transport/client.ts';
import { loadEngine } from '../../transport/choose-engine.ts';
import { WebRTCServerTransport } from '../../transport/server.ts';
import type { TransportStats } from '../../peer/stats.ts';
import { closeConnection } from '../../peer/negotiation.ts';
import { type Finding, within } from './finding.ts';
import type { Path, SecretSource } from '../../transport/types.ts';
import type { TokenView } from './token-check.ts';
import type { PeerView } from './verdict.ts';

/** How long two peers may take to connect, in milliseconds. */
const connectMs = 30_000;
const types = ['host', 'srflx', 'prflx', 'relay'];

/** The candidates that this machine finds, by type, as a peer would. */
export async function checkCandidates(iceServers: IceServer[], turn: boolean, stop: AbortSignal): Promise<Finding> {
  const check = 'candidates';
  const counts = new Map<string, number>();
  try {
    const lines = await gather(iceServers, stop);
    for (const line of lines) {
      const type = / typ (\w+)/.exec(line)?.[1];
      if (type) counts.set(type, (counts.get(type) ?? 0) + 1);
    }
  } catch (thrown) {
    const { code, message } = toRendezvousError(thrown, 'engine_failed', 'The WebRTC engine failed.');
    return { check, status: 'fail', code, seen: message };
  }
  const found = types.filter((type) => counts.has(type)).map((type) => `${counts.get(type)} ${type}`);
  const seen = `found: ${found.join(', ') || 'none'}`;
  if (counts.size === 0) {
    const advice = 'This machine has no network address. Check that it is online.';
    return { check, status: 'fail', code: 'no_candidates', seen, advice };
  }
  if (turn && !counts.has('relay')) {
    const advice = 'None uses TURN, so peers behind strict NATs or firewalls are unreachable. See turn.* above.';
    return { check, status: 'fail', code: 'no_relay_candidate', seen, advice };
  }
  return { check, status: 'ok', seen };
}

/** Candidate lines, each once: engines report them one by one, in the description, or both ways. */
async function gather(iceServers: IceServer[], stop: AbortSignal): Promise<Set<string>> {
  const configuration = { iceServers, iceTransportPolicy: 'all' } as const;
  const first = await loadEngine({});
  const engine = (await first.forTurn?.()) ?? first;
  const connection = engine.createPeerConnection(configuration);
  // Loading an engine takes its time on a busy machine.
  const limit = within(stop);
  const lines = new Set<string>();
  const add = (line: string) => lines.add(line.replace(/^a=/, '').trim());
  try {
    const ended = new Promise<void>((done) => {
      const gathered = () => connection.iceGatheringState === 'complete' && done();
      connection.onicegatheringstatechange = gathered;
      connection.onicecandidate = ({ candidate }) => (candidate?.candidate ? add(candidate.candidate) : gathered());
      if (limit.aborted) done();
      limit.addEventListener('abort', () => done(), { once: true });
    });
    connection.createDataChannel('mcp', { ordered: true });
    const { sdp = '' } = await connection.createOffer();
    await connection.setLocalDescription({ type: 'offer', sdp });
    await ended;
    connection.localDescription?.sdp.match(/^a=candidate:.*$/gm)?.forEach(add);
    return lines;
  } finally {
    closeConnection(connection);
  }
}

/** How long a connection stays for the other side to see it. */
const lingerMs = 1_000;

/**
 * Opens the data channel to the other peer, asks for the path and closes it. No MCP message is
 * sent. Where there is no network path, the relayed one is tried, if the relay offers it.
 */
export async function checkPeer(options: PeerCheck, relayed: boolean, stop: AbortSignal): Promise<PeerView> {
  const direct = await tryPeer(options, ['direct', 'turn'], stop);
  if (!relayed || direct.finding.code !== 'ice_failed') return direct;
  const other = await tryPeer(options, ['relayed'], stop);
  if (other.path !== 'relayed') return direct;
  const seen = `${other.finding.seen}, because: ${direct.finding.seen}`;
  return { path: 'relayed', finding: { check: 'peer', status: 'warn', code: 'ice_failed', seen } };
}

export interface PeerCheck {
  relay: string;
  view: TokenView;
  secret: string | SecretSource | undefined;
  /** In place of the relay's. */
  iceServers: IceServer[] | undefined;
}

async function tryPeer(options: PeerCheck, paths: Path[], stop: AbortSignal): Promise<PeerView> {
  const { relay, view, secret, iceServers } = options;
  const { token, role, claims } = view;
  const check = 'peer';
  const Transport = role === 'client' ? WebRTCClientTransport : WebRTCServerTransport;
  const transport = new Transport({
    relay,
    token,
    ...(secret && { secret }),
    ...(claims && { claims }),
    ...(iceServers && { iceServers }),
    paths,
    connectTimeoutMs: connectMs,
    signal: stop,
  });
  const ended = new Promise<void>((resolve) => {
    transport.onclose = resolve;
  });
  try {
    await transport.start();
    const stats = await transport.stats();
    const seen = `connected ${describe(stats)}`;
    // The other side may be a doctor, too, which is not there yet: a connection that closes at once
    // is none for it.
    // Stopped: it was seen.
    await Promise.race([ended, wait(lingerMs, stop).catch(() => undefined)]);
    return { path: stats.path ?? 'direct', finding: { check, status: 'ok', seen } };
  } catch (thrown) {
    const { code, message } = toRendezvousError(thrown, 'engine_failed', 'Connecting failed.');
    return { finding: { check, status: 'fail', code, seen: message } };
  } finally {
    await transport.close();
  }
}

function describe({ path, localCandidateType: type, protocol, roundTripMs }: TransportStats): string {
  const way =
    path === 'relayed'
      ? 'over the relayed path'
      : path === 'turn'
        ? 'through TURN'
        : type === 'host'
          ? 'directly'
          : type
            ? 'through a NAT'
            : 'over an unknown path';
  const details = [type, protocol, roundTripMs === undefined ? undefined : `${roundTripMs.toFixed(1)} ms`];
  return `${way} (${details.filter((detail) => detail !== undefined).join(', ')}), and closed again`;
}
