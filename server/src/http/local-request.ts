import type { IncomingMessage } from 'node:http';
import { isLoopback } from '../auth/key-config.ts';

/**
 * Whether the host of a request is this machine. With DNS rebinding, and through a proxy that keeps
 * it, it is a name.
 */
export const isLoopbackHost = (host: string): boolean =>
  URL.canParse(`http://${host}`) &&
  // A URL has an IPv6 address in brackets.
  isLoopback(new URL(`http://${host}`).hostname.replace(/^\[(.*)\]$/, '$1'));

/**
 * Whether a program on this machine sent the request. A proxy on this machine that hides both the
 * host and the address of its clients makes all of them look so.
 *
 * @param address of the sender, with trusted proxies taken into account
 */
export const isLocal = ({ headers }: IncomingMessage, address: string): boolean =>
  isLoopback(address) && isLoopbackHost(headers.host ?? '') && !forwarding.some((name) => headers[name] !== undefined);

const forwarding = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'];
