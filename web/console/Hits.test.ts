import { expect, it } from 'vitest';
import { asAsked, cutsAt } from './Hits';

it('draws the threshold where the used hits end', () => {
  const hits = [true, true, false, false].map((passed) => ({ passed }));
  expect(hits.map((_, i) => cutsAt(hits, i))).toEqual([false, false, true, false]);
  expect(cutsAt([{ passed: false }], 0)).toBe(true);
  expect(cutsAt([{ passed: false }, { passed: true }], 0)).toBe(false);
});

it('shows found words as they were asked', () => {
  expect(asAsked(['appeal', 'penalti', '扣分'], 'How do I appeal penalties? 扣分')).toEqual(['appeal', 'penalties', '扣分']);
  expect(asAsked(['penalti'], 'a penalty')).toEqual(['penalty']);
  expect(asAsked(['保证金'], 'the deposit')).toEqual(['保证金']);
});
