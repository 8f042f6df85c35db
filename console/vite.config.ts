import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

/** Adds a compressed copy of each asset, which the relay serves in its place. */
const compressed: Plugin = {
  name: 'compressed',
  enforce: 'post',
  generateBundle(_options, bundle) {
    for (const file of Object.values(bundle)) {
      if (!file.fileName.startsWith('assets/')) continue;
      const source = gzipSync(file.type === 'chunk' ? file.code : file.source, { level: 9 });
      this.emitFile({ type: 'asset', fileName: `${file.fileName}.gz`, source });
    }
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
    // Small files inlined as data: URLs would be the same bytes in every page instead of once in the cache.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});

// oxlint-disable-next-line import/no-default-export -- what Vite reads
export default config;
