import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RTCDtlsTransport } from 'werift';
import { iceInternals } from './internals.ts';
import { isMdnsName, type MdnsResolver } from '../mdns.ts';
import { type ChosenServer, type ChosenServers, parseServer } from '../servers.ts';

/** A TURN server that has given nothing for so long is not waited for alone: see {@link prepareServers}. */
const patienceMs = 1_000;

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

/**
 * Puts right that werift asks one TURN server only, by one transport: where a firewall drops UDP it learns after 13 s that there is
 * no answer. One that has given nothing for a moment is not waited for alone, the next way is tried besides.
 *
 * @param servers those of the gathering that begins
 */
export function prepareServers(transport: RTCDtlsTransport, servers: () => ChosenServers): void {
  const ice = iceInternals(transport);
  const ask = ice.getCandidatePromises.bind(ice);
  ice.getCandidatePromises = (addresses, timeout) => {
    const asked = ask(addresses, timeout);
    const askOthers = async () => {
      for (const { urls, username, credential } of servers().others ?? []) {
        await Promise.race([Promise.allSettled(asked), sleep(patienceMs, undefined, { ref: false })]);
        if (ice.state === 'closed' || ice.localCandidates.some(({ type }) => type === 'relay')) return;
        const { scheme, host, port } = parseServer(urls);
        ice.turnServer = [host, port];
        ice.options.turnTransport = scheme === 'turns' ? 'tls' : 'tcp';
        ice.options.turnUsername = username;
        ice.options.turnPassword = credential;
        asked.push(...ask([], timeout)); // without an address nothing but the TURN server is asked
      }
      await Promise.allSettled(asked);
    };
    return [...asked, askOthers()];
  };
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
export function silentServers(transport: RTCDtlsTransport, { stun, turn, others = [] }: ChosenServers): ChosenServer[] {
  const { localCandidates } = iceInternals(transport);
  const missing = (server: ChosenServer | undefined, type: string) =>
    server && !localCandidates.some((candidate) => candidate.type === type) ? [server] : [];
  return [...missing(stun, 'srflx'), ...[turn, ...others].flatMap((server) => missing(server, 'relay'))];
}
