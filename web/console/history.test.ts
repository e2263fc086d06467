import { expect, it } from 'vitest';
import { changedLines } from './PromptHistory';
import { used } from './Prompts';
import { address, parse } from './route';
import { cell } from './report';

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
  expect(cell('a,b')).toBe('"a,b"');
  expect(cell(undefined)).toBe('');
});
