import { expect, it } from 'vitest';
import type { Verdict } from '../shared/wire';
import { joined, ruleName } from './Safety';
import { words } from './words';

const verdict = (id: string): Verdict => ({ id, response_id: 'r', stage: 'question', rule: 'personal.phone', action: 'redact', hits: 1, created_ms: 1 });

it('verdicts of one moment on both sides of a cut are listed once', () => {
  expect(joined([verdict('a'), verdict('b')], [verdict('b'), verdict('c')]).map(({ id }) => id)).toEqual(['a', 'b', 'c']);
});

it('a rule has a name in both languages, and one that is new is told by its kind', () => {
  expect(ruleName('personal.phone', words.zh)).toBe('手机号');
  expect(ruleName('personal.tax_number', words.en)).toBe('Personal data');
  expect(ruleName('unheard', words.en)).toBe('unheard');
});
