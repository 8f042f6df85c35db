import type { Path } from '../../transport/types.ts';
import type { Finding } from './finding.ts';

/** How this machine will connect, and why so: the end of the report. */
export interface Verdict {
  /** `none`: it will not; `unknown`: not enough was checked. */
  path: Path | 'none' | 'unknown';
  /** A stable name for the reason. */
  code: string;
  text: string;
}

export interface IceView {
  stun: 'none' | 'works' | 'silent';
  turn: 'none' | 'works' | 'refused' | 'silent';
  /** A STUN or TURN server has answered over UDP. */
  udp: boolean;
  /** `strict`: it uses another port for each destination. */
  nat: 'open' | 'strict' | 'unknown';
}

export interface PeerView {
  finding: Finding;
  path?: Path;
}

export interface Facts {
  findings: readonly Finding[];
  ice?: IceView;
  peer?: PeerView | undefined;
  /** Whether the relay offers the relayed path; undefined: not known. */
  relayed?: boolean;
}

/** Why there is no direct path, or no TURN. */
const clauses: Record<string, string> = {
  no_stun: 'no STUN server is configured',
  udp_blocked: 'nothing answers over UDP, which a firewall probably blocks',
  stun_silent: 'no STUN server answers',
  strict_nat: 'the NAT of this network uses another port for each destination',
  no_path: 'both sides have addresses, but no packet gets through between them',
  no_turn: 'no TURN server is configured',
  turn_refused: 'TURN refused the credentials, or has no capacity left',
  turn_unreachable: 'no TURN server answers',
};

const ways: Record<Path, string> = { direct: 'directly', turn: 'through TURN', relayed: 'relayed' };

/** The checks without which there is no connection, by the beginning of their names. */
const essential: [prefix: string, problem: string][] = [
  ['relay.', 'the relay cannot be used'],
  ['token', 'there is no valid token'],
  ['room.join', 'the relay rejects this token'],
];

export function judge({ findings, ice, peer, relayed = false }: Facts): Verdict {
  for (const [prefix, problem] of essential) {
    const failed = findings.find(({ check, status }) => status === 'fail' && check.startsWith(prefix));
    if (failed) return none(failed.code, `${problem}: ${failed.seen.replace(/\.$/, '')}`);
  }
  if (!ice) {
    const text = 'It is not known how you will connect, because the STUN and TURN servers were not checked.';
    return { path: 'unknown', code: 'not_joined', text };
  }
  if (peer && peer.path === undefined && peer.finding.code !== 'ice_failed') {
    const seen = peer.finding.seen.replace(/\.$/, '');
    return none(peer.finding.code, `the connection to the other peer failed: ${seen}`);
  }
  const absent = findings.some(({ code }) => code === 'peer_absent');
  return path(ice, peer, relayed, absent ? ' once the MCP server is in the room' : '');
}

function path(ice: IceView, peer: PeerView | undefined, relayed: boolean, when: string): Verdict {
  const will = (by: Path, code: string, because: string): Verdict => ({
    path: by,
    code,
    text: `You will connect ${ways[by]}${when}, because ${because}.`,
  });
  const obstacle = directObstacle(ice);
  if (peer?.path === 'direct') return will('direct', 'peer_reached', 'the other peer has just been reached that way');
  if (!peer && obstacle === undefined) {
    const otherwise = ice.turn === 'works' ? 'through TURN' : relayed ? 'relayed' : undefined;
    const limits = otherwise ? `, and ${otherwise} to peers behind a strict NAT` : '';
    return will('direct', 'public_address', `this machine can be reached over UDP${limits}`);
  }
  const first = obstacle ?? 'no_path';
  if (peer?.path === 'turn' || (!peer && ice.turn === 'works')) return will('turn', first, clauses[first]!);
  // What would have helped comes first.
  const second = turnObstacle(ice);
  const code = second === 'turn_refused' ? second : first;
  const both = `${clauses[first]}${second === undefined ? '' : ` and ${clauses[second]}`}`;
  if (peer ? peer.path === 'relayed' : relayed) return will('relayed', code, both);
  return none(code, `${both}${relayed ? '' : ', and the relay does not offer the relayed path'}`);
}

const none = (code: string | undefined, because: string): Verdict => ({
  path: 'none',
  code: code ?? 'failed',
  text: `You will not connect, because ${because}.`,
});

/** Undefined: other peers can probably reach this machine. */
function directObstacle({ stun, nat, udp }: IceView): string | undefined {
  if (nat === 'strict') return 'strict_nat';
  if (stun === 'works') return undefined;
  if (stun === 'none') return 'no_stun';
  return udp ? 'stun_silent' : 'udp_blocked';
}

function turnObstacle({ turn }: IceView): string | undefined {
  switch (turn) {
    case 'works':
      return undefined;
    case 'none':
      return 'no_turn';
    case 'refused':
      return 'turn_refused';
    case 'silent':
      return 'turn_unreachable';
  }
}
