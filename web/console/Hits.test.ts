import { expect, it } from 'vitest';
import { cutsAt } from './Hits';

it('draws the threshold where the used hits end', () => {
  const hits = [true, true, false, false].map((passed) => ({ passed }));
  expect(hits.map((_, i) => cutsAt(hits, i))).toEqual([false, false, true, false]);
  expect(cutsAt([{ passed: false }], 0)).toBe(true);
  expect(cutsAt([{ passed: false }, { passed: true }], 0)).toBe(false);
});
