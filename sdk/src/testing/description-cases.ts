import assert from 'node:assert/strict';
import { type Description, parseDescription } from '../peer/description.ts';
import { type ContractCase, contractCase } from './case.ts';
import type { Engines } from './engines.ts';
import { leniently, oddDescriptions, oddLines } from './odd-descriptions.ts';
import { connectPair } from './rtc-pair.ts';

const someoneElse = Array<string>(32).fill('0F').join(':');
/** Enough that every way to write a line has come. */
const wanted = 800;
/** Each of these needs a handshake. */
const connecting = 3;

/**
 * That the engine takes the certificate which the parsed description names, and no other one that
 * was in its text.
 */
export function descriptionCases({ offering, create, soon }: Engines): ContractCase[] {
  return [
    contractCase('it reads no other certificate in a description than the one it was parsed to', async (scope) => {
      const { offerer } = create(scope);
      offerer.createDataChannel('mcp');
      const { sdp = '' } = await offerer.createOffer();
      let read = 0;
      for (const { sdp: parsed, fingerprint } of accepted(oddDescriptions(sdp, someoneElse, 1))) {
        const answerer = offering.createPeerConnection({ iceServers: [], iceTransportPolicy: 'all' });
        scope.after(() => answerer.close());
        const taken = answerer.setRemoteDescription({ type: 'offer', sdp: parsed }).then(
          () => true,
          () => false, // an engine may be stricter
        );
        if (!(await taken)) continue;
        assert.deepEqual(leniently(answerer.remoteDescription?.sdp ?? ''), [fingerprint]);
        read++;
      }
      assert.ok(read > 5, `it read ${read} descriptions`);
    }),

    contractCase('it connects over descriptions that were written in any way that is accepted', async (scope) => {
      for (let seed = 0; seed < connecting; seed++) {
        const rewrite = (sdp: string) => accepted(oddLines(sdp, someoneElse, seed)).next().value?.sdp ?? '';
        await soon(connectPair({ ...create(scope), tellAnswerer: rewrite, tellOfferer: rewrite }), 'the channel');
      }
    }),
  ];
}

/** The different meanings of many odd descriptions, of which most are refused. */
function* accepted(texts: Generator<string, never>): Generator<Description, undefined> {
  const seen = new Set<string>();
  for (let made = 0; made < wanted; made++) {
    const description = parse(texts.next().value);
    if (!description || seen.has(description.sdp)) continue;
    seen.add(description.sdp);
    yield description;
  }
}

function parse(text: string): Description | undefined {
  try {
    return parseDescription(text);
  } catch {
    return undefined;
  }
}
