import { expect, it } from 'vitest';
import { asAsked, usedFirst } from './Hits';

it('shows what is used above the line, at its place in the ranking', () => {
  const hits = [false, true, false, true].map((passed) => ({ passed }));
  expect(usedFirst(hits).map(([hit, place]) => `${place}${hit.passed ? '' : '-'}`)).toEqual(['2', '4', '1-', '3-']);
});

it('shows found words as they were asked', () => {
  expect(asAsked(['appeal', 'penalti', '扣分'], 'How do I appeal penalties? 扣分')).toEqual(['appeal', 'penalties', '扣分']);
  expect(asAsked(['penalti'], 'a penalty')).toEqual(['penalty']);
  expect(asAsked(['保证金'], 'the deposit')).toEqual(['保证金']);
});
