import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { RTCDtlsTransport } from 'werift';
import { iceInternals } from './internals.ts';
import { isMdnsName, type MdnsResolver } from '../mdns.ts';
import type { ChosenServer, ChosenServers } from '../servers.ts';

/**
 * The addresses to gather host candidates for. werift leaves out VPNs and containers (`tun`, `utun`, `tap`, `ipsec`, `veth`),
 * even where there is nothing else, and has none at all on a machine without a network.
 */
function hostAddresses(): string[] {
  const addresses = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ address, internal }) => !internal && !/^(?:169\.254\.|fe80:)/i.test(address)) // RFC 8445 §5.1.1.1
    .map(({ address }) => address);
  return addresses.length > 0 ? addresses : ['127.0.0.1'];
}

/** Puts right from where an ICE transport gathers next. */
export function prepareGathering(transport: RTCDtlsTransport, servers: ChosenServers): void {
  const ice = iceInternals(transport);
  // Without a STUN server werift asks a public one.
  if (!servers.stun) ice.stunServer = undefined;
  ice.options.additionalHostAddresses = hostAddresses();
}

/** Puts right which candidates of the other side an ICE transport takes. */
export function prepareCandidates(transport: RTCDtlsTransport, resolver: MdnsResolver): void {
  const ice = iceInternals(transport);
  const appendLocalCandidate = ice.appendLocalCandidate.bind(ice);
  ice.appendLocalCandidate = (candidate) => {
    appendLocalCandidate(candidate);
    // werift forgets to try an allocation on a TURN server with the candidates that came before it.
    const allocation = ice.protocols.find((protocol) => protocol.localCandidate === candidate);
    if (allocation) ice.pairLocalProtocol(allocation);
  };
  const addRemoteCandidate = ice.addRemoteCandidate.bind(ice);
  ice.addRemoteCandidate = async (candidate) => {
    // After the end of candidates werift takes no more, not even those whose names it is still resolving.
    if (!candidate) return;
    // werift wants the other side to have restarted as often as itself, and else never chooses a pair. The user name tells already.
    candidate.generation = undefined;
    if (isIP(candidate.host)) await addRemoteCandidate(candidate);
    // A name of the public DNS would have us ask whatever the other side likes: it is ignored (RFC 8839 §5.1).
    if (!isMdnsName(candidate.host)) return;
    // Not awaited: the answer to an offer must not wait for a name that perhaps nobody knows.
    void resolver.resolve(candidate.host).then(async (host) => {
      if (host && ice.state !== 'closed') await addRemoteCandidate(Object.assign(candidate, { host }));
    });
  };
}

/** The servers that gave no candidate though gathering is over. werift says nothing of them. */
export function silentServers(transport: RTCDtlsTransport, { stun, turn }: ChosenServers): ChosenServer[] {
  const { localCandidates } = iceInternals(transport);
  const missing = (server: ChosenServer | undefined, type: string) =>
    server && !localCandidates.some((candidate) => candidate.type === type) ? [server] : [];
  return [...missing(stun, 'srflx'), ...missing(turn, 'relay')];
}
