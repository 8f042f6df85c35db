import type { ClaimMapping, IceServer } from 'mcp-rendezvous-protocol';
import type { SecretSource } from '../../transport/types.ts';
import { checkIceServers } from './ice-check.ts';
import type { Finding, Report } from './finding.ts';
import { checkCandidates, checkPeer } from './path-check.ts';
import { checkRelay } from './relay-check.ts';
import { askForRoom, checkRoom } from './room-check.ts';
import { checkToken } from './token-check.ts';
import { type Facts, judge, type Verdict } from './verdict.ts';

export interface DoctorOptions {
  /** ws: or wss: */
  relay: string;
  /**
   * Returns the token.
   *
   * @throws CliError if there is none
   */
  token: () => string;
  secret?: string | SecretSource;
  /** A token that lives shorter is warned of, in seconds. */
  soonSeconds?: number;
  /** In place of the relay's. */
  iceServers?: IceServer[];
  /** Where the token has its claims, if elsewhere. */
  claims?: ClaimMapping | undefined;
  /** Join with a server's token, too. */
  join: boolean;
  /**
   * Whether to connect to the other peer: true waits for it; undefined connects if a client finds
   * its server.
   */
  peer: boolean | undefined;
  debug: boolean;
  report: Report;
  stop: AbortSignal;
}

/**
 * Looks at everything that has to work for a connection, in the order in which a connection needs
 * it.
 */
export async function doctor(options: DoctorOptions): Promise<Verdict> {
  const findings: Finding[] = [];
  const facts = await examine(options, (finding) => {
    // What is stopped has not failed.
    if (options.stop.aborted) return;
    findings.push(finding);
    options.report(finding);
  });
  return judge({ ...facts, findings });
}

async function examine(options: DoctorOptions, report: Report): Promise<Omit<Facts, 'findings'>> {
  const { relay, token, secret, iceServers, join, peer, debug, stop } = options;
  const view = await checkRelay(relay, debug, report, stop);
  const claims = checkToken(token, options, view.skewMs, report);
  if (!view.usable || !claims) return {};
  const stays = claims.role === 'server' && !join;
  const room = await (stays ? askForRoom : checkRoom)(relay, claims, report, stop);
  const servers = iceServers ?? room?.iceServers;
  if ((!room && !stays) || !servers) return {};
  const ice = await checkIceServers(servers, iceServers !== undefined, view.skewMs, debug, report, stop);
  report(await checkCandidates(servers, ice.turn !== 'none', stop));
  if (!room) return { ice };
  const { occupied, relayed } = room;
  if (stays || !(peer ?? (claims.role === 'client' && occupied))) return { ice, relayed };
  const tried = await checkPeer({ relay, view: claims, secret, iceServers }, relayed, stop);
  report(tried.finding);
  return { ice, relayed, peer: tried };
}
