import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ip = async (...args: string[]): Promise<void> => void (await run('ip', args));
const tc = async (...args: string[]): Promise<void> => void (await run('tc', args));

/**
 * Networks that may exist at the same time: 203.0.113.128/25 in parts of 16 addresses (RFC 5737:
 * for documentation).
 */
const networks = 8;
const prefix = 28;
/**
 * What a cable carries each way. A large message then takes a while, so that it is cut in the
 * middle now and then. The queue is longer than what an engine has on its way at a time: congestion
 * is not what this is about.
 */
const rate = ['tbf', 'rate', '50mbit', 'burst', '128kb', 'latency', '250ms'];

/** Two hosts (network namespaces) whose cables end in a bridge here. Needs Linux and root. */
export class Hosts {
  readonly server: Host;
  readonly client: Host;
  readonly #bridge: string;
  /** The address of this end, which is the hosts' gateway. */
  readonly address: string;

  /** Nobody else takes away what a process leaves behind that ends in the middle. */
  readonly #abandon = (): void => {
    for (const { name, near } of [this.server, this.client]) {
      // At once: the namespace stays for as long as a process is in it.
      spawnSync('ip', ['link', 'del', near]);
      spawnSync('ip', ['netns', 'del', name]);
    }
    spawnSync('ip', ['link', 'del', this.#bridge]);
  };

  private constructor(network: number) {
    this.#bridge = bridgeOf(network);
    const [address, ...others] = Array.from(
      { length: 13 },
      (_, index) => `203.0.113.${128 + 16 * network + index + 1}`,
    );
    this.address = address!;
    const half = others.length / 2;
    const common = { bridge: this.#bridge, gateway: this.address };
    this.server = new Host({ ...common, name: `${this.#bridge}s`, addresses: others.slice(0, half) });
    this.client = new Host({ ...common, name: `${this.#bridge}c`, addresses: others.slice(half) });
  }

  static async create(): Promise<Hosts> {
    const hosts = new Hosts(await claimNetwork());
    process.once('exit', hosts.#abandon);
    try {
      await ip('address', 'add', `${hosts.address}/${prefix}`, 'dev', hosts.#bridge);
      await ip('link', 'set', hosts.#bridge, 'up');
      await hosts.server.create();
      await hosts.client.create();
    } catch (error) {
      await hosts.remove();
      throw error;
    }
    return hosts;
  }

  async remove(): Promise<void> {
    process.off('exit', this.#abandon);
    await Promise.all([this.server.remove(), this.client.remove()]);
    await ip('link', 'del', this.#bridge);
  }
}

const bridgeOf = (network: number): string => `adversary${network}`;

/** Creating a bridge is what claims its network: other processes may be looking for one too. */
async function claimNetwork(): Promise<number> {
  for (let network = 0; network < networks; network++) {
    try {
      await ip('link', 'add', bridgeOf(network), 'type', 'bridge');
      return network;
    } catch (cause) {
      if (/File exists/.test(String(cause))) continue;
      throw new Error('The adversary makes network namespaces: run it as root on Linux, with iproute2.', { cause });
    }
  }
  throw new Error(`All ${networks} networks are taken; what ended without removing its own: ip link del adversary0 …`);
}

interface HostOptions {
  name: string;
  bridge: string;
  gateway: string;
  addresses: string[];
}

export class Host {
  readonly #options: HostOptions;
  /** The cable's end here. */
  readonly near: string;
  #address = 0;
  #created = false;
  /** Its cable leads nowhere. */
  #silent = true;
  /** It is kept apart from other hosts. */
  #apart = false;

  constructor(options: HostOptions) {
    this.#options = options;
    this.near = `${options.name}0`;
  }

  /** Of its network namespace. */
  get name(): string {
    return this.#options.name;
  }

  /** What has to stand before a command so that it runs there. */
  get enter(): [string, ...string[]] {
    return ['ip', 'netns', 'exec', this.name];
  }

  async create(): Promise<void> {
    const { name } = this;
    await ip('netns', 'add', name);
    this.#created = true;
    await ip('link', 'add', this.near, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    await tc('qdisc', 'add', 'dev', this.near, 'root', ...rate);
    await tc('-n', name, 'qdisc', 'add', 'dev', 'eth0', 'root', ...rate);
    // One address at a time: none of IPv6 that would outlast the one that is taken away.
    const [command, ...args] = this.enter;
    await run(command, [...args, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6']);
    await ip('-n', name, 'link', 'set', 'lo', 'up');
    await ip('-n', name, 'link', 'set', 'eth0', 'up');
    await this.#assign();
    await this.restore();
    await this.plug();
  }

  /** Pulls the cable: the host sees that its link is down. Its addresses and routes stay. */
  async unplug(): Promise<void> {
    await ip('link', 'set', this.near, 'down');
  }

  async plug(): Promise<void> {
    await ip('link', 'set', this.near, 'up');
  }

  /** From now on packets go nowhere, and nobody is told. */
  async silence(): Promise<void> {
    this.#silent = true;
    await ip('link', 'set', this.near, 'nomaster');
  }

  async restore(): Promise<void> {
    await ip('link', 'set', this.near, 'master', this.#options.bridge);
    this.#silent = false;
    // A bridge forgets what it knew of a cable that was taken away.
    await this.keepApart(this.#apart);
  }

  /** Between two hosts that are kept apart nothing passes, and nobody is told. */
  async keepApart(apart: boolean): Promise<void> {
    this.#apart = apart;
    if (this.#silent) return;
    await ip('link', 'set', this.near, 'type', 'bridge_slave', 'isolated', apart ? 'on' : 'off');
  }

  /** Takes the host's address away and gives it another one, as another network would. */
  async readdress(): Promise<void> {
    const { name } = this;
    await ip('-n', name, 'address', 'flush', 'dev', 'eth0');
    this.#address = (this.#address + 1) % this.#options.addresses.length;
    await this.#assign();
  }

  async remove(): Promise<void> {
    if (!this.#created) return;
    await ip('link', 'del', this.near);
    await ip('netns', 'del', this.name);
  }

  async #assign(): Promise<void> {
    const { addresses, gateway } = this.#options;
    await ip('-n', this.name, 'address', 'add', `${addresses[this.#address]}/${prefix}`, 'dev', 'eth0');
    await ip('-n', this.name, 'route', 'replace', 'default', 'via', gateway, 'dev', 'eth0');
  }
}
