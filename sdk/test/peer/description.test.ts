import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { sampled } from '../../../test/support/full.ts';
import { parseDescription } from '../../src/peer/description.ts';
import { engines } from './engines.ts';
import { direct } from './pair.ts';

const digest = (byte: string, bytes: number): string => Array<string>(bytes).fill(byte).join(':');
const value = `sha-256 ${digest('AB', 32)}`;
const session = ['v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=group:BUNDLE 0', 'a=msid-semantic: WMS'];
const section = ['m=application 9 UDP/DTLS/SCTP webrtc-datachannel', 'c=IN IP4 0.0.0.0', 'a=mid:0', 'a=setup:actpass'];
const ice = ['a=ice-ufrag:ab+/', 'a=ice-pwd:0123456789012345678901'];
const honest = `a=fingerprint:${value}`;
const written = (...lines: string[]): string => lines.map((line) => `${line}\r\n`).join('');
const base = [...session, ...section, ...ice, honest];
const refuses = (text: string): void =>
  assert.throws(() => parseDescription(text), { name: 'RendezvousError', code: 'bad_signal' }, JSON.stringify(text));

suite('a description', () => {
  test('comes back as it was, when it is as it should be', () => {
    assert.deepEqual(parseDescription(written(...base)), { sdp: written(...base), fingerprint: value });
    for (const line of ['a=mcp-framed:1 restart', 'a=candidate:1 1 udp 1 a.local 9 typ host', 'a=x', 'a=x: y', 's= ']) {
      assert.equal(parseDescription(written(...base, line)).sdp, written(...base, line));
    }
  });

  test('has one form, whoever wrote it', () => {
    const normal = written(...base);
    const lower = base.map((line) => (line === honest ? `a=fingerprint:SHA-256 ${digest('ab', 32)}` : line));
    for (const text of [base.join('\n'), base.join('\r\n'), `${base.join('\n')}\n`, written(...lower)]) {
      assert.deepEqual(parseDescription(text), { sdp: normal, fingerprint: value });
    }
    assert.equal(parseDescription(normal).sdp, parseDescription(parseDescription(normal).sdp).sdp);
  });

  test('names one certificate, at one level or both, and is handed on with its SHA-256 only', () => {
    const stronger = [`a=fingerprint:sha-384 ${digest('CD', 48)}`, `a=fingerprint:sha-512 ${digest('EF', 64)}`];
    assert.deepEqual(parseDescription(written(...base, ...stronger)), { sdp: written(...base), fingerprint: value });
    const both = [...session, honest, ...section, ...ice, honest, 'm=audio 9 UDP/TLS/RTP/SAVPF 0', 'a=mid:1', honest];
    assert.deepEqual(parseDescription(written(...both)), { sdp: written(...both), fingerprint: value });
    const other = honest.replace('AB', 'AC');
    refuses(written(...base, other));
    refuses(written(...base, honest));
    refuses(written(...session, other, ...section, ...ice, honest));
    refuses(written(...base, 'm=audio 9 UDP/TLS/RTP/SAVPF 0', other));
    refuses(written(...base.slice(0, -1)));
    refuses(written(...base.slice(0, -1), ...stronger));
    refuses(written(...base, 'm=audio 9 RTP 0', stronger[0]!, 'm=video 9 RTP 0', stronger[0]!.replace('CD', '00')));
  });

  test('has no line that mentions a fingerprint otherwise', () => {
    const hex = digest('CD', 32);
    for (const line of [
      `A=fingerprint:sha-256 ${hex}`,
      `a=Fingerprint:sha-256 ${hex}`,
      `a=fingerprint:\tsha-256 ${hex}`,
      `a=fingerprint: sha-256 ${hex}`,
      `a= fingerprint:sha-256 ${hex}`,
      ` a=fingerprint:sha-256 ${hex}`,
      `a =fingerprint:sha-256 ${hex}`,
      `a=fingerprint :sha-256 ${hex}`,
      `a=fingerprint:sha-256  ${hex}`,
      `a=fingerprint:sha-256\t${hex}`,
      `a=fingerprint:sha-256 ${hex} `,
      `a=fingerprint:sha-256 ${hex} x`,
      `a=fingerprint:sha-256 ${hex}:`,
      `a=fingerprint:sha-256 ${hex.slice(3)}`,
      `a=fingerprint:sha-256 ${hex.replaceAll(':', '')}`,
      `a=fingerprint:sha-256 ${hex.replace('CD', 'CG')}`,
      `a=fingerprint:sha256 ${hex}`,
      `a=fingerprint:sha-1 ${digest('CD', 20)}`,
      `a=fingerprint:sha-224 ${digest('CD', 28)}`,
      `a=fingerprint:md5 ${digest('CD', 16)}`,
      'a=fingerprint',
      'a=fingerprint:',
      `fingerprint:sha-256 ${hex}`,
      `x=fingerprint:sha-256 ${hex}`,
      `s=a=fingerprint:sha-256 ${hex}`,
      `a=x:a=FINGERPRINT:sha-256 ${hex}`,
      `a=\uFB01ngerprint:sha-256 ${hex}`,
      `a=f\u0131ngerprint:sha-256 ${hex}`,
    ]) {
      refuses(written(...base, line));
      refuses(written(...session, line, ...section, ...ice, honest));
    }
  });

  test('has nothing in it that one reader takes for the end of a line, and another does not', () => {
    for (const end of [
      '\r',
      '\n\r',
      '\r\r\n',
      '\0',
      '\t',
      '\v',
      '\f',
      '\x1c',
      '\x85',
      '\u2028',
      '\u2029',
      '\uFEFF',
      '\n\n',
    ]) {
      refuses(`${base.join('\r\n')}\r\na=x${end}a=y\r\n`);
      refuses(`${base.join('\r\n')}${end}${honest.replace('AB', 'AC')}\r\n`);
    }
    for (const line of ['', ' ', 'a', 'a=', '=x', 'AA=x', 'A=x', '1=x', ' a=x', 'ä=x', 'a=ä', 'a=x y:z', 'a=:']) {
      refuses(written(...base, line));
    }
    for (const text of ['', 'nonsense', 'v=1\r\n', written(...base.slice(1)), `\uFEFF${written(...base)}`])
      refuses(text);
  });

  test('says once what readers take the first of, or the last', () => {
    for (const line of [
      'a=ice-ufrag:efgh',
      'a=ice-ufrag:ab+/',
      'a=ICE-UFRAG:efgh',
      'a=ice-pwd:1123456789012345678901',
      'a=setup:active',
      'a=Setup:active',
      'a=mid:1',
    ]) {
      refuses(written(...base, line));
    }
    refuses(written('v=0', 'a=ice-ufrag:efgh', ...base.slice(1)));
    refuses(written(...base, 'a=mcp-framed:1', 'a=mcp-framed:1 resume=x'));
    refuses(written('v=0', 'a=mcp-framed:1', ...base.slice(1), 'a=mcp-framed:1'));
    refuses(written(...base, 'a=group:BUNDLE 0'));
    refuses(written(...base, 'a=sctp-port:5000', 'a=sctp-port:5001'));
    refuses(written(...base, 'a=max-message-size:1', 'a=max-message-size:2'));
    for (const line of [
      'a=mcp-framed: 1',
      'a=mcp-framed:1  restart',
      'a=mcp-framed:1 ',
      'a=mcp-framed',
      'a=tls-id:a b',
    ]) {
      refuses(written(...base, line));
    }
    const media = ['m=audio 9 UDP/TLS/RTP/SAVPF 0', 'a=mid:1', 'a=ice-ufrag:efgh', 'a=setup:actpass', honest];
    assert.equal(parseDescription(written(...base, ...media)).sdp, written(...base, ...media));
  });

  test('has one data channel, and no two sections that readers may mix up', () => {
    const audio = ['m=audio 9 UDP/TLS/RTP/SAVPF 0', 'a=mid:1'];
    const rejected = ['m=audio 0 UDP/TLS/RTP/SAVPF 0', 'a=mid:1', 'a=inactive'];
    const before = [...session, ...audio, honest, ...section, ...ice, honest];
    for (const lines of [
      [...base, ...audio],
      [...base, ...rejected],
      before,
      [...session, honest, ...section, ...ice],
    ]) {
      assert.equal(parseDescription(written(...lines)).sdp, written(...lines));
    }
    const [line = '', ...rest] = section;
    const again = rest.map((text) => text.replace('mid:0', 'mid:1'));
    for (const other of [
      line,
      'm=application 0 UDP/DTLS/SCTP webrtc-datachannel',
      'm=application 9 DTLS/SCTP 5000',
      'm=application 9 RTP/AVP 0',
      'm=application 9 TCP/DTLS/SCTP webrtc-datachannel',
    ]) {
      refuses(written(...base, other, ...again, ...ice, honest));
      refuses(written(...session, other, ...again, ...ice, honest, ...base.slice(session.length)));
    }
    refuses(written(...base, ...audio, ...audio.map((text) => text.replace('audio', 'video'))));
    refuses(written(...base, audio[0]!, 'a=mid:0'));
    const replaced = (from: string, to: string) => base.map((text) => (text === from ? to : text));
    for (const odd of [
      'm=application 0 UDP/DTLS/SCTP webrtc-datachannel',
      'm=application 09 UDP/DTLS/SCTP webrtc-datachannel',
      'm=application  9 UDP/DTLS/SCTP webrtc-datachannel',
      'm=Application 9 UDP/DTLS/SCTP webrtc-datachannel',
      'm= application 9 UDP/DTLS/SCTP webrtc-datachannel',
      'm=application 9 UDP/DTLS/SCTP',
      'm=audio 9 UDP/TLS/RTP/SAVPF 0',
    ]) {
      refuses(written(...replaced(line, odd)));
    }
    for (const odd of ['m=', 'm=audio', 'm=audio 9', 'm=audio x y z', 'm=AUDIO 9 RTP 0'])
      refuses(written(...base, odd));
    refuses(written(...session, ...section, ...ice, ...audio, honest));
    const without = base.filter((text) => text !== 'a=setup:actpass');
    refuses(written(...without));
    refuses(written(...without, ...audio, 'a=setup:actpass'));
    parseDescription(written('v=0', 'a=setup:actpass', ...without.slice(1)));
    for (const ofChannel of ['a=max-message-size:1', 'a=sctp-port:5001']) {
      refuses(written('v=0', ofChannel, ...base.slice(1)));
      refuses(written(...base, ...audio, ofChannel));
      refuses(written(...session, ...audio, ofChannel, ...section, ...ice, honest));
    }
  });

  test('whatever is written, is refused or means one certificate in text of one form', () => {
    const piece = fc.constantFrom(
      'a',
      'A',
      '=',
      ':',
      ' ',
      '\t',
      '\r',
      '\n',
      '\r\n',
      '\0',
      '\u2028',
      'fingerprint',
      'sha-256',
      honest,
    );
    const odd = fc.oneof(
      fc.string(),
      fc.string({ unit: 'binary' }),
      fc.array(piece).map((pieces) => pieces.join('')),
    );
    fc.assert(
      fc.property(odd, fc.nat(base.length), odd, (line, at, end) => {
        const text = `${written(...base.slice(0, at))}${line}${end}${written(...base.slice(at))}`;
        let read;
        try {
          read = parseDescription(text);
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'bad_signal');
          return;
        }
        assert.match(read.sdp, /^(?:[a-z]=[ -~]+\r\n)+$/);
        const mentions = read.sdp.split('\r\n').filter((one) => /fingerprint/i.test(one));
        assert.deepEqual([...new Set(mentions)], [`a=fingerprint:${read.fingerprint}`]);
        assert.deepEqual(parseDescription(read.sdp), read);
      }),
      { numRuns: sampled(20_000) },
    );
  });

  for (const engine of engines) {
    test(`of ${engine.name} is not changed`, async (t) => {
      const connection = engine.createPeerConnection(direct);
      t.after(() => connection.close());
      connection.createDataChannel('mcp');
      const { sdp = '' } = await connection.createOffer();
      assert.equal(parseDescription(sdp).sdp, sdp);
    });
  }
});
