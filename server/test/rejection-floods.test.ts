import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { eventually } from '../../test/support/wait.ts';
import { createLogger } from '../src/log.ts';
import { RejectionLog } from '../src/rejection-log.ts';
import { startApp } from './support/app.ts';
import { testMetrics } from './support/broker.ts';
import { RawPeer } from './support/peer.ts';
import { linesOf, texts } from './support/rejections.ts';

void suite('whoever is refused cannot fill the log', () => {
  function make(t: TestContext) {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const lines: string[] = [];
    const log = createLogger('info', { write: (line) => void lines.push(line) });
    return { rejectionLog: new RejectionLog(log, testMetrics), said: () => linesOf(lines.splice(0).join('')) };
  }

  test('the same refusal is logged once a minute, with how often it came again', (t) => {
    const { rejectionLog, said } = make(t);
    for (let round = 0; round < 3; round++) {
      for (let n = 0; n < 1000; n++) rejectionLog.limited('MAX_ROOMS', { address: '192.0.2.1', peer: `p-${n}` });
      assert.deepEqual(
        said().map(({ times }) => times),
        [undefined],
      );
      t.mock.timers.tick(60_000);
      const [summary, ...more] = said();
      assert.deepEqual(
        [summary?.['times'], summary?.['address'], summary?.msg, more],
        [999, '192.0.2.1', texts['MAX_ROOMS'], []],
      );
    }
    t.mock.timers.tick(600_000);
    assert.deepEqual(said(), []);
  });

  test('of many addresses 20 lines are logged in a minute, and one that counts the rest', (t) => {
    const { rejectionLog, said } = make(t);
    for (let n = 0; n < 5000; n++) rejectionLog.refused('bad_frame', { address: `198.51.${n >> 8}.${n & 255}` });
    assert.equal(said().length, 20);
    t.mock.timers.tick(60_000);
    assert.deepEqual(
      said().map(({ times, address }) => [times, address]),
      [[4980, '198.51.19.135']],
    );
  });

  test('another kind has its own lines, and what stops says what it has not said', (t) => {
    const { rejectionLog, said } = make(t);
    for (let n = 0; n < 30; n++) rejectionLog.refused('bad_frame', { address: '192.0.2.1' });
    rejectionLog.refused('not_http', { address: '192.0.2.1' });
    assert.equal(said().length, 2);
    rejectionLog.close();
    assert.deepEqual(
      said().map(({ times }) => times),
      [29],
    );
  });

  test('what others chose is cut, so that a line is short', (t) => {
    const { rejectionLog, said } = make(t);
    rejectionLog.refused('room_taken', { issuer: '😀'.repeat(512), sub: 'x'.repeat(5000), room: '\n"\u2028' });
    const [line] = said();
    assert.ok(JSON.stringify(line).length < 1500);
    assert.ok(JSON.stringify(line).isWellFormed());
  });

  test('sockets that never join leave nothing in the log, however many they are', async (t) => {
    const app = await startApp(t, { LOG_LEVEL: 'info' });
    const before = app.log().length;
    for (let n = 0; n < 50; n++) (await RawPeer.open(app.url)).cut();
    await eventually(async () => /^rendezvous_sockets 0$/m.test(await (await fetch(`${app.url}/metrics`)).text()));
    assert.equal(app.log().slice(before), '');
  });

  test('a flood of bad tokens and frames: a few lines', async (t) => {
    const app = await startApp(t, { LOG_LEVEL: 'info' });
    const before = linesOf(app.log()).length;
    for (let n = 0; n < 200; n++) {
      const peer = await RawPeer.open(app.url);
      peer.socket.send(n % 2 ? '{}' : '{"type":"join","token":"e30.e30.x"}');
      await peer.closed;
    }
    assert.equal(linesOf(app.log()).length - before, 2);
  });
});
