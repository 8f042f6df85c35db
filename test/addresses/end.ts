import { argv, exit } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { listen, WebRTCClientTransport } from 'mcp-rendezvous';
import { engines, type EngineName } from '../support/engines.ts';

/**
 * A server that repeats what it gets; a client that waits for that and says how long it took; one
 * that stays and says when something is repeated; or what says which addresses are in the
 * description of an engine that has found all candidates. Usage: end.ts role engine relay token
 */
const [, , role = '', engine = '', relay = '', token = ''] = argv;
const options = { relay, token, rtc: engines[engine as EngineName], connectTimeoutMs: 60_000 };
const message = { jsonrpc: '2.0' as const, method: 'notifications/test' };
if (role === 'describe') {
  const connection = options.rtc.createPeerConnection({ iceServers: [], iceTransportPolicy: 'all' });
  connection.createDataChannel('mcp', { ordered: true });
  const { sdp = '' } = await connection.createOffer();
  await connection.setLocalDescription({ type: 'offer', sdp });
  while (connection.iceGatheringState !== 'complete') await sleep(20);
  const inside = connection.localDescription?.sdp.match(/^a=candidate:.* typ host.*$/gm) ?? [];
  console.log(JSON.stringify(inside.map((line) => line.split(' ')[4])));
  await connection.close();
  exit();
} else if (role === 'server') {
  await listen(options, async (transport) => {
    transport.onmessage = (received) => void transport.send(received);
    await transport.start();
  });
  console.log('ready');
} else {
  const from = performance.now();
  const transport = new WebRTCClientTransport(options);
  const echo = Promise.withResolvers<void>();
  transport.onmessage = () => echo.resolve();
  await transport.start();
  await transport.send(message);
  await echo.promise;
  if (role === 'stay') {
    console.log('ready');
    transport.onmessage = () => console.log('echo');
    while (true) {
      await transport.send(message);
      await sleep(50);
    }
  }
  console.log(JSON.stringify({ ms: Math.round(performance.now() - from) }));
  await transport.close();
  exit();
}
