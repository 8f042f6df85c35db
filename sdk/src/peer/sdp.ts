/** What an SDP says when it does not say how large a message may be (RFC 8841 §6). */
const unsaid = 65_536;

/** What this SDK sends in one message at the most: what the engines and browsers agree on. */
const ours = 262_144;

/** A description with this many candidates at the most. */
export function withCandidates(sdp: string, most: number): string {
  let left = most;
  return sdp.replace(/^a=candidate:.*\r?\n/gm, (line) => (left-- > 0 ? line : ''));
}

/** The largest message in bytes that may be sent to whoever wrote this SDP: its `a=max-message-size`, where 0 means any. */
export function maxMessageSize(remoteSdp: string): number {
  const match = /^a=max-message-size:(\d+)/m.exec(remoteSdp);
  const said = match ? Number(match[1]) : unsaid;
  return said === 0 ? ours : Math.min(said, ours);
}
