import { RendezvousError } from '../../errors.ts';
import type { RtcConfiguration } from '../engine.ts';

export interface ChosenServer {
  urls: string;
  username?: string;
  credential?: string;
}

export interface ChosenServers {
  stun?: ChosenServer;
  turn?: ChosenServer;
}

/** How good a TURN address is for us: UDP keeps the timing of the packets, TCP passes more firewalls, TLS passes most. */
const turnRanks = ['turn:udp', 'turn:tcp', 'turns:tcp'] as const;

/**
 * The one STUN and the one TURN server that werift will use: it takes the first of each and drops the others.
 *
 * @throws RendezvousError `bad_option`: an address that is not one, TURN without credentials, or the policy `relay` without
 * a TURN server. werift gathers host candidates in this last case, and shows the addresses that the policy was to hide.
 */
export function chooseServers({ iceServers, iceTransportPolicy }: RtcConfiguration): ChosenServers {
  const chosen: ChosenServers = {};
  let best: number = turnRanks.length;
  for (const server of iceServers) {
    for (const url of typeof server.urls === 'string' ? [server.urls] : server.urls) {
      const { scheme, transport } = parse(url);
      // STUN over TLS is known to werift by name only: it would ask in the clear.
      if (scheme === 'stun') chosen.stun ??= { urls: url };
      if (scheme !== 'turn' && scheme !== 'turns') continue;
      const { username, credential } = server;
      if (!username || !credential) throw badOption('A TURN server needs a username and a credential.');
      const rank = turnRanks.indexOf(`${scheme}:${transport}` as (typeof turnRanks)[number]);
      if (rank === -1 || rank >= best) continue;
      best = rank;
      chosen.turn = { urls: url, username, credential };
    }
  }
  if (iceTransportPolicy === 'relay' && !chosen.turn) {
    throw badOption(
      'The policy "relay" needs a TURN server that this engine can use (turn: or turns:), and there is none.',
    );
  }
  return chosen;
}

/** RFC 7064 §3.1, RFC 7065 §3.1. */
function parse(url: string): { scheme: string; transport: string } {
  const match = /^(stuns?|turns?):(?:\[[\da-f:.]+\]|[^\s[\]:?/@]+)(?::\d{1,5})?(?:\?transport=(udp|tcp))?$/i.exec(url);
  const scheme = match?.[1]?.toLowerCase();
  if (!scheme)
    throw badOption('An ICE server address must look like stun:host, turn:host:port?transport=udp or turns:host.');
  return { scheme, transport: match?.[2]?.toLowerCase() ?? (scheme === 'turns' ? 'tcp' : 'udp') };
}

const badOption = (message: string) => new RendezvousError('bad_option', message);
