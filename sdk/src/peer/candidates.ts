import { isIP } from 'node:net';
import type { CandidateInit } from 'mcp-rendezvous-protocol';
import { isMdnsName, type MdnsResolver } from './mdns.ts';

/**
 * The address of a candidate (RFC 8839 §5.1: foundation, component, transport, priority, address,
 * port).
 */
const address = /^((?:a=)?candidate:\S+ +\d+ +\S+ +\d+ +)(\S+)( .*)$/i;

/**
 * A candidate of the other side with a plain address in it, or undefined when it is one to ignore.
 * An engine would look up any name that the other side likes (RFC 8839 §5.1 allows to ignore them);
 * only those below `.local`, behind which browsers hide their addresses, are asked for, and only in
 * the local network.
 */
export async function resolveCandidate(
  candidate: CandidateInit,
  resolver: MdnsResolver,
): Promise<CandidateInit | undefined> {
  const [, before = '', host, after = ''] = address.exec(candidate.candidate) ?? [];
  // An engine rejects by itself what is not a candidate.
  if (host === undefined || isIP(host)) return candidate;
  if (!isMdnsName(host)) return undefined;
  const found = await resolver.resolve(host);
  return found === undefined ? undefined : { ...candidate, candidate: `${before}${found}${after}` };
}

export function takeCandidates(sdp: string): { sdp: string; candidates: CandidateInit[] } {
  const candidates: CandidateInit[] = [];
  const mid = /^a=mid:(\S+)/m.exec(sdp)?.[1] ?? '0';
  const rest = sdp.replace(/^a=(candidate:[^\r\n]*|end-of-candidates)\r?\n/gm, (_line, what: string) => {
    if (what.startsWith('candidate:')) candidates.push({ candidate: what, sdpMid: mid, sdpMLineIndex: 0 });
    return '';
  });
  return { sdp: rest, candidates };
}
