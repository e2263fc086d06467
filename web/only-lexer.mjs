// Of marked only the lexer is wanted, always with the same options; but its bundle ends in an instance
// with everything attached, which tree-shaking may not drop. So that end is cut off, the options become
// constants that the minifier can follow, and what they leave out is dropped: grammars, the defaults, and
// expressions of the renderer. Blocks of HTML
// and definitions of links go with them: the panel shows both as the text they are, in a paragraph like
// any other, and `[1]:` may be a source; without definitions no link can refer to one. Should a pattern stop
// fitting a newer marked, the panel still works, only bigger, and `npm run size` says so.

/** Expressions that only the renderer, the pedantic grammar and definitions look at. */
const UNUSED = [
  'escapeTest', 'escapeReplace', 'escapeTestNoEncode', 'escapeReplaceNoEncode', 'percentDecode', 'pedanticHrefTitle', 'spaceLine',
  'listReplaceNesting', 'notSpaceStart', 'endingNewline', 'multipleSpaceGlobal', 'hrefBrackets', 'startPreScriptTag', 'endPreScriptTag',
];

/** From a beginning up to what comes next, both as they stand in the code. */
const upTo = (from, next) => new RegExp(`${from}[\\s\\S]*?(?=${next})`);

/** The parts of the tokenizer that nothing reaches any more, each with the calls of it. */
const PARTS = [
  upTo('html\\(e\\)\\{let t=this\\.rules', 'table\\(e\\)\\{'), // and def
  upTo('if\\(\\w=this\\.tokenizer\\.html\\(e\\)\\)', 'if\\(\\w=this\\.tokenizer\\.table\\('),
  upTo('reflink\\(e,t\\)\\{', 'emStrong\\(e,'),
  upTo('if\\(\\w=this\\.tokenizer\\.reflink\\(', 'if\\(\\w=this\\.tokenizer\\.emStrong\\('),
  /if\(this\.tokens\.links\)\{[\s\S]*?reflinkSearch\.lastIndex\)\)?\}/,
  /this\.tokens\.links=Object\.create\(null\),/,
  /static get rules\(\)\{return\{[^}]*\}\}static lex\([^}]*\}static lexInline\([^}]*\}/,
  // Only the renderer asks whether a text stands in <pre>.
  /,!this\.lexer\.state\.inRawBlock&&[\s\S]*?inRawBlock=!1\)/,
  /inRawBlock:this\.lexer\.state\.inRawBlock,/,
  /let \w=this\.lexer\.state\.inRawBlock;(?=return\{type:"text")/,
  /,escaped:\w(?=\})/,
  /,inRawBlock:!1/,
  // What the panel does not look at in a token.
  /codeBlockStyle:"indented",/,
  /lang:t\[2\]\?[^,]*,"\$1"\):t\[2\],/,
  /,\w=\w\.title\|\|null/,
  /title:\w,(?=text:\w,tokens)/,
  /,title:\w&&\w\.replace\([^)]*\)/,
  /inLink:this\.lexer\.state\.inLink,/,
  /block:!1,(?=text)/,
  /depth:t\[1\]\.length,/,
  /depth:t\[2\]\.charAt\(0\)==="="\?1:2,/,
  /header:!0,(?=align)/,
  /header:!1,(?=align)/,
  /,checked:\w\[0\]!=="\[ \]"/,
  /\w\.checked=\w\.checked,/,
  /loose:!1,(?=text)/,
  /\w\.loose=!0;(?=for)/,
  // What has tokens is drawn by them; the texts of paragraphs and of plain text are joined to others.
  /text:\w(?:\[\w\])?,(?=tokens:this\.lexer\.inline\(\w(?:\[\w\])?\),align)/g,
  /(?<=type:"(?:heading|em|strong|del)",raw:(?:t\[0\]|\w),)text:\w,/g,
  // Rules that those of GitHub's dialect stand instead of, and sets of them that it is only made from.
  /_backpedal:\w+,(?=any)/,
  /del:\w+,delLDelim:\w+,delRDelim:\w+,emStrongLDelim:\w+,emStrongRDelimAst:\w+,/,
  /,url:\w+(?=\})/,
  /normal:\w+,(?:gfm:\w+,(?=breaks)|(?=gfm))/g,
  // What the rules of GitHub's dialect are there instead of, and one that its tokenizer has two others for.
  /text:\w+,(?=url:\w+\})/,
  /del:\/\^\(~~\?\)[\s\S]*?(?=text:\w+\()/,
];

