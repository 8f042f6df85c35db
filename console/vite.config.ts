import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

/** The console as static files in the relay's `dist/console`. */
const config = defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  // Relative, so that a proxy may serve the relay below a path.
  base: './',
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
