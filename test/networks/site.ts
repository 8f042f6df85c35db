import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../support/wait.ts';
import { blockUdp, type Kind, rulesOf } from './kinds.ts';
import { Namespace, run } from './namespace.ts';

const proxyPort = 3128;

/** Sites of this process so far: each has addresses of its own, which no cache knows. */
let sites = 0;

/** A network of one kind: a host, and a router between it and the internet. */
export class Site {
  readonly #kind: Kind;
  readonly #host: Namespace;
  readonly #router: Namespace;
  readonly #number = sites++;
  #address = 2;
  #proxy: ChildProcess | undefined;
  #directory: string | undefined;

  private constructor(kind: Kind, host: Namespace, router: Namespace) {
    this.#kind = kind;
    this.#host = host;
    this.#router = router;
  }

  /** Needs the internet of this process's own namespace. */
  static async create(kind: Kind): Promise<Site> {
    const [host, router] = await Promise.all([Namespace.create(), Namespace.create()]);
    const site = new Site(kind, host, router);
    try {
      await site.#connect();
      if (kind === 'proxy only') await site.#startProxy();
    } catch (error) {
      await site.remove();
      throw error;
    }
    return site;
  }

  /** What has to stand before a command so that it runs on the host. */
  get enter(): [string, ...string[]] {
    return this.#host.enter;
  }

  /** The proxy of the network, `http://…`, where that is the only way out. */
  get proxy(): string | undefined {
    return this.#kind === 'proxy only' ? `http://${this.#gateway}:${proxyPort}` : undefined;
  }

  /** Pulls the host's cable: it sees that its link is down. Its address stays. */
  async unplug(): Promise<void> {
    await this.#router.ip('link set lan down');
  }

  async plug(): Promise<void> {
    await this.#router.ip('link set lan up');
  }

  /** Takes the host's address away and gives it another one, as another network would. */
  async readdress(): Promise<void> {
    this.#address++;
    await this.#host.ip('address flush dev eth0', ...this.#addresses);
  }

  /** From now on no UDP passes, and nobody is told. */
  async blockUdp(): Promise<void> {
    await this.#router.nft(blockUdp);
  }

  async remove(): Promise<void> {
    if (this.#proxy?.exitCode === null) {
      this.#proxy.kill('SIGKILL');
      await once(this.#proxy, 'exit');
    }
    if (this.#directory !== undefined) await rm(this.#directory, { recursive: true });
    await Promise.all([this.#host.remove(), this.#router.remove()]);
  }

  get #block(): string {
    // RFC 5737's for documentation, in parts of eight; private ones behind address translation.
    return this.#kind === 'open' ? `203.0.113.${8 * (this.#number % 32)}` : '10.1.0.0';
  }

  /** The address in the host's network with that number. */
  #inside(number: number): string {
    return this.#block.replace(/\d+$/, (last) => String(Number(last) + number));
  }

  get #gateway(): string {
    return this.#inside(1);
  }

  get #addresses(): string[] {
    return [
      `address add ${this.#inside(this.#address)}/29 dev eth0`,
      `route replace default via ${this.#gateway} dev eth0`,
    ];
  }

  async #connect(): Promise<void> {
    const cable = `site${this.#number}`;
    const outside = `198.51.100.${100 + (this.#number % 100)}`;
    await run(['ip', 'link', 'add', cable, 'type', 'veth', 'peer', 'name', 'wan', 'netns', String(this.#router.pid)]);
    await run(['ip', 'link', 'set', cable, 'master', 'internet', 'up']);
    await this.#router.ip(
      `address add ${outside}/24 dev wan`,
      'link set wan up',
      'route add default via 198.51.100.1',
      `link add lan type veth peer name eth0 netns ${this.#host.pid}`,
      `address add ${this.#gateway}/29 dev lan`,
      'link set lan up',
    );
    await this.#host.ip('link set eth0 up', ...this.#addresses);
    await this.#router.nft(rulesOf(this.#kind));
    // Routers of other networks ask 198.51.100.1.
    if (this.#kind === 'open') await run(['ip', 'route', 'replace', `${this.#block}/29`, 'via', outside]);
  }

  /** A proxy that opens tunnels to port 443. */
  async #startProxy(): Promise<void> {
    this.#directory = await mkdtemp(join(tmpdir(), 'proxy-'));
    const file = join(this.#directory, 'tinyproxy.conf');
    const log = join(this.#directory, 'log');
    await writeFile(
      file,
      [`Port ${proxyPort}`, `Listen ${this.#gateway}`, `LogFile "${log}"`, 'LogLevel Critical', 'ConnectPort 443'].join(
        '\n',
      ),
    );
    const [command, ...enter] = this.#router.enter;
    this.#proxy = spawn(command, [...enter, 'tinyproxy', '-d', '-c', file], { stdio: 'ignore' });
    const probe: [string, ...string[]] = [
      ...this.#router.enter,
      'sh',
      '-c',
      `ss -Hltn sport = :${proxyPort} | grep -q .`,
    ];
    await eventually(async () => {
      if (this.#proxy?.exitCode !== null) throw new Error('The proxy did not start.');
      return await run(probe).then(
        () => true,
        () => false,
      );
    });
  }
}
