import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { eventually } from '../support/wait.ts';

const run = promisify(execFile);
const top = fileURLToPath(new URL('../..', import.meta.url));

/** Who is in a room, as the relay tells operators. */
export interface Presence {
  id: string;
  role: 'server' | 'client';
  state: 'online' | 'away';
  instance: string;
}

/** The containers of docker-compose.yml, as a project of the tests' own. */
export class Stack {
  readonly project = 'rendezvous-test';
  /** For docker-compose.yml: what an operator would write into .env. It is not to take long. */
  settings: Record<string, string> = { DRAIN_WINDOW_MS: '1000' };

  /** Runs a program in the repository's folder; rejects with what it said when it fails. */
  async run(command: string, ...args: string[]): Promise<string> {
    const env = { ...process.env, COMPOSE_PROJECT_NAME: this.project, COMPOSE_ANSI: 'never', ...this.settings };
    try {
      return (await run(command, args, { cwd: top, env, maxBuffer: 2 ** 26 })).stdout.trim();
    } catch (error) {
      const { stderr = '', stdout = '' } = error as { stderr?: string; stdout?: string };
      throw new Error(`${command} ${args.join(' ')} failed:\n${(stdout + stderr).slice(-4000)}`, { cause: error });
    }
  }

  /** Runs a document's commands in the repository's folder; `mcp-rendezvous` is what was built. */
  sh(script: string): Promise<string> {
    // A shell's function cannot have this name; npm has linked the command, and the Node for it.
    return this.run('sh', '-euc', `PATH='${top}node_modules/.bin':"$PATH"\n${script}`);
  }

  docker(...args: string[]): Promise<string> {
    return this.run('docker', ...args);
  }

  compose(...args: string[]): Promise<string> {
    return this.docker('compose', ...args);
  }

  /** Starts what is not running, or not running so; resolves when everything is healthy. */
  up(...more: string[]): Promise<string> {
    return this.compose('up', '--detach', '--wait', ...more);
  }

  /** Ends everything, with the volumes; resolves with what is left of it in spite of that. */
  async down(): Promise<string> {
    await this.compose('--profile', '*', 'down', '--volumes', '--remove-orphans');
    const mine = ['--quiet', '--filter', `label=com.docker.compose.project=${this.project}`];
    const left = [
      this.docker('ps', '--all', ...mine),
      this.docker('volume', 'ls', ...mine),
      this.docker('network', 'ls', ...mine),
    ];
    return (await Promise.all(left)).join('');
  }

  /** The ids of a service's running containers. */
  async containers(service: string): Promise<string[]> {
    return (await this.compose('ps', '--quiet', service)).split('\n').filter(Boolean);
  }

  /** The instances of the relay that have peers. */
  async busy(): Promise<string[]> {
    const ids = await this.containers('relay');
    const read = "process.stdout.write(await (await fetch('http://127.0.0.1:8787/metrics')).text())";
    const metrics = await Promise.all(ids.map((id) => this.docker('exec', id, 'node', '--eval', read)));
    return ids.filter((_, index) => /^rendezvous_peers\{[^}]*\} [1-9]/m.test(metrics[index] ?? ''));
  }

  /** How many containers of the service are found healthy. */
  async ready(service: string): Promise<number> {
    const labels = [`project=${this.project}`, `service=${service}`];
    const filters = labels.flatMap((label) => ['--filter', `label=com.docker.compose.${label}`]);
    return (await this.docker('ps', '--quiet', '--filter', 'health=healthy', ...filters)).split('\n').filter(Boolean)
      .length;
  }

  /** Resolves when the container is found healthy. */
  async healthy(container: string): Promise<void> {
    const status = () => this.docker('inspect', '--format', '{{.State.Health.Status}}', container);
    await eventually(async () => (await status()) === 'healthy', 60_000);
  }

  /** A file in a running container of the service. */
  read(service: string, path: string): Promise<string> {
    return this.compose('exec', '-T', service, 'cat', path);
  }

  /** From now on this process believes Caddy's own authority; resolves with its certificate. */
  async trustCaddy(): Promise<string> {
    const authority = await this.read('caddy', '/data/caddy/pki/authorities/local/root.crt');
    setDefaultCACertificates([...getCACertificates('default'), authority]);
    return authority;
  }

  /** Who is in the room; nobody while the relay has no Redis. */
  async peers(room: string): Promise<Presence[]> {
    const token = await this.read('relay', '/run/keys/admin-token');
    const response = await fetch(`http://localhost:8080/v1/rooms/${room}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    if ([404, 502, 503].includes(response.status)) return [];
    assert.equal(response.status, 200);
    return ((await response.json()) as { peers: Presence[] }).peers;
  }
}
