import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { createCertificate } from '../support/certificate.ts';
import { freePort, takesConnections } from '../support/port.ts';
import { eventually } from '../support/wait.ts';

/**
 * `ingress` is nginx as an ingress controller has it: it compares the normalised path, and passes
 * on what the client wrote.
 */
export type FrontName = 'nginx' | 'haproxy' | 'caddy' | 'ingress';

const files = { nginx: 'nginx.conf', haproxy: 'haproxy.cfg', caddy: 'Caddyfile', ingress: 'nginx.conf' };

/** A proxy with its configuration in deploy/, changed for this machine, on a port of 127.0.0.1. */
export class Front {
  readonly port: number;
  readonly #directory: string;
  readonly #start: () => ChildProcess;
  #process: ChildProcess | undefined;
  #said = '';

  private constructor(port: number, directory: string, start: () => ChildProcess) {
    this.port = port;
    this.#directory = directory;
    this.#start = start;
  }

  /**
   * Resolves when it takes connections.
   *
   * @param relays their ports
   * @param timeout in place of the 60 s that a WebSocket may be silent
   * @param edit what else an operator changes in the configuration
   */
  static async start(
    name: FrontName,
    relays: [number, number],
    timeout = '60s',
    edit: (text: string) => string = (text) => text,
  ): Promise<Front> {
    const port = await freePort();
    const directory = await mkdtemp(join(tmpdir(), 'front-'));
    const path = (file: string): string => join(directory, file);
    const certificate = await createCertificate('DNS:localhost,IP:127.0.0.1');
    setDefaultCACertificates([...getCACertificates('default'), certificate.cert]);
    await writeFile(path('fullchain.pem'), certificate.cert);
    await writeFile(path('privkey.pem'), certificate.key);
    await writeFile(path('both.pem'), certificate.cert + certificate.key);
    await certificate.remove();
    const text = await readFile(new URL(`../../deploy/${files[name]}`, import.meta.url), 'utf8');
    const changed = edit(text)
      .replaceAll('/etc/ssl/relay.example.com.pem', path('both.pem'))
      .replaceAll('/etc/ssl/relay.example.com/', `${directory}/`)
      .replaceAll('relay.example.com', 'localhost')
      .replace(/(listen |bind :)443\b/, (_, word: string) => `${word.replace(':', '')}127.0.0.1:${port}`)
      .replaceAll(/\b60s\b/g, timeout)
      .replace('127.0.0.1:8787', `127.0.0.1:${relays[0]}`)
      .replace('127.0.0.1:8788', `127.0.0.1:${relays[1]}`)
      // Debian's release does not know this option yet.
      .replace('persist_config off\n', '')
      .replace('admin off', `admin off\n  http_port ${await freePort()}\n  https_port ${port}`)
      .replace(
        '{$DOMAIN:localhost} {',
        `localhost {\n  tls ${path('fullchain.pem')} ${path('privkey.pem')}\n  bind 127.0.0.1`,
      )
      .replace(/dynamic a relay[^}]*}/, relays.map((relay) => `to 127.0.0.1:${relay}`).join('\n'))
      .replace('http://localhost:8080, http://127.0.0.1:8080', `http://127.0.0.1:${await freePort()}`);
    await writeFile(path('config'), name === 'ingress' ? changed.replace('http://relay$uri', 'http://relay') : changed);
    const program = name === 'ingress' ? 'nginx' : name;
    const args = {
      nginx: ['-c', path('config'), '-p', directory, '-e', 'stderr', '-g', `daemon off; pid ${path('pid')};`],
      haproxy: ['-db', '-f', path('config')],
      caddy: ['run', '--config', path('config'), '--adapter', 'caddyfile'],
    }[program];
    const env = { ...process.env, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory };
    const front = new Front(port, directory, () => spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env }));
    await front.begin();
    return front;
  }

  /** Starts the proxy, again after `end`. Resolves when it takes connections. */
  async begin(): Promise<void> {
    const child = this.#start();
    this.#process = child;
    child.stderr?.setEncoding('utf8').on('data', (part: string) => (this.#said += part));
    await eventually(() => {
      if (child.exitCode !== null) throw new Error(`the proxy did not start:\n${this.#said}`);
      return takesConnections(this.port);
    });
  }

  /** Ends the proxy, and with it all of its connections. */
  async end(): Promise<void> {
    if (!this.#process || this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGTERM');
    await once(this.#process, 'close');
  }

  get url(): string {
    return `https://localhost:${this.port}`;
  }

  async stop(): Promise<void> {
    await this.end();
    await rm(this.#directory, { recursive: true });
  }
}
