import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Certificate, createCertificate } from '../support/certificate.ts';
import { Coturn, turnSecret } from '../support/coturn.ts';
import { takesConnections } from '../support/port.ts';
import { RelayProcess } from '../support/relay.ts';
import { eventually } from '../support/wait.ts';
import type { Offered } from './kinds.ts';
import { prepareOwnNamespace, run } from './namespace.ts';

/** Addresses of RFC 5737, for documentation. */
const turn = '198.51.100.20';

/** What a relay offers, by the name that tables have for it. */
export const modes = {
  'relayed on': { relayed: true, turnOverTls: false },
  'relayed off': { relayed: false, turnOverTls: true },
} satisfies Record<string, Offered>;
export type Mode = keyof typeof modes;
export const modeNames = Object.keys(modes) as Mode[];

const addressOf: Record<Mode, string> = { 'relayed on': '198.51.100.10', 'relayed off': '198.51.100.11' };

/**
 * The internet: this process's network namespace with a bridge, on it two relays behind TLS, one
 * for each mode, and a TURN server.
 */
export class Internet {
  readonly #stack: AsyncDisposableStack;
  readonly #certificate: Certificate;
  /** For Node's compile cache: each cell starts two processes with the same modules. */
  readonly #compiled: string;

  private constructor(stack: AsyncDisposableStack, certificate: Certificate, compiled: string) {
    this.#stack = stack;
    this.#certificate = certificate;
    this.#compiled = compiled;
  }

  static async create(): Promise<Internet> {
    await using stack = new AsyncDisposableStack();
    await prepareOwnNamespace();
    const addresses = ['198.51.100.1', ...Object.values(addressOf), turn];
    // What is sent to private addresses goes nowhere, without an error: coturn would close an
    // allocation that asks for such a peer.
    const commands = [
      'link add internet type bridge',
      ...addresses.map((address) => `address add ${address}/24 dev internet`),
      'link set internet up',
      'link add nowhere type veth peer name nowhere-end',
      'link set nowhere-end up',
      'link set nowhere arp off up',
      'route add default dev nowhere',
    ];
    await run(['ip', '-batch', '-'], commands.join('\n'));
    const certificate = await createCertificate(addresses.map((address) => `IP:${address}`).join());
    stack.defer(() => certificate.remove());
    const coturn = await Coturn.start({ certificate, address: turn, port: 3478, tlsPort: 443 });
    stack.defer(() => coturn.stop());
    const relays = await Promise.all(
      modeNames.map(async (mode) => {
        const { relayed, turnOverTls } = modes[mode];
        const relay = await RelayProcess.start({
          STUN_URLS: coturn.stun,
          TURN_URLS: [coturn.udp, coturn.tcp, ...(turnOverTls ? [coturn.tls] : [])].join(),
          TURN_SECRET: turnSecret,
          RELAYED_DATA: relayed ? 'on' : 'off',
        });
        stack.defer(() => relay.stop());
        return { address: addressOf[mode], port: Number(new URL(relay.url).port) };
      }),
    );
    const front = await startFront(certificate, relays);
    stack.defer(front);
    const compiled = await mkdtemp(join(tmpdir(), 'compiled-'));
    stack.defer(() => rm(compiled, { recursive: true }));
    return new Internet(stack.move(), certificate, compiled);
  }

  relay(mode: Mode): string {
    return `wss://${addressOf[mode]}`;
  }

  /** Variables of a Node process that uses it: it trusts the servers' certificate. */
  get env(): Record<string, string> {
    return { NODE_EXTRA_CA_CERTS: this.#certificate.certFile, NODE_COMPILE_CACHE: this.#compiled };
  }

  async close(): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** TLS in front of the relays, at port 443. Resolves with what ends it. */
async function startFront(
  { cert, key }: Certificate,
  relays: { address: string; port: number }[],
): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), 'front-'));
  const [pair, file] = [join(directory, 'pair.pem'), join(directory, 'haproxy.cfg')];
  await writeFile(pair, cert + key);
  await writeFile(
    file,
    [
      'defaults',
      '  mode tcp',
      '  timeout connect 5s',
      '  timeout client 1h',
      '  timeout server 1h',
      ...relays.flatMap(({ address, port }) => [
        `listen relay-${address}`,
        `  bind ${address}:443 ssl crt ${pair}`,
        `  server relay 127.0.0.1:${port}`,
      ]),
      '',
    ].join('\n'),
  );
  const child: ChildProcess = spawn('haproxy', ['-db', '-q', '-f', file], { stdio: ['ignore', 'inherit', 'inherit'] });
  const stop = async (): Promise<void> => {
    if (child.exitCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await rm(directory, { recursive: true });
  };
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(`haproxy did not start: exit code ${child.exitCode}`);
    return (await Promise.all(relays.map(({ address }) => takesConnections(443, address)))).every(Boolean);
  });
  return stop;
}
