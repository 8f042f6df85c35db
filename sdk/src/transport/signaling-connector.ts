import type { RendezvousError, Role } from 'mcp-rendezvous-protocol';
import { signalingContext } from '../link/transcript.ts';
import type { Engine } from '../peer/engine.ts';
import type { Signaling } from '../signaling/signaling.ts';
import { randomBase64Url } from '../util/random.ts';
import {
  type Connected,
  type ConnectionSettings,
  type Connector,
  negotiate,
  peerAbsent,
  prepareEngine,
} from './connector.ts';
import { keyOf } from './peer-secret.ts';
import { SafeSignaling } from './safe-signaling.ts';
import type { ConnectOptions, SignalingOptions } from './types.ts';

/**
 * Over a signaling channel of the application's own. The server offers and the client answers, as in
 * mcp-webrtc, and candidates travel inside of the SDP, because such a channel may carry one message
 * each way only.
 */
export class SignalingConnector implements Connector {
  readonly settings: ConnectionSettings;
  readonly reconnect?: () => Promise<Signaling>;
  readonly #signaling: SafeSignaling;
  readonly #secret: Connected['secret'];
  readonly #context: Uint8Array;

  /** @param onerror hears what closing the channel failed with */
  constructor(
    role: Role,
    engine: Engine,
    options: ConnectOptions & SignalingOptions,
    onerror: (error: RendezvousError) => void,
  ) {
    const signaling = new SafeSignaling(options.signaling, onerror);
    this.#signaling = signaling;
    this.#secret = keyOf(options.secret);
    this.#context = signalingContext(options.context ?? '');
    this.settings = {
      engine,
      iceServers: () => options.iceServers ?? [],
      iceTransportPolicy: options.iceTransportPolicy ?? 'all',
      trickle: false,
    };
    if (role === 'server') this.reconnect = () => Promise.resolve(signaling);
  }

  async connect(signal: AbortSignal): Promise<Connected> {
    try {
      await prepareEngine(this.settings);
      const peer = await negotiate(this, this.#signaling, signal);
      return {
        peer,
        signaling: this.#signaling,
        sessionName: randomBase64Url(16),
        secret: this.#secret,
        context: this.#context,
      };
    } catch (error) {
      throw peerAbsent(error, 'The other peer did not come to the signaling channel.');
    }
  }

  close(): void {
    void this.#signaling.close();
  }
}
