import { RendezvousError } from '../errors.ts';
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
      if (!username || !credential) throw badOption('A TURN server needs a username and a credential.');
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

interface ServerAddress {
  scheme: string;
  host: string;
  /** As the address says, or else the default of its scheme. */
  port: number;
  transport: string;
}

/** RFC 7064 §3.1, RFC 7065 §3.1. @throws RendezvousError `bad_option` */
export function parseServer(url: string): ServerAddress {
  const match = serverAddress.exec(url);
  const [, name, address, name4, port, transport] = match ?? [];
  const scheme = name?.toLowerCase();
  if (!scheme) {
    throw badOption('An ICE server address must look like stun:host, turn:host:port?transport=udp or turns:host.');
  }
  const secure = scheme.endsWith('s');
  return {
    scheme,
    host: address ?? name4 ?? '',
    port: port ? Number(port) : secure ? 5349 : 3478,
    transport: transport?.toLowerCase() ?? (secure ? 'tcp' : 'udp'),
  };
}

const serverAddress =
  /^(stuns?|turns?):(?:\[([\da-f:.]+)\]|([^\s[\]:?/@]+))(?::(\d{1,5}))?(?:\?transport=(udp|tcp))?$/i;

const badOption = (message: string) => new RendezvousError('bad_option', message);
