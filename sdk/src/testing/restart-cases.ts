import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RtcDataChannel, RtcPeerConnection } from '../peer/engine.ts';
import { readStats } from '../peer/stats.ts';
import { type ContractCase, contractCase, type Scope } from './case.ts';
import type { Engines } from './engines.ts';
import { gathered, negotiate, type Pair, receiving } from './rtc-pair.ts';

/** ICE restarts (RFC 8445 §9), for engines that can. */
export function restartCases({ connect, soon }: Engines): ContractCase[] {
  const connected = (name: string, body: (pair: Pair, scope: Scope) => Promise<void>): ContractCase =>
    contractCase(`an ICE restart ${name}`, async (scope) => body(await connect(scope), scope));
  const bothConnected = ({ offerer, answerer }: Pair) =>
    soon(Promise.all([hasConnected(offerer), hasConnected(answerer)]), 'the new path');
  const talk = async ({ near, far }: Pair): Promise<void> => {
    const heard = Promise.all([receiving(near), receiving(far)]);
    near.send('there');
    far.send('and back');
    assert.deepEqual(await soon(heard, 'both messages'), [['and back'], ['there']]);
  };

  return [
    ...(['offerer', 'answerer'] as const).map((end) =>
      connected(`of the ${end}, three times, keeps the channel and loses nothing`, async (pair, scope) => {
        const [from, to] = end === 'offerer' ? [pair.offerer, pair.answerer] : [pair.answerer, pair.offerer];
        const seen = new Set([...candidates(from), ...candidates(to)].map(place));
        const stream = endless(pair.near, pair.far);
        scope.after(() => stream.stop());
        for (let round = 0; round < 3; round++) {
          const before = [identity(from), identity(to)];
          await negotiate(from, to, { iceRestart: true });
          const after = [identity(from), identity(to)];
          for (const side of [0, 1] as const) {
            assert.notEqual(after[side]?.user, before[side]?.user);
            assert.equal(after[side]?.fingerprint, before[side]?.fingerprint);
          }
          await bothConnected(pair);
          await soon(Promise.all([gathered(from), gathered(to)]), 'the candidates');
          await soon(stream.goesOn(), 'more of the stream');
          for (const connection of [from, to]) {
            assert.match(connection.iceConnectionState, /^(connected|completed)$/);
            assert.match((await readStats(connection)).localCandidateType ?? '', /^(host|prflx)$/);
            // What is gathered for the restart is part of the description, and nothing else.
            const now = candidates(connection);
            assert(now.length > 0);
            assert.deepEqual(
              now.filter((line) => seen.has(place(line))),
              [],
            );
            for (const line of now) {
              seen.add(place(line));
              assert(!line.includes(' ufrag ') || line.includes(` ufrag ${identity(connection).user}`), line);
            }
          }
        }
        await soon(stream.end(), 'the last message');
      }),
    ),

    ...(['offer', 'answer'] as const).map((lost) =>
      connected(
        `that nobody answers leaves the connection as it is, and the next one works: the ${lost} is lost`,
        async (pair) => {
          for (let attempt = 0; attempt < 2; attempt++) {
            await negotiate(pair.offerer, pair.answerer, { iceRestart: true, lost });
            await talk(pair);
          }
          await negotiate(pair.offerer, pair.answerer, { iceRestart: true });
          await bothConnected(pair);
          await talk(pair);
        },
      ),
    ),

    connected('whose answer is late', async (pair) => {
      // By then the answerer has checked its paths, and the offerer has heard of each for itself.
      const tellOfferer = (answer: string) => sleep(300, answer);
      await negotiate(pair.offerer, pair.answerer, { iceRestart: true, tellOfferer });
      await bothConnected(pair);
      await talk(pair);
    }),

    connected('with other ICE servers', async (pair) => {
      const nobody = { urls: 'turn:127.0.0.1:9?transport=udp', username: 'fresh', credential: 'secret' };
      pair.offerer.setConfiguration?.({ iceServers: [nobody], iceTransportPolicy: 'all' });
      await negotiate(pair.offerer, pair.answerer, { iceRestart: true });
      await bothConnected(pair);
      await talk(pair);
      for (const urls of ['turn:127.0.0.1', 'nonsense']) {
        assert.throws(() => pair.offerer.setConfiguration?.({ iceServers: [{ urls }], iceTransportPolicy: 'all' }), {
          code: 'bad_option',
        });
      }
    }),
  ];
}

function identity({ localDescription }: RtcPeerConnection): { user: string; fingerprint: string } {
  const sdp = localDescription?.sdp ?? '';
  return {
    user: /^a=ice-ufrag:(\S+)/m.exec(sdp)?.[1] ?? '',
    fingerprint: /^a=fingerprint:(.*\S)/m.exec(sdp)?.[1] ?? '',
  };
}

const candidates = ({ localDescription }: RtcPeerConnection): string[] => [
  ...(localDescription?.sdp.match(/^a=candidate:\S+ 1 udp .*$/gim) ?? []),
];

/** Address and port: a restart has sockets of its own. */
const place = (line: string): string => line.split(' ').slice(4, 6).join(' ');

const hasConnected = (connection: RtcPeerConnection): Promise<void> =>
  new Promise((resolve) => {
    const look = () => {
      if (connection.connectionState === 'connected') resolve();
    };
    connection.onconnectionstatechange = look;
    look();
  });

/**
 * Numbers that go over a channel all the time; the last one shows that none was lost, doubled or
 * late.
 */
function endless(from: RtcDataChannel, to: RtcDataChannel) {
  let sent = 0;
  let received = 0;
  let last = Number.POSITIVE_INFINITY;
  const all = Promise.withResolvers<void>();
  const fault = Promise.withResolvers<never>();
  fault.promise.catch(() => {}); // until end() asks for it
  to.onmessage = ({ data }) => {
    if (data !== String(received)) fault.reject(new Error(`${String(data)} instead of ${received}`));
    if (++received >= last) all.resolve();
  };
  const timer = setInterval(() => from.send(String(sent++)), 2);
  return {
    stop: () => clearInterval(timer),
    /** Until something has come that was sent from now on. */
    goesOn: async (): Promise<void> => {
      const mark = sent;
      while (received <= mark) await Promise.race([sleep(5), fault.promise]);
    },
    end: (): Promise<void> => {
      clearInterval(timer);
      last = sent;
      if (received >= last) all.resolve();
      return Promise.race([all.promise, fault.promise]);
    },
  };
}
