// An answer's Markdown in a line or two of a list: what it says, without the signs that lay it out.

/** As much as a preview can show. */
const MOST = 400;
/** As much as a line about what was done can. */
const FEW = 24;

/** The beginning of a text, enough to know it again. */
export function short(text: string): string {
  const line = plain(text).trim().replace(/\s+/g, ' ');
  const signs = [...line];
  return signs.length > FEW ? `${signs.slice(0, FEW).join('')}…` : line;
}

export function plain(text: string): string {
  return text
    .slice(0, MOST)
    .replace(/^\s*\|?(\s*:?-+:?\s*\|)+(\s*:?-+:?\s*)?$/gm, '') // the rule under a table's head
    .replace(/^[ \t]*\|[ \t]*|[ \t]*\|[ \t]*$/gm, '')
    .replace(/[ \t]*\|[ \t]*/g, '　')
    .replace(/^\s*(#{1,6}|>)\s+/gm, '')
    .replace(/\*\*(\S(?:.*?\S)?)\*\*/g, '$1')
    .replace(/\n{2,}/g, '\n');
}
