import assert from 'node:assert/strict';
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import { suite, test, type TestContext } from 'node:test';
import { watchInterfaces } from '../../src/transport/network.browser.ts';
import { onNetworkChange } from '../../src/transport/network.ts';

const lookEveryMs = 2_000;

/**
 * Counts what is told; time stands still until the test moves it, and the machine has the addresses
 * that the test says.
 */
function listen(t: TestContext) {
  const here = os.networkInterfaces();
  const { mock } = t.mock.method(os, 'networkInterfaces', () => here);
  syncBuiltinESMExports();
  t.after(() => {
    mock.restore();
    syncBuiltinESMExports();
  });
  t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: 1_800_000_000_000 });
  const listener = { told: 0, here, mock, end: () => {} };
  listener.end = onNetworkChange(() => void listener.told++);
  t.after(() => listener.end());
  return listener;
}

/** One look after the other: a single long tick would be a sleep. */
function look(t: TestContext, times: number): void {
  for (let n = 0; n < times; n++) t.mock.timers.tick(lookEveryMs);
}

void suite('the network may be another one', () => {
  test('when the machine wakes up, once for each sleep', (t) => {
    const listener = listen(t);
    look(t, 10);
    assert.equal(listener.told, 0);
    // Timers stand still in a machine that sleeps, and the clock does not.
    t.mock.timers.setTime(Date.now() + 60_000);
    t.mock.timers.tick(lookEveryMs);
    assert.equal(listener.told, 1);
    look(t, 10);
    assert.equal(listener.told, 1);
    t.mock.timers.setTime(Date.now() + 60_000);
    t.mock.timers.tick(lookEveryMs);
    assert.equal(listener.told, 2);
  });

  test('but not when a timer is late because there was much to do, or the clock was set back', (t) => {
    const listener = listen(t);
    t.mock.timers.setTime(Date.now() + 5_000);
    t.mock.timers.tick(lookEveryMs);
    t.mock.timers.setTime(Date.now() - 3_600_000);
    t.mock.timers.tick(lookEveryMs);
    assert.equal(listener.told, 0);
  });

  test('when an address comes or goes', (t) => {
    const listener = listen(t);
    const { here, mock } = listener;
    look(t, 3);
    assert.equal(listener.told, 0);
    const address = { ...Object.values(here)[0]![0]!, address: '192.0.2.1' };
    mock.mockImplementation(() => ({ ...here, wlan0: [address] }));
    t.mock.timers.tick(1_000);
    assert.equal(listener.told, 1);
    look(t, 3);
    assert.equal(listener.told, 1);
    mock.mockImplementation(() => here);
    t.mock.timers.tick(1_000);
    assert.equal(listener.told, 2);
  });

  test('all who listen are told, until they do not listen any more', (t) => {
    const first = listen(t);
    const second = { told: 0 };
    const end = onNetworkChange(() => void second.told++);
    const sleep = (): void => {
      t.mock.timers.setTime(Date.now() + 60_000);
      t.mock.timers.tick(lookEveryMs);
    };
    sleep();
    assert.deepEqual([first.told, second.told], [1, 1]);
    first.end();
    sleep();
    assert.deepEqual([first.told, second.told], [1, 2]);
    end();
    sleep();
    assert.deepEqual([first.told, second.told], [1, 2]);
  });

  test('in a browser, when it is online again or its connection changes', (t) => {
    const [page, connection] = [new EventTarget(), new EventTarget()];
    const add = (type: string, listener: EventListener): void => page.addEventListener(type, listener);
    const remove = (type: string, listener: EventListener): void => page.removeEventListener(type, listener);
    Object.assign(globalThis, { addEventListener: add, removeEventListener: remove });
    Object.defineProperty(navigator, 'connection', { value: connection, configurable: true });
    t.after(() => {
      Reflect.deleteProperty(globalThis, 'addEventListener');
      Reflect.deleteProperty(globalThis, 'removeEventListener');
      Reflect.deleteProperty(navigator, 'connection');
    });
    let told = 0;
    const unwatch = watchInterfaces(() => void told++);
    page.dispatchEvent(new Event('offline'));
    assert.equal(told, 0);
    page.dispatchEvent(new Event('online'));
    assert.equal(told, 1);
    connection.dispatchEvent(new Event('change'));
    assert.equal(told, 2);
    unwatch();
    page.dispatchEvent(new Event('online'));
    connection.dispatchEvent(new Event('change'));
    assert.equal(told, 2);
  });
});
