import type { Engine } from '../peer/engine.ts';
import type { RemotePeer } from '../signaling/relay.ts';
import { dialRelay, dialSignaling } from './dial.ts';
import { engineFor } from './rtc.ts';
import { type Dialled, WebRTCTransport } from './transport.ts';
import type { AuthInfo, TransportOptions } from './types.ts';

/**
 * The MCP server's end, for exactly one client: `await server.connect(new WebRTCServerTransport({ relay, token }))`. For a
 * server that takes many clients, see `listen`.
 */
export class WebRTCServerTransport extends WebRTCTransport {
  readonly #options: TransportOptions;
  readonly #engine: Engine;

  /** @throws RendezvousError `bad_option` */
  constructor(options: TransportOptions) {
    super(options);
    this.#options = options;
    this.#engine = engineFor(options.rtc);
  }

  protected override async dial(signal: AbortSignal): Promise<Dialled> {
    return 'signaling' in this.#options
      ? await dialSignaling('server', this.#engine, this.#options, signal)
      : await dialRelay('server', this.#engine, this.#options, signal, (error) => this.onerror?.(error));
  }

  protected override opened({ remote, room, sessionId }: Dialled): { sessionId: string; authInfo?: AuthInfo } {
    return remote ? { sessionId, authInfo: authInfo(remote, room) } : { sessionId };
  }
}

/** The token's verified claims in the MCP SDKs' form (RFC 8693 §4.2 for scopes). */
function authInfo({ id, claims }: RemotePeer, room: string | undefined): AuthInfo {
  const { scope, exp, client_id: clientId, ...rest } = claims;
  return {
    token: '',
    clientId: clientId ?? claims.sub,
    scopes: scope?.split(' ').filter(Boolean) ?? [],
    expiresAt: exp,
    extra: { ...rest, room, peerId: id, via: 'webrtc' },
  };
}
