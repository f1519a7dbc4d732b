// Bundles src/cli/main.ts into dist/vipmap.mjs: one file that starts fast and needs nothing but Node.
import { chmodSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

await build({
  entryPoints: ['src/cli/main.ts'],
  absWorkingDir: fileURLToPath(new URL('..', import.meta.url)),
  outfile: 'dist/vipmap.mjs',
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  // Native: it stays beside the bundle, and where it is missing what needs it says so.
  external: ['koffi'],
  alias: { undici: './scripts/no-undici.mjs' },
  minifyWhitespace: true,
  minifySyntax: true,
  define: { __VIPMAP_VERSION__: JSON.stringify(version) },
  // Some dependencies are CommonJS and ask for Node's modules by require.
  banner: {
    js: "#!/usr/bin/env node\nimport { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);",
  },
});
chmodSync(new URL('../dist/vipmap.mjs', import.meta.url), 0o755);
