import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Certificate } from './certificate.ts';
import { freePort, takesConnections } from './port.ts';
import { eventually } from './wait.ts';

/** The secret that a Coturn of a test shares with its relay, unless told otherwise. */
export const turnSecret = 'a secret that relay and TURN server share';

export interface CoturnOptions {
  /** With one it speaks TLS, too. */
  certificate?: Certificate;
  /** `none`: it relays for everybody. */
  auth?: 'secret' | 'none';
}

/** A private coturn process on 127.0.0.1, with the credentials of the TURN REST API. */
export class Coturn {
  readonly port: number;
  readonly tlsPort: number;
  readonly #process: ChildProcess;
  readonly #directory: string;

  private constructor(port: number, tlsPort: number, process: ChildProcess, directory: string) {
    this.port = port;
    this.tlsPort = tlsPort;
    this.#process = process;
    this.#directory = directory;
  }

  /** Resolves when it takes connections. */
  static async start({ certificate, auth = 'secret' }: CoturnOptions = {}): Promise<Coturn> {
    const [port, tlsPort] = [await freePort(), await freePort()];
    const directory = await mkdtemp(join(tmpdir(), 'coturn-'));
    const where = ['--listening-ip=127.0.0.1', '--relay-ip=127.0.0.1', `--listening-port=${port}`];
    const files = [`--pidfile=${join(directory, 'pid')}`, `--userdb=${join(directory, 'db')}`, '--log-file=stdout'];
    const who =
      auth === 'none' ? ['--no-auth'] : ['--use-auth-secret', `--static-auth-secret=${turnSecret}`, '--realm=example'];
    const secure = certificate
      ? [`--tls-listening-port=${tlsPort}`, `--cert=${certificate.certFile}`, `--pkey=${certificate.keyFile}`]
      : ['--no-tls'];
    const more = ['-n', '--no-cli', '--no-dtls', '--allow-loopback-peers', ...secure];
    const child = spawn('turnserver', [...where, ...files, ...who, ...more], { stdio: 'ignore' });
    const coturn = new Coturn(port, tlsPort, child, directory);
    try {
      const ports = certificate ? [port, tlsPort] : [port];
      await eventually(async () => {
        if (child.exitCode !== null) throw new Error(`coturn did not start: exit code ${child.exitCode}`);
        return (await Promise.all(ports.map(takesConnections))).every(Boolean);
      }, 20_000);
    } catch (error) {
      await coturn.stop();
      throw error;
    }
    return coturn;
  }

  get udp(): string {
    return `turn:127.0.0.1:${this.port}?transport=udp`;
  }

  get tcp(): string {
    return `turn:127.0.0.1:${this.port}?transport=tcp`;
  }

  get tls(): string {
    return `turns:127.0.0.1:${this.tlsPort}?transport=tcp`;
  }

  get stun(): string {
    return `stun:127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill('SIGKILL');
      await once(this.#process, 'close');
    }
    await rm(this.#directory, { recursive: true, force: true });
  }
}
