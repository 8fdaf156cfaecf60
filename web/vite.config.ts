import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** Leaves a `.gz` beside each file, so that the server need not pack it for each request. */
const packed: Plugin = {
  name: 'packed',
  apply: 'build',
  enforce: 'post',
  async generateBundle(_, bundle) {
    for (const [name, file] of Object.entries(bundle)) {
      const content = file.type === 'chunk' ? file.code : file.source;
      const blob = new Blob([typeof content === 'string' ? content : new Uint8Array(content)]);
      const gzip = blob.stream().pipeThrough(new CompressionStream('gzip'));
      const source = new Uint8Array(await new Response(gzip).arrayBuffer());
      this.emitFile({ type: 'asset', fileName: `${name}.gz`, source });
    }
  },
};

export default defineConfig({
  // Relative, so that the built page works wherever it is served.
  base: './',
  plugins: [packed],
  server: { port: 5173, strictPort: true },
  preview: { port: 5173, strictPort: true },
  build: {
    target: 'es2022',
    // The Content-Security-Policy allows no inline script, and `img-src data:` is for small pictures only.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
  test: { environment: 'node', include: ['src/**/*.test.ts'] },
});
