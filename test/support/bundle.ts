import { isBuiltin } from 'node:module';
import { build as buildWithEsbuild } from 'esbuild';
import { build as buildWithVite, type Plugin } from 'vite';

export interface BundleOptions {
  with?: 'esbuild' | 'vite';
  /**
   * `source`: the packages' own TypeScript; `dist`: what `npm run build` made, as their users get
   * it.
   */
  from?: 'source' | 'dist';
  minify?: boolean;
}

/**
 * Bundles a module for browsers with everything it imports. Rejects when an import cannot be
 * resolved without Node.
 *
 * @param entry path of the module
 * @param options `with` defaults to esbuild, `from` to `source`, `minify` to false
 */
export async function bundle(entry: string, options: BundleOptions = {}): Promise<string> {
  const { with: bundler = 'esbuild', from = 'source', minify = false } = options;
  const conditions = from === 'source' ? ['mcp-rendezvous-source'] : [];
  return bundler === 'vite' ? await vite(entry, conditions, minify) : await esbuild(entry, conditions, minify);
}

async function esbuild(entry: string, conditions: string[], minify: boolean): Promise<string> {
  const { outputFiles } = await buildWithEsbuild({
    entryPoints: [entry],
    bundle: true,
    write: false,
    platform: 'browser',
    format: 'esm',
    target: 'es2024',
    minify,
    conditions,
    logLevel: 'silent',
  });
  return outputFiles[0]!.text;
}

async function vite(entry: string, conditions: string[], minify: boolean): Promise<string> {
  const results = await buildWithVite({
    configFile: false,
    logLevel: 'silent',
    plugins: [withoutNode],
    resolve: { conditions: [...conditions, 'module', 'browser', 'production'] },
    build: {
      write: false,
      target: 'es2024',
      minify,
      modulePreload: { polyfill: false },
      rolldownOptions: { input: entry, preserveEntrySignatures: 'strict', output: { codeSplitting: false } },
    },
  });
  // Neither watched, nor in several formats.
  const outputs = 'output' in results ? results.output : [];
  const chunks = outputs.flatMap((output) => (output.type === 'chunk' ? [output.code] : []));
  if (chunks.length !== 1) throw new Error(`${entry} became ${chunks.length} files.`);
  return chunks[0]!;
}

/** Vite would put an empty module where Node's is, with a warning only. */
const withoutNode: Plugin = {
  name: 'without-node',
  enforce: 'pre',
  resolveId(id, importer) {
    if (isBuiltin(id)) throw new Error(`${importer} needs ${id}`);
  },
};
