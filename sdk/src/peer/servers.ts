import { type IceServer, type IceUrl, parseIceUrl, quoteIceUrl, RendezvousError } from 'mcp-rendezvous-protocol';
import type { RtcConfiguration } from './engine.ts';

export interface ChosenServer {
  urls: string;
  username?: string;
  credential?: string;
}

export interface ChosenServers {
  /** All. */
  stun: ChosenServer[];
  /** All, those of the best transport first. */
  turn: ChosenServer[];
}

/**
 * How a TURN server is reached, best first: UDP keeps the timing of the packets, TCP passes more
 * firewalls, TLS passes most.
 */
const turnTransports = ['turn:udp', 'turn:tcp', 'turns:tcp'];

/**
 * What an engine asks: every STUN and TURN server.
 *
 * @throws RendezvousError `bad_option`: an address that is not one, TURN without credentials, or
 *   the policy `relay` without a TURN server
 */
export function chooseServers({ iceServers, iceTransportPolicy }: RtcConfiguration): ChosenServers {
  const chosen: ChosenServers = { stun: [], turn: [] };
  const found: { rank: number; server: ChosenServer }[] = [];
  for (const server of iceServers) {
    for (const url of typeof server.urls === 'string' ? [server.urls] : server.urls) {
      const { scheme, transport } = parseServer(url);
      // STUN over TLS is known to the engines by name only: they would ask in the clear, or not at
      // all.
      if (scheme === 'stun') chosen.stun.push({ urls: url });
      if (scheme !== 'turn' && scheme !== 'turns') continue;
      const { username, credential } = server;
      if (!username || !credential)
        throw badOption(`The TURN server ${quoteIceUrl(url)} needs a username and a credential.`);
      const rank = turnTransports.indexOf(`${scheme}:${transport}`);
      if (rank >= 0) found.push({ rank, server: { urls: url, username, credential } });
    }
  }
  chosen.turn = found.toSorted((one, other) => one.rank - other.rank).map(({ server }) => server);
  if (iceTransportPolicy === 'relay' && chosen.turn.length === 0) {
    throw badOption(
      'iceTransportPolicy "relay" needs a TURN server that this engine supports. Configure a turn: or turns: URL.',
    );
  }
  return chosen;
}

export function parseServer(url: string): IceUrl {
  const address = parseIceUrl(url);
  if (address) return address;
  throw badOption(`${quoteIceUrl(url)} is not a valid ICE server. Its URL ${expected}.`);
}

/**
 * The ICE servers of a relay. One wrong address would be refused by every engine, as a mistake of
 * the application.
 *
 * @throws RendezvousError `bad_option`, which names the address and says whose it is
 */
export function relayServers(servers: IceServer[]): IceServer[] {
  for (const url of servers.flatMap(({ urls }) => urls)) {
    if (parseIceUrl(url)) continue;
    throw badOption(
      `The relay announces the invalid ICE server ${quoteIceUrl(url)}; its URL ${expected}. Correct STUN_URLS or TURN_URLS at the relay, or pass iceServers.`,
    );
  }
  return servers;
}

const expected = 'must look like stun:host, turn:host:port?transport=udp or turns:host';
const badOption = (message: string) => new RendezvousError('bad_option', message);
