const spoken = ['1'];

/** What a description says of framed mode. */
export interface Framing {
  /** In an offer those that are spoken, in an answer the one that was chosen. */
  versions: string[];
  /** The session that the new connection is for. */
  resume?: string;
  /** This side's engine can restart ICE. */
  restart: boolean;
  /**
   * `later`: this side has a TURN server that its connection does not use, and would with another
   * offer. `now`: that offer, made because no direct path was found (PROTOCOL.md §7).
   */
  turn?: 'later' | 'now' | undefined;
  /** Of an offer: this side understands `turn=later`, and would make the other offer. */
  reoffer: boolean;
  /** This side takes several candidates in one signal: PROTOCOL.md §6. */
  batch: boolean;
}

/** What this side's description says. */
export type OwnFraming = Omit<Framing, 'batch' | 'reoffer'> & { reoffer?: boolean };

const attribute = /^a=mcp-framed:(.*)(?:\r\n)?/m;

/** @param sdp normalised: see {@link parseDescription} */
export function readFraming(sdp: string): Framing | undefined {
  const [, value] = attribute.exec(sdp) ?? [];
  if (value === undefined) return undefined;
  const framing: Framing = { versions: [], restart: false, batch: false, reoffer: false };
  for (const word of value.split(' ')) {
    const [name = '', ...rest] = word.split('=');
    if (/^\d+$/.test(word)) framing.versions.push(word);
    else if (word === 'restart') framing.restart = true;
    else if (word === 'batch') framing.batch = true;
    else if (word === 'reoffer') framing.reoffer = true;
    else if (word === 'turn=later' || word === 'turn=now') framing.turn = word === 'turn=now' ? 'now' : 'later';
    else if (name === 'resume' && rest.length > 0) framing.resume = rest.join('=');
  }
  return framing;
}

export const commonVersion = (theirs: Framing | undefined): string | undefined =>
  spoken.find((version) => theirs?.versions.includes(version));

/** The description with what this side says of framed mode behind its last line. */
export function withFraming(sdp: string, { versions, resume, restart, turn, reoffer }: OwnFraming): string {
  const words = [
    ...versions,
    ...(restart ? ['restart'] : []),
    'batch',
    ...(reoffer ? ['reoffer'] : []),
    ...(turn ? [`turn=${turn}`] : []),
    ...(resume ? [`resume=${resume}`] : []),
  ];
  return `${sdp.replace(/(?:\r?\n)?$/, '\r\n')}a=mcp-framed:${words.join(' ')}\r\n`;
}

export const withoutFraming = (sdp: string): string => sdp.replace(attribute, '');

export const offeredVersions = spoken;
