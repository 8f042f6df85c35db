/** A generator of numbers below a limit, the same for the same seed (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/**
 * Ways to write a line, the one that a parser takes first: it is chosen in three of four cases, so
 * that whole lines are nearly right.
 */
const types = ['a=', 'A=', 'a= ', ' a=', 'a =', '\ta=', 'x=', 's=', 'a', ''];
const names = [
  'fingerprint',
  'Fingerprint',
  'FINGERPRINT',
  '\uFB01ngerprint',
  'f\u0131ngerprint',
  'finger-print',
  'x-print',
  'identity',
  'cert',
  'tls-id',
  'key-mgmt',
];
const colons = [':', ': ', ':\t', ' :', '\t:', '::', '', '=', ':\u00A0'];
const hashes = ['sha-512', 'sha-256', 'sha-384', 'SHA-512', 'SHA-256', 'sha256', 'sha-1', 'md5', 'sha-256\t', ''];
const gaps = [' ', '  ', '\t', ' \t', '', '\u00A0'];
const tails = ['', ' ', '\t', ':', ' x', ' sha-256', '\0'];
const ends = ['\r\n', '\n', '\r', '\n\r', '\r\r\n', '\r\n\r\n', '\u2028', '\u2029', '\x85', '\v', '\f', '\0\r\n', ''];
const rewritings: ((sdp: string) => string)[] = [
  (sdp) => sdp,
  (sdp) => sdp.replaceAll('\r\n', '\n'),
  (sdp) => sdp.trimEnd(),
  (sdp) => sdp.replace(/^a=fingerprint:.*/m, (line) => line.toLowerCase()),
  (sdp) => sdp.replace(/^(a=fingerprint:.*\r\n)([^]*)/m, '$2$1'),
  (sdp) => sdp.replace(/^m=/m, (start) => `${/^a=fingerprint:.*\r\n/m.exec(sdp)?.[0] ?? ''}${start}`),
];

/** What a reader may look for in another section, or at another level, than the next reader. */
const repeated = ['fingerprint', 'setup', 'ice-ufrag', 'ice-pwd', 'mid', 'sctp-port', 'max-message-size', 'tls-id'];
const sectionLines = [
  'm=audio 9 UDP/TLS/RTP/SAVPF 111',
  'm=audio 0 UDP/TLS/RTP/SAVPF 111',
  'm=video 9 UDP/TLS/RTP/SAVPF 96',
  'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
  'm=application 0 UDP/DTLS/SCTP webrtc-datachannel',
  'm=application 9 DTLS/SCTP 5000',
  'm=Application 9 UDP/DTLS/SCTP webrtc-datachannel',
];

/**
 * Sections in another number and order, with attributes of the data channel's moved or repeated at
 * session level and in every section, some with another value.
 */
function restructured(sdp: string, other: string, below: (limit: number) => number): string {
  const pick = <T>(ways: readonly T[]): T => ways[below(2) === 0 ? 0 : below(ways.length)]!;
  const [session = '', ...sections] = sdp.split(/^(?=m=)/m);
  const [channel = ''] = sections;
  const valueOf = (name: string) => new RegExp(`^a=${name}:(.*)\r\n`, 'm').exec(channel)?.[1];
  const otherValue = (name: string) =>
    ({
      fingerprint: `sha-256 ${other}`,
      setup: 'passive',
      'ice-ufrag': 'other',
      'ice-pwd': 'another-password-of-ice'.replaceAll('-', '+'),
      mid: 'other',
      'sctp-port': '5001',
      'max-message-size': '1024',
      'tls-id': 'other',
    })[name] ?? '';
  const line = (name: string) => {
    const value = below(2) === 0 ? valueOf(name) : otherValue(name);
    return value === undefined ? '' : `a=${name}:${value}\r\n`;
  };
  /** Mostly none, so that the whole is nearly right. */
  const some = (): string =>
    below(3) > 0
      ? ''
      : repeated
          .filter(() => below(6) === 0)
          .map(line)
          .join('');
  const further = Array.from({ length: below(3) }, (_, at) => {
    const start = pick(sectionLines);
    const mid = below(4) === 0 ? (valueOf('mid') ?? '0') : `further-${at}`;
    const bundleOnly = below(4) === 0 ? 'a=bundle-only\r\n' : '';
    return `${start}\r\nc=IN IP4 0.0.0.0\r\na=mid:${mid}\r\n${bundleOnly}${below(2) === 0 ? line('fingerprint') : some()}`;
  });
  // What the channel's own section does not say any more is what another place says, or nobody.
  const without = new Set(repeated.filter(() => below(20) === 0));
  const own = channel.replace(/^a=([\w-]+):.*\r\n/gm, (text, name: string) => (without.has(name) ? '' : text));
  const all = [`${own}${some()}`, ...further];
  if (below(2) === 0) all.reverse();
  const mids = [...all.join('').matchAll(/^a=mid:(.*)\r\n/gm)].map(([, mid]) => mid);
  const groups = [mids, mids.slice(0, 1), mids.toReversed(), ['none']];
  const group = groups[below(6)];
  const bundled = group ? session.replace(/^a=group:.*/m, `a=group:BUNDLE ${group.join(' ')}`) : session;
  return [bundled, some(), ...all].join('');
}

/**
 * Descriptions that name a second certificate in ways that one reader takes for a fingerprint and
 * another one does not.
 *
 * @param sdp names a certificate as it should
 * @param other the SHA-256 digest of the other certificate, in hex with colons
 * @param seed the same one makes the same descriptions
 */
export function* oddLines(sdp: string, other: string, seed: number): Generator<string, never> {
  const below = random(seed);
  const pick = <T>(ways: readonly T[]): T => ways[below(4) < 3 ? 0 : below(ways.length)]!;
  const digest = (hash: string) => {
    const bytes = { 'sha-512': 64, 'SHA-512': 64, 'sha-384': 48, 'sha-1': 20, md5: 16 }[hash] ?? 32;
    return Array.from({ length: bytes }, (_, at) => other.split(':')[at % 32]).join(':');
  };
  const line = () => {
    const hash = pick(hashes);
    const hex = pick<(text: string) => string>([
      (text) => text,
      (text) => text.toLowerCase(),
      (text) => text.replaceAll(':', ''),
      (text) => text.slice(0, -3),
    ])(digest(hash));
    return `${pick(types)}${pick(names)}${pick(colons)}${hash}${pick(gaps)}${hex}${pick(tails)}${pick(ends)}`;
  };
  while (true) {
    const lines = rewritings[below(rewritings.length)]!(sdp).split(/(?<=\n)/);
    for (let count = 1 + below(2); count > 0; count--) lines.splice(1 + below(lines.length), 0, line());
    yield lines.join('');
  }
}

/**
 * The same, and in turn descriptions whose sections and levels contradict each other: nobody has
 * to connect over those.
 *
 * @param seed the same one makes the same descriptions
 */
export function* oddDescriptions(sdp: string, other: string, seed: number): Generator<string, never> {
  const below = random(seed);
  const lines = oddLines(sdp, other, seed);
  while (true) {
    yield lines.next().value;
    yield restructured(sdp, other, below);
  }
}

/**
 * What the most lenient reader of all takes for fingerprints, in the form of a parsed
 * description's.
 */
export const leniently = (sdp: string): string[] => [
  ...new Set(
    Array.from(
      sdp.matchAll(/fingerprint\s*:\s*([\w-]+)\s+([\dA-F:]+)/gi),
      ([, hash = '', digest = '']) => `${hash.toLowerCase()} ${digest.toUpperCase()}`,
    ),
  ),
];
