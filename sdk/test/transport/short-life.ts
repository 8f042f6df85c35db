/**
 * A process whose other peer says CLOSE in the moment in which the handshake ends. It tells how
 * that went, and exits when nothing is left.
 */
import { MemorySignaling, type RendezvousError, type RtcPeerConnection, WebRTCClientTransport } from 'mcp-rendezvous';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { BreakableEngine } from '../../../test/support/breakable.ts';
import { encodeClose, encodeHello } from '../../src/link/frame.ts';
import { PeerNegotiation } from '../../src/peer/negotiation.ts';
import { randomBase64Url } from '../../src/util/random.ts';
import { hello } from '../link/raw.ts';

const said = Promise.withResolvers<void>();

/** Hands a connection over when the other peer has said everything. */
class LateEngine extends BreakableEngine {
  override async authenticate(connection: RtcPeerConnection): Promise<void> {
    await super.authenticate(connection);
    await said.promise;
  }
}

const [near, far] = MemorySignaling.pair();
const client = new WebRTCClientTransport({ signaling: near, rtc: new LateEngine() });
const events: string[] = [];
client.onclose = () => events.push('onclose');
const started = client.start().catch((error: RendezvousError) => events.push(error.code));
const negotiation = new PeerNegotiation({
  signaling: far,
  offerer: true,
  engine: weriftEngine,
  iceServers: () => [],
  iceTransportPolicy: () => 'all',
  trickle: false,
});
const { channel, connection } = await negotiation.run(AbortSignal.timeout(60_000));
channel.send(encodeHello({ ...hello(), session: randomBase64Url(16) }));
channel.send(encodeClose(4, 'not today'));
await weriftEngine.flush?.(channel);
said.resolve();
await started;
console.log(JSON.stringify([...events, client.state]));
await connection.close();
