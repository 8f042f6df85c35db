import { type IceServer, type IceUrl, parseIceUrl, quoteIceUrl, RendezvousError } from 'mcp-rendezvous-protocol';
import type { RtcConfiguration } from './engine.ts';

export interface ChosenServer {
  urls: string;
  username?: string;
  credential?: string;
}

export interface ChosenServers {
  stun?: ChosenServer;
  turn?: ChosenServer;
  /** Other ways to a TURN server, best first, for when that one gives nothing. */
  others?: ChosenServer[];
}

/** How a TURN server is reached, best first: UDP keeps the timing of the packets, TCP passes more firewalls, TLS passes most. */
export const turnTransports = ['turn:udp', 'turn:tcp', 'turns:tcp'] as const;
export type TurnTransport = (typeof turnTransports)[number];

/**
 * The one STUN server of a list that an engine will use, and the TURN server of each transport that comes first.
 *
 * @param usable the ways to a TURN server that the engine knows.
 * @throws RendezvousError `bad_option`: an address that is not one, TURN without credentials, or the policy `relay` without
 * a TURN server that the engine can use.
 */
export function chooseServers(
  { iceServers, iceTransportPolicy }: RtcConfiguration,
  usable: readonly TurnTransport[] = turnTransports,
): ChosenServers {
  const chosen: ChosenServers = {};
  const ways = new Map<TurnTransport, ChosenServer>();
  for (const server of iceServers) {
    for (const url of typeof server.urls === 'string' ? [server.urls] : server.urls) {
      const { scheme, transport } = parseServer(url);
      // STUN over TLS is known to the engines by name only: they would ask in the clear, or not at all.
      if (scheme === 'stun') chosen.stun ??= { urls: url };
      if (scheme !== 'turn' && scheme !== 'turns') continue;
      const { username, credential } = server;
      if (!username || !credential)
        throw badOption(`The TURN server ${quoteIceUrl(url)} needs a username and a credential.`);
      const way = usable.find((name) => name === `${scheme}:${transport}`);
      if (way && !ways.has(way)) ways.set(way, { urls: url, username, credential });
    }
  }
  const [turn, ...others] = turnTransports.flatMap((way) => ways.get(way) ?? []);
  if (turn) chosen.turn = turn;
  if (others.length > 0) chosen.others = others;
  if (iceTransportPolicy === 'relay' && !chosen.turn) {
    throw badOption(
      'The policy "relay" needs a TURN server that this engine can use (turn: or turns:), and there is none.',
    );
  }
  return chosen;
}

/** @throws RendezvousError `bad_option` */
export function parseServer(url: string): IceUrl {
  const address = parseIceUrl(url);
  if (address) return address;
  throw badOption(`An ICE server's address ${expected}: ${quoteIceUrl(url)} does not.`);
}

/**
 * The ICE servers of a relay. One wrong address would be refused by every engine, as a mistake of the application.
 *
 * @throws RendezvousError `bad_option`, which names the address and says whose it is
 */
export function relayServers(servers: IceServer[]): IceServer[] {
  for (const url of servers.flatMap(({ urls }) => urls)) {
    if (parseIceUrl(url)) continue;
    throw badOption(
      `The relay names ${quoteIceUrl(url)} as an ICE server, whose address ${expected}. Its operator has to correct that (STUN_URLS, TURN_URLS); until then pass iceServers.`,
    );
  }
  return servers;
}

const expected = 'has to look like stun:host, turn:host:port?transport=udp or turns:host';
const badOption = (message: string) => new RendezvousError('bad_option', message);
