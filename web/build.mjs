// Builds web/dist: the launcher and the panel as classic scripts, the pages as Vite apps.
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { onlyLexer } from './only-lexer.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const watch = process.argv.includes('--watch') ? {} : null;

const common = { configFile: false, logLevel: 'warn' };
const output = { emptyOutDir: false, reportCompressedSize: false, target: 'es2022', cssTarget: ['chrome108', 'firefox112', 'safari16.4'], watch };

/** What the minifier of styles leaves: switches for `light-dark()`, which nothing here uses, and spaces after commas. */
const leanStyles = {
  name: 'lean-styles',
  enforce: 'post',
  transform: (code, id) => (id.endsWith('.css?inline') ? { code: code.replace(/--lightningcss-(light|dark): ?(initial)?;|(?<=,) /g, ''), map: null } : null),
};

// One self-contained classic script. With `preact` JSX becomes _h(…), imported from there into every
// file: shorter than the JSX runtime.
function script(entry, file, { preact, alias } = {}) {
  const oxc = { jsx: { runtime: 'classic', pragma: '_h', pragmaFrag: '_F' } };
  if (preact) oxc.jsxInject = "import { h as _h, Fragment as _F } from 'preact'";
  return {
    ...common,
    oxc,
    plugins: [onlyLexer, leanStyles],
    resolve: { alias },
    define: { 'process.env.NODE_ENV': '"production"' },
    build: {
      ...output,
      outDir: here('dist'),
      lib: { entry: here(entry), formats: ['iife'], name: 'mc', fileName: () => file },
    },
  };
}

function page(name, base, outDir, assetsDir) {
  const files = { entryFileNames: `${assetsDir}/${name}-[hash].js`, assetFileNames: `${assetsDir}/${name}-[hash][extname]` };
  return {
    ...common,
    root: here(name),
    base,
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
    build: { ...output, outDir: here(outDir), assetsDir, modulePreload: false, rolldownOptions: { output: files } },
  };
}

await rm(here('dist'), { recursive: true, force: true });
await build(script('widget/launcher.ts', 'widget.js'));
await build(script('widget/panel.tsx', 'widget/panel.js', { preact: true }));
// What is loaded after the panel borrows Preact from it.
const borrowed = here('widget/borrowed.ts');
await build(script('widget/sheets.script.ts', 'widget/sheets.js', { preact: true, alias: { 'preact/hooks': borrowed, preact: borrowed } }));
for (const lang of ['zh', 'en']) await build(script(`widget/words/${lang}.script.ts`, `widget/${lang}.js`));
// The server hands out assets only from /console/assets/, so the demo page's live there too.
await build(page('demo', '/', 'dist', 'console/assets'));
await build(page('console', '/console/', 'dist/console', 'assets'));
