import http from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { type Proxy, proxyFor } from './proxy.ts';

/** How long a proxy has for opening a tunnel, in milliseconds. */
const tunnelTimeoutMs = 8_000;
/** What TCP waits before it asks a silent peer whether it is there, in milliseconds. */
const tcpKeepAliveMs = 15_000;

/** A proxy that does not let a connection through. The message names it, without credentials. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  readonly code = 'proxy_failed';
}

export interface Outgoing {
  method?: string;
  headers?: Record<string, string>;
  body?: string | undefined;
  /** Ends the request and its answer. */
  signal: AbortSignal;
}

/**
 * Sends a request over a connection of its own, through the proxy that the environment gives for
 * the URL. Resolves with the head of the answer, that of an upgrade too: `destroy()` of it closes
 * the connection. Redirects are not followed.
 *
 * @throws ProxyError · RendezvousError `bad_option` when a variable names no HTTP proxy · what
 *   Node's http throws · the reason of `signal`
 */
export async function request(url: URL, outgoing: Outgoing): Promise<http.IncomingMessage> {
  const { method = 'GET', headers = {}, body, signal } = outgoing;
  const proxy = proxyFor(url);
  const options: http.RequestOptions = { method, headers, signal, agent: false };
  if (!proxy) return await answerTo(url, options, body);
  // Many proxies open tunnels to the ports of TLS only, and take plain requests as they are.
  if (url.protocol === 'http:' && headers['Upgrade'] === undefined) return await forwarded(url, proxy, options, body);
  return await answerTo(url, { ...options, agent: tunnelAgent(url, proxy, signal) }, body);
}

/** RFC 9112 §3.2.2: a proxy gets the whole URL. */
async function forwarded(
  url: URL,
  proxy: Proxy,
  options: http.RequestOptions,
  body: string | undefined,
): Promise<http.IncomingMessage> {
  const headers = { ...(options.headers as Record<string, string>), host: url.host, ...credentials(proxy) };
  const path = `${url.origin}${url.pathname}${url.search}`;
  const response = await answerTo(new URL(proxy.url.origin), { ...options, headers, path }, body).catch(
    (error: Error) => {
      throw options.signal?.aborted ? error : unreachable(proxy, error);
    },
  );
  if (response.statusCode !== 407) return response;
  response.destroy();
  throw refusal(proxy, 407, url.host);
}

function answerTo(url: URL, options: http.RequestOptions, body: string | undefined): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = (url.protocol === 'https:' ? https : http).request(url, options, resolve);
    sent.on('upgrade', resolve);
    // A reset may follow the first error.
    sent.on('error', (error) => reject(options.signal?.aborted ? (options.signal.reason as Error) : error));
    sent.setSocketKeepAlive(true, tcpKeepAliveMs);
    sent.end(body);
  });
}

/**
 * An agent for one connection to the URL's host, through a tunnel of the proxy (CONNECT, RFC 9110
 * §9.3.6). Its errors are `ProxyError`s until the tunnel stands.
 *
 * @param signal ends a tunnel that is being opened
 */
export function tunnelAgent(url: URL, proxy: Proxy, signal: AbortSignal): http.Agent {
  const secure = url.protocol === 'https:' || url.protocol === 'wss:';
  const agent = secure ? new https.Agent() : new http.Agent();
  agent.createConnection = (options, done) => {
    const open = async () => {
      let tunnel: Duplex;
      try {
        tunnel = await openTunnel(url, proxy, signal);
      } catch (error) {
        return done?.(error as Error, undefined as never);
      }
      done?.(null, secure ? secured(tunnel, options) : tunnel);
    };
    void open();
    return undefined;
  };
  return agent;
}

function secured(socket: Duplex, options: http.ClientRequestArgs): tls.TLSSocket {
  // The host is whom the certificate has to name: an address is in no server name (SNI).
  const { port: _, path: __, ...rest } = options;
  return tls.connect({ ...(rest as tls.ConnectionOptions), socket });
}

/**
 * A connection to the URL's host and port through the proxy, without TLS.
 *
 * @throws ProxyError · the reason of `signal`
 */
export function openTunnel(url: URL, proxy: Proxy, signal: AbortSignal): Promise<Duplex> {
  const secure = url.protocol === 'https:' || url.protocol === 'wss:';
  const authority = `${url.hostname}:${url.port || (secure ? 443 : 80)}`;
  const options: http.RequestOptions = {
    method: 'CONNECT',
    path: authority,
    headers: { host: authority, ...credentials(proxy) },
    agent: false,
    signal,
  };
  return new Promise((resolve, reject) => {
    const asked = (proxy.url.protocol === 'https:' ? https : http).request(new URL(proxy.url.origin), options);
    const late = new Error(`no answer within ${tunnelTimeoutMs / 1000} s`);
    const timer = setTimeout(() => asked.destroy(late), tunnelTimeoutMs);
    asked.on('close', () => clearTimeout(timer));
    asked.on('error', (error) => reject(signal.aborted ? (signal.reason as Error) : unreachable(proxy, error)));
    const refused = (response: http.IncomingMessage) => {
      response.destroy();
      reject(refusal(proxy, response.statusCode ?? 0, authority));
    };
    asked.on('response', refused);
    asked.on('connect', (response, socket, head) => {
      clearTimeout(timer);
      if (response.statusCode !== 200) {
        socket.destroy();
        return refused(response);
      }
      // RFC 9110 §9.3.6: what follows the answer is the tunnel's.
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    asked.end();
  });
}

function credentials({ url: { username, password } }: Proxy): Record<string, string> {
  if (username === '' && password === '') return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(pair).toString('base64')}` };
}

function unreachable({ name }: Proxy, error: Error): ProxyError {
  const reason = (error as NodeJS.ErrnoException).code ?? error.message;
  return new ProxyError(`The proxy ${name} cannot be used: ${reason}.`, { cause: error });
}

function refusal({ name, variable, url }: Proxy, status: number, authority: string): ProxyError {
  if (status === 407) {
    return new ProxyError(
      url.username === ''
        ? `The proxy ${name} asks for credentials (HTTP 407). Put them into ${variable}: http://user:password@host:port.`
        : `The proxy ${name} refuses the credentials in ${variable} (HTTP 407).`,
    );
  }
  return new ProxyError(`The proxy ${name} does not connect to ${authority} (HTTP ${status}).`);
}
