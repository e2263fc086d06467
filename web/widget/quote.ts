/** Splits a row's text into before, quoted and after. White space and outer dots need not agree. */
export function quote(text: string, snippet: string | null | undefined): [string, string, string] {
  const signs = (snippet ?? '').replace(/^[.…]+|[.…]+$|\s+/g, '');
  const pattern = [...signs].map((sign) => sign.replace(/[\\^$.*+?()[\]{}|]/, '\\$&')).join('\\s*');
  const found = signs && new RegExp(pattern).exec(text);
  if (!found) return [text, '', ''];
  const end = found.index + found[0].length;
  return [text.slice(0, found.index), found[0], text.slice(end)];
}
