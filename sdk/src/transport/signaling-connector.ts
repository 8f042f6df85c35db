import type { Hello, RendezvousError, Role } from 'mcp-rendezvous-protocol';
import { signalingContext } from '../link/transcript.ts';
import type { Engine } from '../peer/engine.ts';
import type { Signaling } from '../signaling/signaling.ts';
import { diagnoseTo } from '../util/diagnostic.ts';
import { randomBase64Url } from '../util/random.ts';
import {
  type Connected,
  type ConnectionSettings,
  type Connector,
  firstHello,
  negotiate,
  peerAbsent,
} from './connector.ts';
import { settingsFor } from './allowed-paths.ts';
import { keyOf } from './peer-secret.ts';
import { SafeSignaling } from './safe-signaling.ts';
import type { ConnectOptions, SignalingOptions } from './types.ts';

/**
 * Over a signaling channel of the application's own. The server offers and the client answers, as
 * in mcp-webrtc, and candidates travel inside of the SDP, because such a channel may carry one
 * message each way only.
 */
export class SignalingConnector implements Connector {
  readonly settings: ConnectionSettings;
  readonly reconnect?: () => Promise<Signaling>;
  readonly #signaling: SafeSignaling;
  readonly #secret: Connected['secret'];
  readonly #context: Uint8Array;
  readonly #hello: () => Hello;

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
    this.#hello = firstHello(options, this.#secret);
    this.settings = {
      engine,
      ...settingsFor(
        options,
        () => options.iceServers ?? [],
        () => undefined,
      ),
      trickle: false,
      diagnose: diagnoseTo(options.ondiagnostic),
    };
    if (role === 'server') this.reconnect = () => Promise.resolve(signaling);
  }

  async connect(signal: AbortSignal): Promise<Connected> {
    try {
      // There is no relayed path over such a channel: the secret proves on the connection.
      const paths = negotiate(this, this.#signaling, { key: undefined, hello: this.#hello });
      return {
        first: await paths.first(signal),
        paths,
        signaling: this.#signaling,
        sessionName: randomBase64Url(16),
        secret: this.#secret,
        context: this.#context,
      };
    } catch (error) {
      throw peerAbsent(error, 'The other peer did not join the signaling channel. Check that it is running.');
    }
  }

  close(): void {
    void this.#signaling.close();
  }
}
