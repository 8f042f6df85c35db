import { isIP, isIPv4 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RTCDtlsTransport, serverReflexiveCandidate } from 'werift';
import { hostAddresses, mostAddresses, usefulAddresses } from '../addresses.ts';
import { iceInternals, type IceInternals } from './internals.ts';
import { isMdnsName, type MdnsResolver } from '../mdns.ts';
import { type ChosenServer, type ChosenServers, parseServer } from '../servers.ts';
import type { Allocations } from './allocations.ts';

/**
 * A TURN server that has given nothing for so long is not waited for alone: the next one is asked
 * besides. Less than a second one by TCP needs, so that UDP comes first where it works.
 */
const patienceMs = 500;

/** How long STUN servers may take to answer, in milliseconds. */
const stunMs = 5_000;

/** Puts right from where an ICE transport gathers next. */
export function prepareGathering(transport: RTCDtlsTransport): void {
  const ice = iceInternals(transport);
  // Without a STUN server werift asks a public one. Ours are asked by askStun().
  ice.stunServer = undefined;
  // werift leaves out VPNs and containers (`tun`, `utun`, `tap`, `ipsec`, `veth`), even where there
  // is nothing else, and has no address at all on a machine without a network.
  const addresses = hostAddresses();
  ice.options.additionalHostAddresses = addresses.length > 0 ? addresses : ['127.0.0.1'];
}

/**
 * Puts right that werift asks one STUN and one TURN server only, and opens one socket for each
 * address, of which each would be checked with each of the other side.
 *
 * @param servers those of the gathering that begins
 */
export function prepareServers(
  transport: RTCDtlsTransport,
  servers: () => ChosenServers,
  allocations: Allocations,
): void {
  const ice = iceInternals(transport);
  const ask = ice.getCandidatePromises.bind(ice);
  ice.getCandidatePromises = (addresses, timeout) => {
    const askAll = (from: string[]): Promise<unknown>[] =>
      ask(from, timeout).map((opening) => askStun(ice, opening, servers().stun));
    const askUseful = async () => {
      const useful = await usefulAddresses();
      if (ice.state === 'closed') return;
      await Promise.allSettled(askAll(addresses.filter((address) => useful.includes(address))));
    };
    // With the policy `relay` nothing but TURN is asked.
    const asked = ice.options.forceTurn ? [] : addresses.length > mostAddresses ? [askUseful()] : askAll(addresses);
    return [...asked, askTurn(allocations, servers().turn)];
  };
}

/**
 * Asks all STUN servers how they see a socket; the first answer gives the candidate. Only IPv4 has
 * the kind of NAT for which it is needed.
 *
 * @param opening resolves with the candidate of the socket
 */
async function askStun(ice: IceInternals, opening: Promise<unknown>, servers: ChosenServer[]): Promise<void> {
  const own = (await opening) as { host: string } | undefined;
  const socket = own && ice.protocols.find(({ localCandidate }) => localCandidate === own);
  if (!own || !socket || !isIPv4(own.host)) return;
  const { generation } = ice;
  const answers = servers.map(async ({ urls }) => {
    const { host, port } = parseServer(urls);
    return (await serverReflexiveCandidate(socket as never, [host, port])) ?? Promise.reject(new Error('no answer'));
  });
  const candidate = await Promise.race([
    Promise.any(answers).catch(() => undefined),
    sleep(stunMs, undefined, { ref: false }),
  ]);
  if (candidate && ice.state !== 'closed' && ice.generation === generation) ice.appendLocalCandidate(candidate);
}

/** Asks one TURN server after the other until one gives an address. */
async function askTurn(allocations: Allocations, servers: ChosenServer[]): Promise<void> {
  const generation = allocations.begin();
  const attempts: Promise<void>[] = [];
  for (const server of servers) {
    if (generation.done) break;
    const attempt = generation.ask(server);
    attempts.push(attempt);
    await Promise.race([attempt.catch(() => {}), sleep(patienceMs, undefined, { ref: false })]);
  }
  // The slower ones are not waited for.
  await Promise.any(attempts).catch(() => {});
}

/** Puts right which candidates of the other side an ICE transport takes. */
export function prepareCandidates(transport: RTCDtlsTransport, resolver: MdnsResolver): void {
  const ice = iceInternals(transport);
  const addRemoteCandidate = ice.addRemoteCandidate.bind(ice);
  ice.addRemoteCandidate = async (candidate) => {
    // After the end of candidates werift takes no more, not even those whose names it is still
    // resolving.
    if (!candidate) return;
    // werift wants the other side to have restarted as often as itself, and else never chooses a
    // pair. The user name tells already.
    candidate.generation = undefined;
    if (isIP(candidate.host)) await addRemoteCandidate(candidate);
    // A public DNS name would let the other side choose what this machine looks up, so it is
    // ignored (RFC 8839 §5.1).
    if (!isMdnsName(candidate.host)) return;
    // Not awaited: the answer must not wait for a name that may not resolve.
    void resolver.resolve(candidate.host).then(async (host) => {
      if (host && ice.state !== 'closed') await addRemoteCandidate(Object.assign(candidate, { host }));
    });
  };
}

/** Whether a STUN server gave no candidate though gathering is over. werift says nothing of it. */
export const isStunSilent = (transport: RTCDtlsTransport): boolean =>
  !iceInternals(transport).localCandidates.some(({ type }) => type === 'srflx');
