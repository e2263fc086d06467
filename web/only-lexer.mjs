// Of marked only the lexer is wanted, always with the same options; but its bundle ends in an instance
// with everything attached, which tree-shaking may not drop. So that end is cut off, and the options
// become constants that the minifier can follow. Should a pattern stop fitting a newer marked,
// the panel still works, only bigger, and `npm run size` says so.
export const onlyLexer = {
  name: 'only-marked-lexer',
  transform(code, id) {
    if (!/marked\.esm\.js$/.test(id)) return null;
    const lexer = /\b(\w+) as Lexer\b/.exec(code)?.[1];
    const lean = code
      .replace(/var \w+=new \w+;function[\s\S]*?export\{[^}]*\}/, `export{${lexer} as Lexer}`)
      .replace(/this\.options\.(pedantic|silent|extensions\?\.(block|startBlock|startInline))\b/g, 'null')
      .replace(/this\.options\.(gfm|breaks)\b/g, 'true')
      .replace(/,pedantic:[\w.]+(?=[,}])/g, '');
    return { code: lean, map: null };
  },
};
