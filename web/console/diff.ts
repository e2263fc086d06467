// What differs between two texts, character by character in Chinese and word by word in Latin scripts.

export interface Piece {
  text: string;
  same: boolean;
}

/** Below this share of what is left in common, two texts are two texts: the few characters they share by chance only confuse. */
const ALIKE = 0.3;
/** Beyond this many pieces on a side only the common ends are the same. */
const MOST = 1200;

function cut(text: string): string[] {
  return text.match(/[a-zA-Z0-9]+|\s+|[^a-zA-Z0-9\s]/gu) ?? [];
}

/** The two texts, cut into what both have and what only one has. */
export function diff(before: string, after: string): { before: Piece[]; after: Piece[] } {
  const [a, b] = [cut(before), cut(after)];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const middle = [a.slice(start, a.length - end), b.slice(start, b.length - end)] as const;
  const shortest = Math.min(middle[0].length, middle[1].length);
  let kept = [new Set<number>(), new Set<number>()];
  if (Math.max(middle[0].length, middle[1].length) <= MOST) {
    const found = common(...middle);
    if (found[0].size >= shortest * ALIKE) kept = found;
  }
  const mark = (all: string[], kept: Set<number>) =>
    join(all.map((text, i) => ({ text, same: i < start || i >= all.length - end || kept.has(i - start) })));
  return { before: mark(a, kept[0]!), after: mark(b, kept[1]!) };
}

/** The places on both sides of a longest common subsequence. */
function common(a: string[], b: string[]): [Set<number>, Set<number>] {
  const width = b.length + 1;
  const length = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const at = i * width + j;
      length[at] = a[i] === b[j] ? length[at + width + 1]! + 1 : Math.max(length[at + width]!, length[at + 1]!);
    }
  }
  const kept: [Set<number>, Set<number>] = [new Set(), new Set()];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const at = i * width + j;
    if (a[i] === b[j]) {
      kept[0].add(i++);
      kept[1].add(j++);
    } else if (length[at + width]! >= length[at + 1]!) i++;
    else j++;
  }
  return kept;
}

function join(pieces: Piece[]): Piece[] {
  const joined: Piece[] = [];
  for (const piece of pieces) {
    const last = joined.at(-1);
    if (last && last.same === piece.same) last.text += piece.text;
    else joined.push({ ...piece });
  }
  return joined;
}
