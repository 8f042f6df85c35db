/** The versions of framed mode that this SDK speaks, the best first: PROTOCOL.md §7. */
const spoken = ['1'];

/** What a description says of framed mode. */
export interface Framing {
  /** In an offer those that are spoken, in an answer the one that was chosen. */
  versions: string[];
  /** The session that the new connection is for. */
  resume?: string;
  /** This side's engine can restart ICE. */
  restart: boolean;
}

const attribute = /^a=mcp-framed:(.*)(?:\r\n)?/m;

/** @param sdp normalised: see {@link parseDescription} */
export function readFraming(sdp: string): Framing | undefined {
  const [, value] = attribute.exec(sdp) ?? [];
  if (value === undefined) return undefined;
  const framing: Framing = { versions: [], restart: false };
  for (const word of value.split(' ')) {
    const [name = '', ...rest] = word.split('=');
    if (/^\d+$/.test(word)) framing.versions.push(word);
    else if (word === 'restart') framing.restart = true;
    else if (name === 'resume' && rest.length > 0) framing.resume = rest.join('=');
  }
  return framing;
}

/** The version that both speak. */
export const commonVersion = (theirs: Framing | undefined): string | undefined =>
  spoken.find((version) => theirs?.versions.includes(version));

/** The description with what this side says of framed mode behind its last line. */
export function withFraming(sdp: string, { versions, resume, restart }: Framing): string {
  const words = [...versions, ...(restart ? ['restart'] : []), ...(resume ? [`resume=${resume}`] : [])];
  return `${sdp.replace(/(?:\r?\n)?$/, '\r\n')}a=mcp-framed:${words.join(' ')}\r\n`;
}

/** What of a description is for the engine. */
export const withoutFraming = (sdp: string): string => sdp.replace(attribute, '');

export const offeredVersions = spoken;
