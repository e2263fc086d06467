// What a screen reader hears of a growing answer: whole sentences, once each, without Markdown.

const END = /[。！？!?…]+["”’」』）)]*|\.(?=\s)|\n+/g;

/** The complete sentences of `text` after `from`, and where to go on; `done` takes the rest as well. */
export function sentences(text: string, from: number, done: boolean): { said: string; next: number } {
  let next = from;
  END.lastIndex = from;
  for (let match = END.exec(text); match; match = END.exec(text)) next = match.index + match[0].length;
  if (done) next = text.length;
  return { said: plain(text.slice(from, next)), next };
}

function plain(markdown: string): string {
  return markdown
    .replace(/\[\d{1,3}\]/g, '')
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/^\s*\|?[\s:|-]{3,}\|?\s*$/gm, '')
    .replace(/[*_`#>|~]+/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
}
