import { RendezvousError } from 'mcp-rendezvous-protocol';

/** A session description that has one meaning, whoever reads it: PROTOCOL.md §6. */
export interface Description {
  /** Printable ASCII, each line ended by CRLF, with one fingerprint in one form. */
  readonly sdp: string;
  /** The one certificate that it names: `sha-256 AB:CD:…`. */
  readonly fingerprint: string;
}

/**
 * Attributes of which a section has at most one, because readers differ in which of two they take,
 * and their forms.
 */
const single: Readonly<Record<string, RegExp>> = {
  group: /^BUNDLE( [!-~]+)*$/,
  'ice-pwd': /^[A-Za-z\d+/]{22,256}$/,
  'ice-ufrag': /^[A-Za-z\d+/]{4,256}$/,
  'max-message-size': /^\d{1,15}$/,
  'mcp-framed': /^[!-~]+( [!-~]+)*$/,
  mid: /^[!-~]+$/,
  'sctp-port': /^\d{1,5}$/,
  setup: /^(active|passive|actpass|holdconn)$/,
  'tls-id': /^[!-~]+$/,
};
const singleInAll = new Set(['group', 'mcp-framed']);
/** What only the section of the data channel says. */
const ofDataChannel = new Set(['max-message-size', 'sctp-port']);

const printable = /^[a-z]=[ -~]+$/;
/** RFC 8866 §9: `token [":" byte-string]`. */
const attribute = /^a=([!#-'*+\-.\dA-Z^-~]+)(?::(.*))?$/;
const sectionStart = /^m=([a-z]+) \d+(?:\/\d+)? [!-~]+(?: [!-~]+)+$/;
/** A rejected section (port 0) does not count, although some readers accept it. */
const dataChannelStart = /^m=application [1-9]\d* \S*DTLS\/SCTP /;
const fingerprintForm = /^a=fingerprint:(sha-(256|384|512)) ([\dA-F]{2}(?::[\dA-F]{2})*)$/i;

/**
 * Reads a description strictly, before anybody else does. Everybody gets what this returns and
 * never the text as it came: the engine, the check of the DTLS handshake and the proof. So they
 * cannot read it differently.
 *
 * Fingerprints of other hash functions are left out of the result: an engine that reads several may
 * check any one of them.
 *
 * @throws RendezvousError `bad_signal`
 */
export function parseDescription(text: string): Description {
  const session = new Map<string, string>();
  const all = new Map<string, string>();
  let section = session;
  let dataChannel: Map<string, string> | undefined;
  const mids = new Set<string>();
  const kept: string[] = [];
  const lines = text.replace(/\r?\n$/, '').split(/\r?\n/);
  for (const [at, line] of lines.entries()) {
    const require = (condition: boolean, problem: string) => {
      if (!condition) throw malformed(`line ${at + 1} ${problem}`);
    };
    require(printable.test(line), 'is not of the form type=value in printable ASCII');
    require(at > 0 || line === 'v=0', 'is not v=0');
    if (line.startsWith('m=')) {
      const kind = sectionStart.exec(line)?.[1];
      require(kind !== undefined, 'is not a valid m= line');
      section = new Map();
      if (kind === 'application') {
        // With two sections, readers may choose different ones.
        require(!dataChannel && dataChannelStart.test(line), 'is not the only section of a data channel');
        dataChannel = section;
      }
    }
    const said = readSingle(line, require);
    if (!said) {
      kept.push(line);
      continue;
    }
    const { name, value } = said;
    const isDigest = name.startsWith('sha-');
    const before = (isDigest || singleInAll.has(name) ? all : session).get(name) ?? value;
    const again = section.has(name) || (singleInAll.has(name) && all.has(name));
    require(!again, 'repeats a line that may occur once');
    require(before === value, 'contradicts an earlier line');
    require(section === dataChannel || !ofDataChannel.has(name), 'belongs to the section of the data channel');
    require(name !== 'mid' || !mids.has(value), 'repeats the name of a section');
    if (name === 'mid') mids.add(value);
    section.set(name, value);
    all.set(name, value);
    if (!isDigest) kept.push(line);
    else if (name === 'sha-256') kept.push(`a=fingerprint:${name} ${value}`);
  }
  if (!dataChannel) throw malformed('it has no data channel');
  const said = (name: string) => dataChannel?.get(name) ?? session.get(name);
  const digest = said('sha-256');
  if (digest === undefined) throw malformed('it has no SHA-256 fingerprint for its data channel');
  // Without it some readers assume a role, and werift forgets the fingerprint.
  if (said('setup') === undefined) throw malformed('it has no a=setup for its data channel');
  return { sdp: kept.map((line) => `${line}\r\n`).join(''), fingerprint: `sha-256 ${digest}` };
}

function readSingle(
  line: string,
  require: (condition: boolean, problem: string) => void,
): { name: string; value: string } | undefined {
  if (/fingerprint/i.test(line)) {
    const [, hash = '', bits, digest = ''] = fingerprintForm.exec(line) ?? [];
    const complete = digest.length === (3 * Number(bits)) / 8 - 1;
    require(complete, 'is not a valid a=fingerprint: with SHA-256, SHA-384 or SHA-512');
    return { name: hash.toLowerCase(), value: digest.toUpperCase() };
  }
  if (!line.startsWith('a=')) return undefined;
  const [, written = '', value = ''] = attribute.exec(line) ?? [];
  require(written !== '', 'has no attribute name');
  const name = written.toLowerCase();
  const form = Object.hasOwn(single, name) ? single[name] : undefined;
  if (!form) return undefined;
  require(written === name && form.test(value), `is not a valid a=${name}`);
  return { name, value };
}

const malformed = (problem: string): RendezvousError =>
  new RendezvousError('bad_signal', `A session description is malformed: ${problem}. See PROTOCOL.md, section 6.`);
