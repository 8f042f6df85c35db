import { RendezvousError } from '../errors.ts';
import { connectUrl } from './relay-socket.ts';
import type { TokenSource } from './fetch-token.ts';

export interface RelayOptions {
  /**
   * The relay's address, such as `wss://relay.example`. With `ws://` whoever is on the way can read the token and take this peer's
   * place: for loopback and networks that you trust.
   */
  relay: string | URL;
  token: TokenSource;
}

/**
 * The address of the relay's WebSocket.
 *
 * @throws RendezvousError `bad_option` when an option is missing or wrong
 */
export function relayUrl({ relay, token }: RelayOptions): URL {
  if (typeof token !== 'function' && (typeof token !== 'string' || !token)) {
    throw new RendezvousError('bad_option', 'token is missing: pass a room token or a function that fetches one.');
  }
  return connectUrl(relay);
}
