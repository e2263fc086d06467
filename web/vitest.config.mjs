import { defineConfig } from 'vitest/config';
import { onlyLexer } from './only-lexer.mjs';

export default defineConfig({
  // The tests see the same trimmed lexer as the build.
  plugins: [onlyLexer],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  // One test holds the words against the codes in the server's source.
  server: { fs: { allow: ['..'] } },
  test: {
    environment: 'happy-dom',
    include: ['{shared,widget,console,demo}/**/*.test.{ts,tsx}'],
    server: { deps: { inline: ['marked'] } },
  },
});
