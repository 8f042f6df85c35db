import { checkIceServers } from './ice-check.ts';
import type { Finding, Report } from './finding.ts';
import { checkCandidates, checkPeer } from './path-check.ts';
import { checkRelay } from './relay-check.ts';
import { checkRoom } from './room-check.ts';
import { checkToken, type TokenView } from './token-check.ts';

export interface DoctorOptions {
  /** ws: or wss: */
  relay: string;
  /** Hands out the token. It throws CliError where there is none. */
  token: () => string;
  /** The end-to-end secret, if there is one. */
  secret?: string;
  /** Join with a server's token, too. */
  join: boolean;
  /** Connect to the other peer: true waits for it; undefined does it where a client finds its server. */
  peer: boolean | undefined;
  /** Tell IP addresses. */
  debug: boolean;
  report: Report;
  /** Ends it early. */
  stop: AbortSignal;
}

/** Looks at everything that has to work for a connection, in the order in which a connection needs it. */
export async function doctor(options: DoctorOptions): Promise<void> {
  const { relay, token, secret, join, peer, debug, stop } = options;
  // What is stopped has not failed.
  const report = (finding: Finding) => {
    if (!stop.aborted) options.report(finding);
  };
  const view = await checkRelay(relay, debug, report, stop);
  const claims = checkToken(token, view.skewMs, report);
  if (!view.usable || !claims) return;
  if (claims.role === 'server' && !join) return report(notJoined(claims));
  const room = await checkRoom(relay, claims, report, stop);
  if (!room) return;
  const { turn } = await checkIceServers(room.iceServers, debug, report, stop);
  report(await checkCandidates(room.iceServers, turn, stop));
  if (peer ?? (claims.role === 'client' && room.occupied)) report(await checkPeer(relay, claims, secret, stop));
}

/** The newcomer has the place (PROTOCOL.md §5, `replaced`), and who has it cannot be seen from outside. */
function notJoined({ room }: TokenView): Finding {
  return {
    check: 'room.join',
    status: 'warn',
    code: 'not_joined',
    seen: `not tried: a server that runs in room ${JSON.stringify(room)} with this token would be replaced`,
    advice: 'Use a client token of the same room here; or, if no server is running, pass --join.',
  };
}
