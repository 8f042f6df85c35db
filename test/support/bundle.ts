import { build } from 'esbuild';

export interface BundleOptions {
  /** `source`: the packages' own TypeScript; `dist`: what `npm run build` made, as their users get it. */
  from?: 'source' | 'dist';
  minify?: boolean;
}

/**
 * Bundles a module for browsers with everything it imports. Rejects when an import cannot be resolved without Node.
 *
 * @param entry path of the module
 * @param options `from` defaults to `source`, `minify` to false
 */
export async function bundle(entry: string, { from = 'source', minify = false }: BundleOptions = {}): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    platform: 'browser',
    format: 'esm',
    target: 'es2024',
    minify,
    conditions: from === 'source' ? ['mcp-rendezvous-source'] : [],
    logLevel: 'silent',
  });
  return outputFiles[0]!.text;
}
