import { expect, it } from 'vitest';
import { across, bars, reach } from './Bars';

it('draws from zero, the highest as high as the chart, and nothing where there is no value', () => {
  const drawn = bars([{ name: 'a', value: 5 }, { name: 'b', value: null }, { name: 'c', value: 10 }, { name: 'd', value: 0 }], 100, 50);
  expect(drawn.map((bar) => bar.height)).toEqual([25, 0, 50, 0]);
  expect(drawn.every((bar) => bar.x >= 0 && bar.x + bar.width <= 100)).toBe(true);
});

it('keeps zeros on the ground', () => {
  expect(bars([{ name: 'a', value: 0 }, { name: 'b', value: 0 }]).every((bar) => bar.height === 0)).toBe(true);
});

it('lets the longest lying bar reach to the end and gives nothing to what has no value', () => {
  expect(reach([{ name: 'a', value: 2 }, { name: 'b', value: null }, { name: 'c', value: 8 }])).toEqual([0.25, 0, 1]);
  expect(reach([{ name: 'a', value: 0 }])).toEqual([0]);
  expect(reach([])).toEqual([]);
});

it('leaves no chart alone in its row', () => {
  for (let charts = 2; charts <= 9; charts++) expect(charts % across(charts), `${charts} charts`).not.toBe(1);
});
