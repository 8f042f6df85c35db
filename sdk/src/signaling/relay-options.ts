import { RendezvousError } from 'mcp-rendezvous-protocol';
import { connectUrl, type WebSocketConstructor } from './relay-socket.ts';
import type { TokenSource } from './fetch-token.ts';

export interface RelayOptions {
  /**
   * The relay's address, such as `wss://relay.example`. With `ws://` whoever is on the way can read the token and take this peer's
   * place: for loopback and networks that you trust.
   */
  relay: string | URL;
  token: TokenSource;
  /**
   * What opens the socket to the relay: a class with the interface of WebSocket, called with the URL
   * and the subprotocol. For a proxy, for certificates of your own, or to watch the socket.
   *
   * @default the platform's `WebSocket`
   */
  webSocket?: WebSocketConstructor;
}

/**
 * The address of the relay's WebSocket.
 *
 * @throws RendezvousError `bad_option` when an option is missing or wrong
 */
export function relayUrl({ relay, token, webSocket }: RelayOptions): URL {
  if (webSocket !== undefined && typeof webSocket !== 'function') {
    throw new RendezvousError('bad_option', 'webSocket must be a class with the interface of WebSocket.');
  }
  if (typeof token !== 'function' && (typeof token !== 'string' || !token)) {
    throw new RendezvousError('bad_option', 'token is missing: pass a room token or a function that fetches one.');
  }
  return connectUrl(relay);
}
