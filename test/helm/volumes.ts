import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Rendered } from './helm.ts';

interface Item {
  key: string;
  path: string;
}
interface Source {
  secret?: { name: string; items: Item[] };
  configMap?: { name: string; items: Item[] };
}
interface Container {
  env: { name: string; value: string }[];
  ports: { name: string; containerPort: number }[];
  lifecycle: { preStop: { sleep: { seconds: number } } };
  securityContext: Record<string, unknown>;
  volumeMounts: { name: string; mountPath: string }[];
}
export interface PodSpec {
  enableServiceLinks: boolean;
  automountServiceAccountToken: boolean;
  terminationGracePeriodSeconds: number;
  securityContext: Record<string, unknown>;
  containers: [Container];
  volumes: { name: string; projected?: { sources: Source[] } }[];
}
export interface Workload extends Rendered {
  spec: {
    replicas?: number;
    selector: { matchLabels: Record<string, string> };
    template: { metadata: { labels: Record<string, string>; annotations: Record<string, string> }; spec: PodSpec };
  };
}

export const find = (objects: Rendered[], kind: string, name: string): Rendered => {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (!found) throw new Error(`there is no ${kind} ${name}`);
  return found;
};

export const relayOf = (objects: Rendered[]): Workload =>
  find(objects, 'Deployment', 'relay-mcp-rendezvous') as Workload;

/** An entry of a Secret or a ConfigMap, as it would be in a file. */
export function entryOf(objects: Rendered[], kind: string, name: string, key: string): string {
  const { stringData, data } = find(objects, kind, name);
  const value = ((kind === 'Secret' ? stringData : data) as Record<string, string>)[key];
  if (value === undefined) throw new Error(`${kind} ${name} has no ${key}`);
  return value;
}

/**
 * The environment of the relay's container, with the files that it names written below a folder.
 *
 * @param objects those of the release, and Secrets that it takes for granted
 */
export async function environmentOf(objects: Rendered[], folder: string): Promise<Record<string, string>> {
  const { containers, volumes } = relayOf(objects).spec.template.spec;
  const [{ env, volumeMounts }] = containers;
  for (const { name, mountPath } of volumeMounts) {
    const target = join(folder, mountPath);
    await mkdir(target, { recursive: true });
    for (const { secret, configMap } of volumes.find((volume) => volume.name === name)?.projected?.sources ?? []) {
      const source = secret ?? configMap ?? { name: '', items: [] };
      for (const { key, path } of source.items) {
        await writeFile(join(target, path), entryOf(objects, secret ? 'Secret' : 'ConfigMap', source.name, key));
      }
    }
  }
  return Object.fromEntries(env.map(({ name, value }) => [name, name.endsWith('_FILE') ? join(folder, value) : value]));
}