export const onlyLexer = {
  name: 'only-marked-lexer',
  transform(code, id) {
    if (!/marked\.esm\.js$/.test(id)) return null;
    const lexer = /\b(\w+) as Lexer\b/.exec(code)?.[1];
    let lean = code
      .replace(/var \w+=new \w+;function[\s\S]*?export\{[^}]*\}/, `export{${lexer} as Lexer}`)
      .replace(/this\.options\.(pedantic|silent|extensions\?\.(block|startBlock|startInline))\b/g, 'null')
      .replace(/this\.options\.(gfm|breaks)\b/g, 'true')
      .replace(/"address\|article\|[\w|[\]-]+"/, '"div"')
      .replace(/return\{async:[^}]*\}/, 'return{}')
      .replace(/let \w=\{other:(\w+),block:(\w+)\.normal,inline:(\w+)\.normal\};[\s\S]*?this\.tokenizer\.rules=\w/, 'this.tokenizer.rules={other:$1,block:$2.gfm,inline:$3.breaks}')
      .replace(/this\.options\.tokenizer=this\.options\.tokenizer\|\|(new \w+),this\.tokenizer=this\.options\.tokenizer,this\.tokenizer\.options=this\.options,/, 'this.tokenizer=$1,')
      .replace(/options;(?=rules)|(?<=rules;lexer;)constructor\(e\)\{this\.options=e\|\|\w+\}/g, '')
      .replace(/(?<=this\.options=e)\|\|\w+/, '')
      .replace(/\w=this\.options\.hooks\?\.emStrongMask[^;]*;/, '')
      .replace(/let \w="Infinite loop[\s\S]*?throw new Error\(\w\)/g, 'throw Error()')
      // Every browser that the widget runs in looks behind.
      .replace(/\(\(\)=>\{try\{return!!new RegExp\("\(\?<=1\)[^}]*\}catch\{return!1\}\}\)\(\)/, 'true')
      .replace(/,nolink:\w+(?=,punctuation)|,reflink:\w+,reflinkSearch:\w+/g, '');
    for (const part of PARTS) lean = lean.replace(part, '');
    for (const name of UNUSED) lean = lean.replace(new RegExp(`\\b${name}:/(?:\\\\.|\\[(?:\\\\.|[^\\]])*\\]|[^/\\\\[])+/\\w*,`), '');
    for (const [, name] of code.matchAll(/,pedantic:(\w+)\}/g)) lean = lean.replace(new RegExp(`\\b${name}=\\{\\.{3}[\\s\\S]*?getRegex\\(\\)\\}`), `${name}=0`);
    // `lheading` as it is without tables, and emphasis without strokes: with them there are others.
    for (const rule of ['html', 'def', 'lheading', 'reflink', 'nolink', 'reflinkSearch', 'emStrongLDelim', 'emStrongRDelimAst']) {
      const [, name] = new RegExp(`,${rule}:(\\w+),`).exec(code) ?? [];
      if (name) lean = lean.replace(new RegExp(`\\b${name}=\\w+\\([\\s\\S]*?getRegex\\(\\)`), `${name}=/(?!)/`);
    }
    // The expressions by the name of what holds them: one that no variable of a function stands before.
    const [held, holder] = /\b(\w+)=\{codeRemoveIndent:/.exec(lean) ?? [];
    if (holder) lean = `var mcOther;${lean.replace(held, held.replace('={', '=mcOther={')).replace(/this\.rules\.other\./g, 'mcOther.')}`;
    return { code: lean.replace(/,pedantic:[\w.]+(?=[,}])/g, ''), map: null };
  },
};
