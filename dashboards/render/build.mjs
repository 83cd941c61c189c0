// Bundles the page into build/. Grafana's components load editors and maps only when a panel needs them.
import { build } from 'esbuild';
import { copyFile, rm } from 'node:fs/promises';

await rm('build', { recursive: true, force: true });
await build({
  entryPoints: ['src/main.tsx'],
  outdir: 'build',
  bundle: true,
  splitting: true,
  format: 'esm',
  jsx: 'automatic',
  logLevel: 'warning',
  define: { 'process.env.NODE_ENV': '"production"' },
  loader: { '.woff2': 'file', '.woff': 'file', '.ttf': 'file', '.svg': 'file' },
});
await copyFile('index.html', 'build/index.html');
