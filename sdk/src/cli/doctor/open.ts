import { lookup } from 'node:dns/promises';
import { connect, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { abortable } from '../../util/abort.ts';

/** Why a host cannot be reached, in a form to report. */
export interface Obstacle {
  code: string;
  seen: string;
  advice: string;
}

/** Thrown by what opens a connection. */
export class Blocked extends Error {
  readonly obstacle: Obstacle;

  constructor(obstacle: Obstacle) {
    super(obstacle.seen);
    this.obstacle = obstacle;
  }
}

/** What an error comes to: one that is not Blocked is told as it is, so that the other checks go on. */
export function toObstacle(error: unknown): Obstacle {
  if (error instanceof Blocked) return error.obstacle;
  const { code = 'failed', message } = error as NodeJS.ErrnoException;
  return { code, seen: `it cannot be tried (${message})`, advice: 'Check its address, and what this machine allows.' };
}

/** The addresses of a host name or of an address, without its brackets. */
export async function resolve(host: string, signal: AbortSignal): Promise<{ address: string; family: number }[]> {
  const name = bare(host);
  try {
    return await abortable(lookup(name, { all: true }), signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Blocked({
      code: code ?? 'dns_timeout',
      seen: code === undefined ? 'its name server did not answer in time' : `its name has no address (${code})`,
      advice: 'Check the spelling, and the name server of this network.',
    });
  }
}

export async function openTcp(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  const socket = connect({ host: bare(host), port });
  await opened(socket, 'connect', signal);
  return socket;
}

/** A TLS connection, whatever its certificate is: `certificateProblem` says what is wrong with it. */
export async function openTls(host: string, port: number, signal: AbortSignal): Promise<TLSSocket> {
  const name = bare(host);
  const options: ConnectionOptions = { host: name, port, rejectUnauthorized: false };
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
        seen: `the certificate is for another name (${subjectaltname ?? 'it names none'})`,
        advice: 'Use a name that is in the certificate, or get a certificate for this one.',
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
      return {
        code,
        seen: `the certificate cannot be followed to an authority (${code})`,
        advice: 'Does the server send its whole chain, with the intermediate certificates?',
      };
    default:
      return {
        code,
        seen: `the certificate is not from an authority that this machine trusts (${code})`,
        advice:
          'Use one from a known authority, or make this machine trust yours: NODE_EXTRA_CA_CERTS=<file>. ' +
          'A firewall that opens TLS looks like this, too.',
      };
  }
}

/** Whole days until the certificate ends. */
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
      return { code, seen: 'nothing listens there (ECONNREFUSED)', advice: 'Is it running, and on this port?' };
    case 'ETIMEDOUT':
      return {
        code,
        seen: event === 'connect' ? 'no answer' : 'it does not answer in TLS',
        advice: 'Does a firewall here, or one in front of it, drop packets to this port?',
      };
    case 'ENETUNREACH':
    case 'EHOSTUNREACH':
      return { code, seen: `no way there (${code})`, advice: 'Is this machine online?' };
    default:
      return event === 'connect'
        ? { code, seen: `the connection fails (${code})`, advice: 'Check the address and the firewalls on the way.' }
        : { code, seen: `it does not speak TLS (${code})`, advice: 'Is this the port for TLS?' };
  }
}

/** A URL's host without the brackets of an IPv6 address. */
const bare = (host: string): string => host.replace(/^\[(.*)\]$/, '$1');
