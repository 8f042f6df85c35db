import { RendezvousError } from 'mcp-rendezvous-protocol';

/** A session description that has one meaning, whoever reads it: PROTOCOL.md §6. */
export interface Description {
  /** Printable ASCII, each line ended by CRLF, with one fingerprint in one form. */
  readonly sdp: string;
  /** The one certificate that it names: `sha-256 AB:CD:…`. */
  readonly fingerprint: string;
}

/** Attributes of which a section has at most one, because readers differ in which of two they take, and their forms. */
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
/** What a whole description has at most once. */
const singleInAll = new Set(['group', 'mcp-framed']);

const printable = /^[a-z]=[ -~]+$/;
/** RFC 8866 §9: `token [":" byte-string]`. */
const attribute = /^a=([!#-'*+\-.\dA-Z^-~]+)(?::(.*))?$/;
const dataChannel = /^m=application \d+ \S*DTLS\/SCTP /;
const fingerprintForm = /^a=fingerprint:(sha-(256|384|512)) ([\dA-F]{2}(?::[\dA-F]{2})*)$/i;

/**
 * Reads a description strictly, before anybody else does. Everybody gets what this returns and never the text as it came: the engine, the
 * check of the DTLS handshake and the proof. So they cannot read it differently.
 *
 * Fingerprints of other hash functions are left out of the result: an engine that reads several may check any one of them.
 *
 * @throws RendezvousError `bad_signal`
 */
export function parseDescription(text: string): Description {
  const session = new Map<string, string>();
  const all = new Map<string, string>();
  let section = session;
  const kept: string[] = [];
  const lines = text.replace(/\r?\n$/, '').split(/\r?\n/);
  for (const [at, line] of lines.entries()) {
    const require = (condition: boolean, problem: string) => {
      if (!condition) throw malformed(`line ${at + 1} ${problem}`);
    };
    require(printable.test(line), 'is not a type, an equals sign and printable ASCII');
    require(at > 0 || line === 'v=0', 'is not v=0');
    if (line.startsWith('m=')) section = new Map();
    const said = readSingle(line, require);
    if (!said) {
      kept.push(line);
      continue;
    }
    const { name, value } = said;
    const isDigest = name.startsWith('sha-');
    const before = (isDigest || singleInAll.has(name) ? all : session).get(name) ?? value;
    const again = section.has(name) || (singleInAll.has(name) && all.has(name));
    require(!again, 'repeats what a description says only once');
    require(before === value, 'contradicts an earlier line');
    section.set(name, value);
    all.set(name, value);
    if (!isDigest) kept.push(line);
    else if (name === 'sha-256') kept.push(`a=fingerprint:${name} ${value}`);
  }
  if (!lines.some((line) => dataChannel.test(line))) throw malformed('it has no data channel in it');
  const digest = all.get('sha-256');
  if (digest === undefined) throw malformed('it has no SHA-256 fingerprint');
  return { sdp: kept.map((line) => `${line}\r\n`).join(''), fingerprint: `sha-256 ${digest}` };
}

/** What a line says that may be said only once, or nothing. */
function readSingle(
  line: string,
  require: (condition: boolean, problem: string) => void,
): { name: string; value: string } | undefined {
  if (/fingerprint/i.test(line)) {
    const [, hash = '', bits, digest = ''] = fingerprintForm.exec(line) ?? [];
    const complete = digest.length === (3 * Number(bits)) / 8 - 1;
    require(complete, 'mentions a fingerprint and is not exactly a=fingerprint: with SHA-256, SHA-384 or SHA-512');
    return { name: hash.toLowerCase(), value: digest.toUpperCase() };
  }
  if (!line.startsWith('a=')) return undefined;
  const [, written = '', value = ''] = attribute.exec(line) ?? [];
  require(written !== '', 'has no name of an attribute');
  const name = written.toLowerCase();
  const form = Object.hasOwn(single, name) ? single[name] : undefined;
  if (!form) return undefined;
  require(written === name && form.test(value), `is not an a=${name} in its exact form`);
  return { name, value };
}

const malformed = (problem: string): RendezvousError =>
  new RendezvousError('bad_signal', `A session description is malformed: ${problem}. See PROTOCOL.md, section 6.`);
