export type Lang = 'zh' | 'en';

/** Chooses the language: what was asked for, else what the page is written in, else the browser's. */
export function chooseLang(wish: string | null | undefined, page = '', browser = ''): Lang {
  for (const tag of [wish, page, browser]) {
    const known = /^(zh|en)\b/i.exec(tag ?? '');
    if (known) return known[1]!.toLowerCase() as Lang;
  }
  return 'en';
}

/** Puts values into a text: `fill('{n} left', {n: 3})`. */
export function fill(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
