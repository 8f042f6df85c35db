import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IceServer } from 'mcp-rendezvous-protocol';
import { iceServers } from '../../server/src/connections/ice-servers.ts';
import { createCertificate } from '../support/certificate.ts';
import { freePort } from '../support/port.ts';
import { TurnUser } from '../support/turn-user.ts';
import { eventually } from '../support/wait.ts';

/** TURN_SECRET */
export const secret = 'a secret that relay and TURN server share';
const deployed = (name: string): Promise<string> => readFile(new URL(`../../deploy/${name}`, import.meta.url), 'utf8');

/**
 * coturn as docker-compose.yml runs it, by deploy/turn.sh and with deploy/turnserver.conf, without
 * a container: the container's address and the public one are two of this machine's loopback
 * addresses, so that peers may have such addresses here, too.
 */
export class TurnServer {
  /** What the container would have. */
  readonly own: string;
  /** TURN_IP */
  readonly address: string;
  readonly port: number;
  readonly #process: ChildProcess;
  readonly #directory: string;
  #said = '';

  private constructor(network: string, port: number, child: ChildProcess, directory: string) {
    this.own = `${network}.2`;
    this.address = `${network}.3`;
    this.port = port;
    this.#process = child;
    this.#directory = directory;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.#said += text));
    }
  }

  /** What it has said so far. */
  get said(): string {
    return this.#said;
  }

  /**
   * Resolves when it takes connections.
   *
   * @param behindRouter false: its public address is its own
   */
  static async start(behindRouter = true): Promise<TurnServer> {
    const [port, tlsPort] = [await freePort(), await freePort()];
    const network = `127.${1 + (process.pid % 250)}.${1 + (port % 250)}`;
    const directory = await mkdtemp(join(tmpdir(), 'turn-'));
    for (const folder of ['etc', 'run/certificate', 'tmp', 'bin']) {
      await mkdir(join(directory, folder), { recursive: true });
    }
    const changed = async (name: string, to: string, more = ''): Promise<void> => {
      const text = (await deployed(name))
        .replaceAll(/\/(etc|run|tmp)\//g, `${directory}/$1/`)
        .replace('listening-port=3478', `listening-port=${port}`)
        .replace('listening-port=5349', `listening-port=${tlsPort}`);
      await writeFile(join(directory, to), text + more);
    };
    // An IPv6 address to relay from is what makes coturn look at IPv6 peers at all.
    await changed('turnserver.conf', 'etc/turnserver.conf', 'allow-loopback-peers\nrelay-ip=::1\n');
    await changed('turn.sh', 'turn.sh');
    await changed('turn-address.sh', 'turn-address.sh');
    const certificate = await createCertificate('DNS:localhost');
    await writeFile(join(directory, 'run/certificate/certificate.pem'), certificate.cert);
    await writeFile(join(directory, 'run/certificate/key.pem'), certificate.key);
    await certificate.remove();
    await writeFile(join(directory, 'bin/hostname'), `#!/bin/sh\necho ${network}.2\n`);
    await chmod(join(directory, 'bin/hostname'), 0o755);
    const env = {
      PATH: `${join(directory, 'bin')}:${process.env['PATH']}`,
      TURN_HOST: 'localhost',
      TURN_IP: behindRouter ? `${network}.3` : `${network}.2`,
      TURN_SECRET: secret,
      TURN_MIN_PORT: '49160',
      TURN_MAX_PORT: '49259',
    };
    const child = spawn('sh', [join(directory, 'turn.sh')], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const server = new TurnServer(network, port, child, directory);
    try {
      await eventually(async () => {
        const user = await TurnUser.connect({ urls: [] }, port, server.own).catch(() => undefined);
        user?.close();
        return user !== undefined || child.exitCode !== null;
      });
      assert.equal(child.exitCode, null, 'coturn runs');
    } catch (error) {
      await server.stop();
      throw new Error(`coturn did not start:\n${server.#said}`, { cause: error });
    }
    return server;
  }

  /** Credentials as the relay makes them; those of another time differ. */
  credentials(subject: string, now = Date.now() / 1000): IceServer {
    const urls = [`turn:${this.own}:${this.port}?transport=tcp`];
    const [server] = iceServers(
      { stunUrls: [], turnUrls: urls, turnSecret: secret, turnTtlSeconds: 600 },
      { sub: subject },
      now,
    );
    return server ?? { urls };
  }

  connect(subject: string, now?: number): Promise<TurnUser> {
    return TurnUser.connect(this.credentials(subject, now), this.port, this.own);
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null) {
      this.#process.kill('SIGTERM');
      await once(this.#process, 'close');
    }
    await rm(this.#directory, { recursive: true });
  }
}
