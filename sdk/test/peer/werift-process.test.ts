import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { run } from './program.ts';

/** A handshake that goes on without an answer would take longer, as would an allocation. */
const mostMs = 20_000;

suite('a process with the werift engine', () => {
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
    assert(typeof exited === 'number' && exited < mostMs, `took ${String(exited)} ms`);
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
    assert(typeof exited === 'number' && exited < mostMs, `took ${String(exited)} ms`);
  });
});
