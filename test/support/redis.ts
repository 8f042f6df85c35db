import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Certificate } from './certificate.ts';
import { freePort } from './port.ts';
import { eventually } from './wait.ts';

/** The program of every Redis here; another one, such as Valkey's, takes the same arguments. */
export const redisProgram = process.env['REDIS_SERVER'] ?? 'redis-server';

/** Arguments for redis-server that let clients come with TLS, too, at a port of its own. */
export const tlsSettings = ({ certFile, keyFile }: Certificate, port: number): string[] => [
  '--tls-port',
  String(port),
  '--tls-cert-file',
  certFile,
  '--tls-key-file',
  keyFile,
  '--tls-ca-cert-file',
  certFile,
  '--tls-auth-clients',
  'no',
];

/**
 * A private redis-server: on loopback, in a directory of its own, and with nothing written to disk.
 */
export class RedisServer {
  readonly port: number;
  readonly #directory: string;
  readonly #settings: string[];
  #process: ChildProcess | undefined;

  private constructor(port: number, directory: string, settings: string[]) {
    this.port = port;
    this.#directory = directory;
    this.#settings = settings;
  }

  /** @param settings more arguments for redis-server, such as `--cluster-enabled yes` */
  static async start(settings: string[] = []): Promise<RedisServer> {
    return await onFreePorts(async () => {
      const server = new RedisServer(await freePort(), await mkdtemp(join(tmpdir(), 'redis-')), settings);
      await server.start();
      return server;
    });
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Starts it (again), on the same port and empty; resolves when it takes connections. */
  async start(): Promise<void> {
    const fixed = ['--bind', '127.0.0.1', '--port', String(this.port), '--dir', this.#directory];
    this.#process = spawn(redisProgram, [...fixed, '--save', '', '--appendonly', 'no', ...this.#settings], {
      stdio: 'ignore',
    });
    const child = this.#process;
    await eventually(() => {
      // Another process may have taken a port that was free a moment ago.
      if (child.exitCode !== null) throw new RedisEnded(`redis-server ended with ${child.exitCode}.`);
      return ask(this.port, 'PING').then(
        (reply) => reply === '+PONG\r\n',
        () => false,
      );
    });
  }

  /** Sends an inline command; the reply is as it comes over the wire. */
  command(line: string): Promise<string> {
    return ask(this.port, line);
  }

  /** Ends it as a power cut would. */
  async kill(): Promise<void> {
    const running = this.#process;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    running.kill('SIGKILL');
    await once(running, 'exit');
  }

  async stop(): Promise<void> {
    await this.kill();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/**
 * What redis-server on this port replies to one inline command, as it comes over the wire; rejects
 * when it does not.
 */
export function ask(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let reply = '';
    // QUIT ends the connection, and with it what there is to read.
    const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\nQUIT\r\n`));
    socket.setEncoding('utf8').on('data', (part) => (reply += String(part)));
    socket.on('end', () => resolve(reply.replace(/\+OK\r\n$/, ''))).on('error', reject);
  });
}

class RedisEnded extends Error {}

/** Tries again, on other ports, when a server ended at its start. */
export async function onFreePorts<T>(start: () => Promise<T>, attempts = 3): Promise<T> {
  try {
    return await start();
  } catch (error) {
    if (!(error instanceof RedisEnded) || attempts === 1) throw error;
    return await onFreePorts(start, attempts - 1);
  }
}
