import { type ClaimMapping, RendezvousError } from 'mcp-rendezvous-protocol';
import { connectUrl } from './relay-socket.ts';
import type { WebSocketConstructor } from './web-socket.ts';
import type { TokenSource } from './fetch-token.ts';
import { checkDiagnosticHandler, type DiagnosticHandler } from '../util/diagnostic.ts';

export interface RelayOptions {
  /**
   * URL of the relay, such as `wss://relay.example`. With `ws://`, anyone on the network path can
   * read the token and replace this peer: use it only for loopback and trusted networks.
   */
  relay: string | URL;
  token: TokenSource;
  /**
   * Where the token has `room`, `role` and `sub`, if an identity provider issues it with other
   * claim names: the same as `claims` of its issuer in `RELAY_ISSUERS_FILE`.
   *
   * @default the standard names
   */
  claims?: ClaimMapping;
  /**
   * What opens the socket to the relay: a class with the interface of WebSocket, called with the
   * URL and the subprotocol. For certificates of your own, or to watch the socket.
   *
   * @default the platform's `WebSocket`; in Node that of the package ws, which goes through a proxy
   *   where `HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY` names one for the relay and `NO_PROXY` does
   *   not exempt it
   */
  webSocket?: WebSocketConstructor;
  /**
   * Hears of each step of connecting and of what becomes of the connection, for logs and user
   * interfaces. The events are for people: what a program does next depends on errors and states.
   *
   * @default none
   * @example
   * ondiagnostic: ({ type, ...details }) => console.debug(type, details)
   */
  ondiagnostic?: DiagnosticHandler;
}

/**
 * The address of the relay's WebSocket.
 *
 * @throws RendezvousError `bad_option` when an option is missing or wrong
 */
export function relayUrl({ relay, token, webSocket, ondiagnostic }: RelayOptions): URL {
  if (webSocket !== undefined && typeof webSocket !== 'function') {
    throw new RendezvousError('bad_option', 'webSocket must be a class that implements WebSocket.');
  }
  checkDiagnosticHandler(ondiagnostic);
  if (typeof token !== 'function' && (typeof token !== 'string' || !token)) {
    throw new RendezvousError('bad_option', 'token is missing. Pass a room token or a function that fetches one.');
  }
  return connectUrl(relay);
}
