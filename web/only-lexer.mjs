// Of marked only the lexer is wanted, always with the same options; but its bundle ends in an instance
// with everything attached, which tree-shaking may not drop. So that end is cut off, the options become
// constants that the minifier can follow, and the grammars that they leave out are dropped. Blocks of HTML
// and definitions of links go with them: the panel shows both as the text they are, in a paragraph like
// any other, and `[1]:` may be a source. Should a pattern stop
// fitting a newer marked, the panel still works, only bigger, and `npm run size` says so.
export const onlyLexer = {
  name: 'only-marked-lexer',
  transform(code, id) {
    if (!/marked\.esm\.js$/.test(id)) return null;
    const lexer = /\b(\w+) as Lexer\b/.exec(code)?.[1];
    let lean = code
      .replace(/var \w+=new \w+;function[\s\S]*?export\{[^}]*\}/, `export{${lexer} as Lexer}`)
      .replace(/this\.options\.(pedantic|silent|extensions\?\.(block|startBlock|startInline))\b/g, 'null')
      .replace(/this\.options\.(gfm|breaks)\b/g, 'true')
      .replace(/"address\|article\|[\w|[\]-]+"/, '"div"');
    for (const [, name] of code.matchAll(/,pedantic:(\w+)\}/g)) lean = lean.replace(new RegExp(`\\b${name}=\\{\\.{3}[\\s\\S]*?getRegex\\(\\)\\}`), `${name}=0`);
    for (const rule of ['html', 'def']) {
      const [, name] = new RegExp(`,${rule}:(\\w+),`).exec(code) ?? [];
      if (name) lean = lean.replace(new RegExp(`\\b${name}=\\w+\\([\\s\\S]*?getRegex\\(\\)`), `${name}=/(?!)/`);
    }
    return { code: lean.replace(/,pedantic:[\w.]+(?=[,}])/g, ''), map: null };
  },
};
