/**
 * Media that were offered: each section's place in the offer, and the one that turns it down (RFC
 * 9429 §5.3.1: port 0).
 */
export type RefusedMedia = ReadonlyMap<number, string>;

/**
 * A description without its audio and video. libdatachannel and @roamhq/wrtc make a track of what
 * is offered, and a process that has had one crashes at its exit.
 */
export function withoutMedia(sdp: string): { sdp: string; refused: RefusedMedia } {
  const [session = '', ...sections] = sdp.split(sectionStart);
  const refused = new Map<number, string>();
  const gone = new Set<string>();
  sections.forEach((section, index) => {
    const [, kind, protocol = '', formats = ''] = /^m=(\S+) \S+ (\S+) (.*)/.exec(section) ?? [];
    if (kind === undefined || kind === 'application') return;
    const mid = /^a=mid:(\S+)/m.exec(section)?.[1];
    if (mid !== undefined) gone.add(mid);
    const named = mid === undefined ? '' : `a=mid:${mid}\r\n`;
    refused.set(index, `m=${kind} 0 ${protocol} ${formats}\r\nc=IN IP4 0.0.0.0\r\n${named}a=inactive\r\n`);
  });
  if (refused.size === 0) return { sdp, refused };
  const bundled = session.replace(/^a=group:BUNDLE (.*)/m, (_line, mids: string) => {
    const left = mids.split(' ').filter((mid) => !gone.has(mid));
    return `a=group:BUNDLE ${left.join(' ')}`;
  });
  return { sdp: [bundled, ...sections.filter((_section, index) => !refused.has(index))].join(''), refused };
}

/**
 * An answer to what {@link withoutMedia} left, made into one to the whole offer: it has as many
 * sections, in the same order.
 */
export function withRefused(sdp: string, refused: RefusedMedia): string {
  const [session = '', ...sections] = sdp.split(sectionStart);
  for (const [index, section] of refused) sections.splice(index, 0, section);
  return [session, ...sections].join('');
}

const sectionStart = /^(?=m=)/m;
