import { expect, it } from 'vitest';
import { changedLines } from './PromptHistory';
import { used } from './Prompts';
import { address, parse } from './route';
import { cell, line } from './report';
import { words } from './words';

it('finds the lines of a prompt that differ, also repeated ones', () => {
  expect(changedLines('a\nb\nb\nc', 'a\nb\nd')).toEqual({ gone: ['b', 'c'], come: ['d'] });
  expect(changedLines('same', 'same')).toEqual({ gone: [], come: [] });
});

it('knows the variables that a template’s body names', () => {
  const text = '+++\nname = "answer.zh"\n[variables]\nmarket = "string?"\nshop = "string"\n+++\n你是{{ shop }}的助手。';
  expect([used(text, 'shop'), used(text, 'market')]).toEqual([true, false]);
});

it('keeps a page and what narrows it down in the address', () => {
  const route = parse(address('knowledge', { q: '满减 & 100%', market: '', id: undefined }));
  expect([route.page, [...route.values]]).toEqual(['knowledge', [['q', '满减 & 100%']]]);
});

it('gives a spreadsheet nothing to run', () => {
  expect(cell('=HYPERLINK("x")')).toBe('"\'=HYPERLINK(""x"")"');
  for (const run of ['=1', '+1', '-1', '@x', '\tx', "'=1", "''-1"]) expect(cell(run)).toBe(`'${run}`);
  for (const run of ['\rx', '\nx']) expect(cell(run)).toBe(`"'${run}"`);
  for (const text of ["'tis", "'", '1=1', '五折']) expect(cell(text)).toBe(text);
  expect(cell('a,b')).toBe('"a,b"');
  expect(cell(-5)).toBe('-5');
  expect(cell(undefined)).toBe('');
});

it('reports a row with all its cells, none of which a spreadsheet runs', () => {
  const cells = { id: 'x', question: '满减', market: 'JP', similar: '["a","b"]', valid_to: '明天', answer: '-5 元' };
  const row = { n: 0, fate: 'failed', file: 'a.csv', row: 2, code: 'bad_date', message: 'no date', cells } as const;
  const told = line(row, words.en);
  expect(told).toMatch(/^a\.csv,,2,failed,bad_date,/);
  expect(told).toMatch(/,x,满减,"\[""a"",""b""\]",,'-5 元,,,JP,,,明天,,,$/);
});
