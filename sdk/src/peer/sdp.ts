import type { CandidateInit } from 'mcp-rendezvous-protocol';

/** What an SDP says when it does not say how large a message may be (RFC 8841 §6). */
const unsaid = 65_536;

/** What this SDK sends in one message at the most: what the engines and browsers agree on. */
const ours = 262_144;

export const keepCandidates = (sdp: string, keep: (candidate: string) => boolean): string =>
  sdp.replace(/^a=(candidate:[^\r\n]*)\r?\n/gm, (line, candidate: string) => (keep(candidate) ? line : ''));

export function withCandidates(sdp: string, most: number): string {
  let left = most;
  return keepCandidates(sdp, () => left-- > 0);
}

/**
 * The largest message in bytes that may be sent to whoever wrote this SDP: its
 * `a=max-message-size`, where 0 means any.
 */
export function maxMessageSize(remoteSdp: string): number {
  const match = /^a=max-message-size:(\d+)/m.exec(remoteSdp);
  const said = match ? Number(match[1]) : unsaid;
  return said === 0 ? ours : Math.min(said, ours);
}

/** The members of RTCIceCandidateInit, of an object that has more, such as a browser's. */
export const plainCandidate = ({ candidate, sdpMid, sdpMLineIndex, usernameFragment }: CandidateInit) => ({
  candidate,
  sdpMid: sdpMid ?? null,
  sdpMLineIndex: sdpMLineIndex ?? null,
  ...(usernameFragment ? { usernameFragment } : {}),
});
