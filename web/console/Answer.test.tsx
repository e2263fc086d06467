import { render } from 'preact';
import { expect, it } from 'vitest';
import type { Source } from '../shared/wire';
import { Answer } from './Answer';
import { add, type Told } from './ask';
import { contrary } from './Compare';
import { Desk, type DeskValue } from './load';
import { decisionName } from './TurnView';
import { words } from './words';

const source = { n: 1, entry_id: 'e', title: 't', snippet: '见 https://known.example/a。', url: null, score: 1 } as Source;
const text = '[甲](https://known.example/b) [乙](https://evil.example/c) [丙](https://docs.listed.example/d) [丁](javascript:alert(1))';

function links(linkHosts: string[] | null, decision: 'grounded' | 'direct' | null): string[] {
  const place = document.createElement('div');
  render(<Desk.Provider value={{ linkHosts } as DeskValue}><Answer text={text} of={{ sources: [source], decision }} /></Desk.Provider>, place);
  return [...place.querySelectorAll('a')].map((link) => link.textContent ?? '');
}

it('links an answer to where the widget would', () => {
  expect(links(['listed.example'], 'grounded')).toEqual(['甲', '丙']);
  expect(links([], null)).toEqual(['甲']);
  expect(links([], 'direct')).toEqual(['甲', '乙', '丙']);
  expect(links(null, 'grounded')).toEqual(['甲', '乙', '丙']);
});

it('says under an answer that it has no source, and calls it so', () => {
  const place = document.createElement('div');
  const say = words.en;
  const shown = (unsourced: boolean) => {
    render(<Desk.Provider value={{ say, linkHosts: [] } as unknown as DeskValue}><Answer text="甲" of={{ sources: [], decision: 'none', unsourced }} /></Desk.Provider>, place);
    return place.querySelector('[data-testid=unsourced]')?.textContent;
  };
  expect([shown(true), shown(false)]).toEqual([say.unsourced, undefined]);
  const named = (unsourced: boolean) => decisionName({ decision: 'none', finish_reason: 'stop', status: 'completed', unsourced }, say);
  expect([named(true), named(false)]).toEqual([say.unsourcedAnswer, say.notFound]);
  const frame = { type: 'response.sources' as const, conversation_id: 'c', seq: 1, decision: 'none' as const, sources: [], unsourced: true };
  const none: Told = { response: '', text: '', decision: undefined, sources: [], unsourced: false, done: undefined };
  expect([add(none, frame).unsourced, add(none, { ...frame, unsourced: false }).unsourced]).toEqual([true, false]);
});

it('holds a second row against the first by what it says, not by what it leaves open', () => {
  const there = { question: '保证金多少？', answer: '1000 元。', similar: ['押金'], category: '入驻', source: '规则.xlsx' };
  expect(contrary(there, { question: '保证金多少？', answer: '2000 元。', similar: [], category: null, source: 'new.csv' })).toEqual(['answer']);
  expect(contrary(there, { ...there, category: '财务' })).toEqual(['category']);
});
