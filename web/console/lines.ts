// A shop's words as people write them: one a line, several that mean the same with commas or `=` between them, `#`
// before a remark. The same as `kb words` reads and writes (src/knowledge/words/lines.rs).

import type { ShopWords } from '../shared/wire';

type Words = Pick<ShopWords, 'words' | 'synonyms'>;

export function read(text: string): Words {
  const words: string[] = [];
  const synonyms: string[][] = [];
  for (const line of text.split('\n')) {
    const terms = line.split('#')[0]!.split(/[,，、=;；]/).map((term) => term.trim()).filter(Boolean);
    if (terms.length < 2) {
      words.push(...terms);
      continue;
    }
    // Synonyms of a word that has a group already join that group.
    const known = synonyms.find((group) => group.some((word) => terms.includes(word)));
    if (known) known.push(...terms.filter((term) => !known.includes(term)));
    else synonyms.push([...new Set(terms)]);
  }
  return { words, synonyms };
}

export function write({ words, synonyms }: Words): string {
  return [...words, ...synonyms.map((group) => group.join(', '))].map((line) => `${line}\n`).join('');
}
