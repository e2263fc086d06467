import { expect, it } from 'vitest';
import { diff } from './diff';

const shown = (pieces: { text: string; same: boolean }[]) => pieces.map(({ text, same }) => (same ? text : `[${text}]`)).join('');

it('marks the characters that differ, and whole numbers', () => {
  const { before, after } = diff('保证金 10000 元，次月退还。', '保证金 20000 元，当月全额退还。');
  expect(shown(before)).toBe('保证金 [10000] 元，[次]月退还。');
  expect(shown(after)).toBe('保证金 [20000] 元，[当]月[全额]退还。');
});

it('loses nothing of either text', () => {
  for (const [a, b] of [['', 'neu'], ['alt', ''], ['a b c', 'a c'], ['<b>x</b>', '<i>x</i>'], ['好'.repeat(3000), '坏'.repeat(2000)]] as const) {
    const { before, after } = diff(a, b);
    expect(before.map((piece) => piece.text).join('')).toBe(a);
    expect(after.map((piece) => piece.text).join('')).toBe(b);
  }
});
