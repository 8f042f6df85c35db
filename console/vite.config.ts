import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

/** Adds a compressed copy of each asset, which the relay serves in its place. */
const compressed: Plugin = {
  name: 'compressed',
  async writeBundle({ dir = '' }, bundle) {
    const assets = Object.keys(bundle).filter((name) => name.startsWith('assets/'));
    const compress = async (name: string): Promise<void> => {
      const path = join(dir, name);
      await writeFile(`${path}.gz`, gzipSync(await readFile(path), { level: 9 }));
    };
    await Promise.all(assets.map(compress));
  },
};

/** The console as static files in the relay's `dist/console`. */
const config = defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  // Relative, so that a proxy may serve the relay below a path.
  base: './',
  plugins: [compressed],
  resolve: { conditions: ['mcp-rendezvous-source', 'module', 'browser', 'production'] },
  build: {
    outDir: '../server/dist/console',
    emptyOutDir: true,
    target: 'es2024',
    // Small files inlined as data: URLs would be the same bytes in every page instead of once in
    // the cache.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});

// oxlint-disable-next-line import/no-default-export -- what Vite reads
export default config;
