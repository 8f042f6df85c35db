import { X509Certificate } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import type { Duplex } from 'node:stream';
import { connect, isIP, type Socket } from 'node:net';
import tls, { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { RendezvousError } from 'mcp-rendezvous-protocol';
import { ProxyError } from 'mcp-rendezvous-protocol/http';
import { abortable } from '../../util/abort.ts';

export interface Obstacle {
  code: string;
  seen: string;
  advice: string;
}

export class Blocked extends Error {
  readonly obstacle: Obstacle;

  constructor(obstacle: Obstacle) {
    super(obstacle.seen);
    this.obstacle = obstacle;
  }
}

/**
 * What an error comes to: one that is not Blocked is told as it is, so that the other checks go on.
 */
export function toObstacle(error: unknown): Obstacle {
  if (error instanceof Blocked) return error.obstacle;
  if (error instanceof ProxyError) return { code: error.code, seen: seenOf(error), advice: checkProxy };
  if (error instanceof RendezvousError) return { code: error.code, seen: seenOf(error), advice: checkProxy };
  const { code = 'failed', message } = error as NodeJS.ErrnoException;
  return {
    code,
    seen: `it cannot be tried (${message})`,
    advice: 'Check the URL and the permissions of this machine.',
  };
}

const checkProxy = 'Check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, or ask who runs the proxy.';

/** A message of an error as a part of a line. */
const seenOf = ({ message }: Error): string => message.replace(/^The /, 'the ').replace(/\.$/, '');

/** The addresses of a host name or of an address, without its brackets. */
export async function resolve(host: string, signal: AbortSignal): Promise<{ address: string; family: number }[]> {
  const name = bare(host);
  try {
    return await abortable(lookup(name, { all: true }), signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Blocked({
      code: code ?? 'dns_timeout',
      seen: code === undefined ? 'DNS did not answer in time' : `its host name cannot be resolved (${code})`,
      advice: 'Check the spelling and the DNS of this network.',
    });
  }
}

export async function openTcp(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  const socket = connect({ host: bare(host), port });
  await opened(socket, 'connect', signal);
  return socket;
}

/**
 * A TLS connection, whatever its certificate is: `certificateProblem` says what is wrong with it.
 *
 * @param tunnel what it is opened in, instead of a connection of its own
 */
export async function openTls(host: string, port: number, signal: AbortSignal, tunnel?: Duplex): Promise<TLSSocket> {
  const name = bare(host);
  const options: ConnectionOptions = { host: name, port, rejectUnauthorized: false, ...(tunnel && { socket: tunnel }) };
  // RFC 6066 §3: no addresses in SNI.
  if (isIP(name) === 0) options.servername = name;
  const socket = connectTls(options);
  await opened(socket, 'secureConnect', signal);
  return socket;
}

/** What a peer would refuse this connection for; undefined when it would take it. */
export function certificateProblem(socket: TLSSocket): Obstacle | undefined {
  if (socket.authorized) return undefined;
  // Declared as an Error; it is the error's code.
  const code = String(socket.authorizationError);
  const { subjectaltname, valid_from, valid_to } = socket.getPeerCertificate();
  switch (code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return {
        code,
        seen: `the certificate is for another name (${subjectaltname ?? 'it has none'})`,
        advice: 'Use a name from the certificate, or get a certificate for this name.',
      };
    case 'CERT_HAS_EXPIRED':
      return { code, seen: `the certificate has expired (${valid_to})`, advice: 'Renew it.' };
    case 'CERT_NOT_YET_VALID':
      return {
        code,
        seen: `the certificate is not valid before ${valid_from}`,
        advice: 'Check the clock of this machine.',
      };
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      if (isTrustedBySystem(socket)) return intercepted(socket);
      return {
        code,
        seen: `the certificate chain is incomplete (${code})`,
        advice: 'Configure the server to send its whole chain, including the intermediate certificates.',
      };
    default:
      if (isTrustedBySystem(socket)) return intercepted(socket);
      return {
        code,
        seen: `this machine does not trust ${issuerOf(socket)}, which issued the certificate (${code})`,
        advice:
          'Use a certificate from a public authority, or trust yours with --ca-file <file> or NODE_EXTRA_CA_CERTS. ' +
          'A firewall that inspects TLS has the same effect.',
      };
  }
}

const intercepted = (socket: TLSSocket): Obstacle => ({
  code: 'tls_intercepted',
  seen:
    `the certificate is issued by ${issuerOf(socket)}, which this machine trusts and Node.js does not: ` +
    'probably a firewall that inspects TLS',
  advice: 'Set NODE_USE_SYSTEM_CA=1 (Node.js 22.19 or newer), or pass its certificate with --ca-file <file>.',
});

function issuerOf(socket: TLSSocket): string {
  const { O, CN } = socket.getPeerCertificate().issuer ?? {};
  return JSON.stringify([O ?? CN ?? 'an authority without a name'].flat()[0]);
}

/**
 * Whether the system's store has the authority. Administrators put that of a firewall which
 * inspects TLS there, while Node.js uses a list of its own.
 */
function isTrustedBySystem(socket: TLSSocket): boolean {
  const authorities = tls.getCACertificates('system').map((pem) => new X509Certificate(pem));
  let last = socket.getPeerX509Certificate();
  while (last?.issuerCertificate && last.issuerCertificate.fingerprint256 !== last.fingerprint256) {
    last = last.issuerCertificate;
  }
  return authorities.some((authority) => last?.checkIssued(authority) && last.verify(authority.publicKey));
}

export const daysLeft = (socket: TLSSocket): number =>
  Math.floor((Date.parse(socket.getPeerCertificate().valid_to) - Date.now()) / 86_400_000);

function opened(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<void> {
  return new Promise((done, reject) => {
    const abort = () => fail({ code: 'ETIMEDOUT' });
    const fail = (error: { code?: string }) => {
      signal.removeEventListener('abort', abort);
      socket.destroy();
      reject(new Blocked(obstacleOf(error, event)));
    };
    socket.on('error', fail); // also later: the one who uses the socket hears of its close
    socket.once('close', () => fail({ code: 'ECONNRESET' }));
    socket.once(event, () => {
      signal.removeEventListener('abort', abort);
      done();
    });
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
}

function obstacleOf({ code = 'unknown' }: { code?: string }, event: 'connect' | 'secureConnect'): Obstacle {
  switch (code) {
    case 'ECONNREFUSED':
      return { code, seen: 'the port is closed (ECONNREFUSED)', advice: 'Check that it is running on this port.' };
    case 'ETIMEDOUT':
      return {
        code,
        seen: event === 'connect' ? 'no answer' : 'the TLS handshake timed out',
        advice: 'Check for a firewall on either side that drops packets to this port.',
      };
    case 'ENETUNREACH':
    case 'EHOSTUNREACH':
      return { code, seen: `there is no route to it (${code})`, advice: 'Check that this machine is online.' };
    default:
      return event === 'connect'
        ? { code, seen: `the connection failed (${code})`, advice: 'Check the URL and the firewalls on the path.' }
        : { code, seen: `it does not speak TLS (${code})`, advice: 'Check that this is the TLS port.' };
  }
}

const bare = (host: string): string => host.replace(/^\[(.*)\]$/, '$1');
