import { type ChildProcess, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IceServer } from 'mcp-rendezvous-protocol';
import type { Certificate } from './certificate.ts';
import { freePort, takesConnections } from './port.ts';
import { eventually } from './wait.ts';

/** The secret that a Coturn of a test shares with its relay, unless told otherwise. */
export const turnSecret = 'a secret that relay and TURN server share';

export interface CoturnOptions {
  /** Where it listens and relays from. @default '127.0.0.1' */
  address?: string;
  /** For UDP and TCP. @default a free one */
  port?: number;
  /** For TLS. @default a free one */
  tlsPort?: number;
  /** With one it speaks TLS, too. */
  certificate?: Certificate;
  /** `none`: it relays for everybody. */
  auth?: 'secret' | 'none';
  /** Variables beside this process's own. */
  env?: Record<string, string>;
  /** Further arguments of `turnserver`. */
  args?: string[];
}

/** A private coturn process, with the credentials of the TURN REST API. */
export class Coturn {
  readonly #address: string;
  readonly port: number;
  readonly tlsPort: number;
  readonly #directory: string;
  readonly #options: CoturnOptions;
  #process: ChildProcess | undefined;

  private constructor(port: number, tlsPort: number, directory: string, options: CoturnOptions) {
    this.#address = options.address ?? '127.0.0.1';
    this.port = port;
    this.tlsPort = tlsPort;
    this.#directory = directory;
    this.#options = options;
  }

  /** Resolves when it takes connections. */
  static async start(options: CoturnOptions = {}): Promise<Coturn> {
    const { port = await freePort(), tlsPort = await freePort() } = options;
    const coturn = new Coturn(port, tlsPort, await mkdtemp(join(tmpdir(), 'coturn-')), options);
    try {
      await coturn.begin();
    } catch (error) {
      await coturn.stop();
      throw error;
    }
    return coturn;
  }

  /** Starts it again after `kill`; resolves when it takes connections. */
  async begin(): Promise<void> {
    const { certificate, auth = 'secret', env, args = [] } = this.#options;
    const [address, port, tlsPort, directory] = [this.#address, this.port, this.tlsPort, this.#directory];
    const where = [`--listening-ip=${address}`, `--relay-ip=${address}`, `--listening-port=${port}`];
    const files = [`--pidfile=${join(directory, 'pid')}`, `--userdb=${join(directory, 'db')}`, '--log-file=stdout'];
    const who =
      auth === 'none' ? ['--no-auth'] : ['--use-auth-secret', `--static-auth-secret=${turnSecret}`, '--realm=example'];
    const secure = certificate
      ? [`--tls-listening-port=${tlsPort}`, `--cert=${certificate.certFile}`, `--pkey=${certificate.keyFile}`]
      : ['--no-tls'];
    const more = ['-n', '--no-cli', '--no-dtls', '--allow-loopback-peers', ...secure, ...args];
    const child = spawn('turnserver', [...where, ...files, ...who, ...more], {
      stdio: 'ignore',
      env: { ...process.env, ...env },
    });
    this.#process = child;
    const ports = certificate ? [port, tlsPort] : [port];
    await eventually(async () => {
      if (child.exitCode !== null) throw new Error(`coturn did not start: exit code ${child.exitCode}`);
      return (await Promise.all(ports.map((open) => takesConnections(open, address)))).every(Boolean);
    });
  }

  get udp(): string {
    return `turn:${this.#address}:${this.port}?transport=udp`;
  }

  get tcp(): string {
    return `turn:${this.#address}:${this.port}?transport=tcp`;
  }

  get tls(): string {
    return `turns:${this.#address}:${this.tlsPort}?transport=tcp`;
  }

  get stun(): string {
    return `stun:${this.#address}:${this.port}`;
  }

  /** Ends it without a word to anybody. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'close');
  }

  async stop(): Promise<void> {
    await this.kill();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** What a relay would hand out to this user (draft-uberti-behave-turn-rest-00). */
export function credentials(urls: string | string[], user: string): IceServer {
  const username = `${Math.floor(Date.now() / 1000) + 3600}:${user}`;
  return { urls, username, credential: createHmac('sha1', turnSecret).update(username).digest('base64') };
}
