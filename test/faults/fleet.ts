import { RelayProcess } from '../support/relay.ts';
import { eventually } from '../support/wait.ts';
import { TcpProxy } from '../support/proxy.ts';

/**
 * Relay instances behind one address, which leads to another living instance with each connection.
 */
export class Fleet {
  readonly instances: RelayProcess[] = [];
  readonly balancer: TcpProxy;
  readonly #env: (index: number) => Record<string, string>;

  private constructor(balancer: TcpProxy, env: (index: number) => Record<string, string>) {
    this.balancer = balancer;
    this.#env = env;
  }

  /**
   * @param env each instance's environment, by its index
   * @param host the address for peers; without it 127.0.0.1
   */
  static async start(size: number, env: (index: number) => Record<string, string>, host?: string): Promise<Fleet> {
    const fleet = new Fleet(await TcpProxy.start([], host), env);
    try {
      await Promise.all(Array.from({ length: size }, (_, index) => fleet.launch(index)));
    } catch (error) {
      await fleet.stop();
      throw error;
    }
    return fleet;
  }

  /** The address for peers. */
  get url(): string {
    return `ws://${this.balancer.host}:${this.balancer.port}`;
  }

  /** Starts the instance at this index (again); resolves when it is ready and reachable. */
  async launch(index: number): Promise<void> {
    const relay = await RelayProcess.start(this.#env(index));
    this.instances[index] = relay;
    await eventually(() => isReady(relay), 30_000, `instance ${index} is ready`);
    this.balancer.targets = this.#ports();
  }

  /** Kills an instance; the balancer finds out by itself. */
  async kill(index: number): Promise<void> {
    await this.instances[index]?.stop('SIGKILL');
  }

  /**
   * Stops an instance orderly. As with any orchestrator, new connections go elsewhere from the
   * beginning.
   */
  async drain(index: number): Promise<void> {
    const relay = this.instances[index];
    this.balancer.targets = this.#ports().filter((port) => port !== portOf(relay));
    if (this.balancer.pinned === portOf(relay)) this.balancer.pinned = undefined;
    await relay?.stop('SIGTERM');
  }

  /** While `work` runs new connections go to this instance only. */
  async at<T>(index: number, work: () => Promise<T>): Promise<T> {
    this.balancer.pinned = portOf(this.instances[index]);
    try {
      return await work();
    } finally {
      this.balancer.pinned = undefined;
    }
  }

  /**
   * The sum of a counter over all instances. @param series such as
   * `rendezvous_outcomes_total{code="unavailable"}`
   */
  async counter(series: string): Promise<number> {
    const values = await Promise.all(
      this.instances.map(async ({ url }) => {
        const lines = (await (await fetch(`${url}/metrics`)).text()).split('\n');
        return Number(lines.find((line) => line.startsWith(`${series} `))?.slice(series.length + 1) ?? 0);
      }),
    );
    return values.reduce((sum, value) => sum + value, 0);
  }

  async stop(): Promise<void> {
    await Promise.all(this.instances.map((relay) => relay.stop('SIGKILL')));
    await this.balancer.stop();
  }

  #ports(): number[] {
    return this.instances.filter(({ exited }) => !exited).map(portOf);
  }
}

const portOf = (relay: RelayProcess | undefined): number => Number(new URL(relay?.url ?? '').port);

/** Whether /readyz says so. False, too, for a process that has ended. */
export const isReady = (relay: RelayProcess): Promise<boolean> =>
  fetch(`${relay.url}/readyz`, { signal: AbortSignal.timeout(5000) }).then(
    ({ status }) => status === 200,
    () => false,
  );
