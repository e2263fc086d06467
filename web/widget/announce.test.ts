import { expect, it } from 'vitest';
import { sentences } from './announce';

it('says whole sentences, once each', () => {
  const text = '保证金是一万元。签约后 15 日';
  const first = sentences(text, 0, false);
  expect(first).toEqual({ said: '保证金是一万元。', next: 8 });
  expect(sentences(text, first.next, false)).toEqual({ said: '', next: 8 });
  expect(sentences(text + '内缴纳！', first.next, false).said).toBe('签约后 15 日内缴纳！');
});

it('does not stop inside a number', () => {
  expect(sentences('The rate is 3.5 per cent. More', 0, false).said).toBe('The rate is 3.5 per cent.');
});

it('says the rest at the end, without Markdown', () => {
  expect(sentences('- **甲** [1]\n| a | b |\n|---|---|\n看 [规则](https://example.com)', 0, true).said).toBe('- 甲 a b 看 规则');
});
