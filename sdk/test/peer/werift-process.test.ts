import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';

const pair = JSON.stringify(new URL('./pair.ts', import.meta.url).href);
const raw = JSON.stringify(new URL('./raw.ts', import.meta.url).href);
const turn = JSON.stringify(new URL('./turn.ts', import.meta.url).href);
const engine = JSON.stringify(new URL('../../src/peer/werift.ts', import.meta.url).href);

/** Runs a program of its own to its own end, and takes the JSON that it prints. */
async function run(program: string, timeout = 20_000): Promise<unknown> {
  const source = `import { connectPair, closePair, direct, negotiate, receiving, within } from ${pair};
    import { rawPeer } from ${raw};
    import { turnServer } from ${turn};
    import { weriftEngine } from ${engine};
    ${program}`;
  const args = ['--conditions=mcp-rendezvous-source', '--expose-gc', '--input-type=module', '--eval', source];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout, killSignal: 'SIGKILL' });
  return JSON.parse(stdout);
}

suite('a process with the werift engine', () => {
  test('has nothing left after fifty connections, and exits by itself', async () => {
    const left = await run(`
      for (let n = 0; n < 50; n++) {
        const pair = await connectPair();
        pair.near.send('hello');
        await closePair(pair);
      }
      await new Promise((resolve) => setImmediate(resolve)); // the handles of the last sockets end here
      const left = process.getActiveResourcesInfo().filter((name) => !/Pipe|TTY/.test(name)); // what it prints to
      process.stdout.write(JSON.stringify(left.filter((name) => name !== 'Timeout')));
    `);
    assert.deepEqual(left, []);
  });

  test('exits by itself when connections are closed at any point on their way', async () => {
    const exited = await run(`
      const points = ['created', 'offered', 'described', 'answered', 'late'];
      for (const point of points) {
        const offerer = weriftEngine.createPeerConnection(direct);
        const answerer = weriftEngine.createPeerConnection(direct);
        offerer.createDataChannel('mcp');
        if (point === 'offered') {
          const { sdp } = await offerer.createOffer();
          void offerer.setLocalDescription({ type: 'offer', sdp }).catch(() => {}); // it is closed meanwhile: the point here
        }
        if (point === 'described') {
          const { sdp } = await offerer.createOffer();
          await offerer.setLocalDescription({ type: 'offer', sdp });
        }
        if (point === 'answered' || point === 'late') await negotiate(offerer, answerer);
        if (point === 'late') await offerer.addIceCandidate({ candidate: 'candidate:1 1 udp 1 x.local 9 typ host', sdpMid: '0' });
        await closePair({ offerer, answerer });
      }
      const closed = performance.now();
      process.on('exit', () => process.stdout.write(JSON.stringify(performance.now() - closed)));
    `);
    assert(typeof exited === 'number' && exited < 5_000, `took ${String(exited)} ms`);
  });

  test('exits by itself when the other side never answered the handshake', async () => {
    const exited = await run(`
      const mute = rawPeer({ alter: () => {} });
      const answerer = weriftEngine.createPeerConnection(direct);
      mute.connection.createDataChannel('mcp');
      const connected = new Promise((resolve) => {
        answerer.oniceconnectionstatechange = () => {
          if (answerer.iceConnectionState === 'connected') resolve();
        };
      });
      await negotiate(mute.connection, answerer);
      await within(connected, 'the network path');
      await closePair({ offerer: mute.connection, answerer });
      const closed = performance.now();
      process.on('exit', () => process.stdout.write(JSON.stringify(performance.now() - closed)));
    `);
    assert(typeof exited === 'number' && exited < 5_000, `took ${String(exited)} ms`);
  });

  test('exits by itself when a TURN server answers after the end', async () => {
    const exited = await run(`
      const server = await turnServer();
      const connection = weriftEngine.createPeerConnection({ iceTransportPolicy: 'relay', iceServers: [server.iceServer] });
      connection.createDataChannel('mcp');
      const { sdp } = await connection.createOffer();
      await connection.setLocalDescription({ type: 'offer', sdp });
      await within(server.asked, 'the request with credentials');
      await connection.close();
      server.answer();
      const closed = performance.now();
      process.on('exit', () => process.stdout.write(JSON.stringify(performance.now() - closed)));
    `);
    assert(typeof exited === 'number' && exited < 5_000, `took ${String(exited)} ms`);
  });

  test('hears of an exception in a handler as of any other, and the connection goes on', async () => {
    const report = await run(`
      const uncaught = [];
      process.on('uncaughtException', (error, origin) => uncaught.push(origin + ': ' + error.message));
      const pair = await connectPair();
      const received = [];
      const done = new Promise((resolve) => {
        pair.far.onmessage = ({ data }) => {
          if (received.push(data) === 2) resolve();
          throw new Error('message');
        };
      });
      pair.near.send('one');
      pair.near.send('two');
      await within(done, 'both messages');
      pair.offerer.onconnectionstatechange = () => { throw new Error('state'); };
      pair.far.onclose = () => { throw new Error('close'); };
      const closed = new Promise((resolve) => pair.answerer.close().then(resolve));
      await closePair(pair);
      await closed;
      process.on('exit', () => process.stdout.write(JSON.stringify({ received, uncaught })));
    `);
    assert.deepEqual(report, {
      received: ['one', 'two'],
      uncaught: ['uncaughtException: message', 'uncaughtException: message', 'uncaughtException: close'],
    });
  });
});
