import { render } from 'preact';
import { act } from 'preact/test-utils';
import { expect, it } from 'vitest';
import { ask, change, emptyChat, type Answer } from '../state';
import { en } from '../words/en';
import { zh } from '../words/zh';
import { Announcer } from './Panel';

/** What is announced of an answer that came in and ended so, line by line. */
function heard(say: typeof zh, end: Partial<Answer>): string[] {
  const answer = { id: 'r', text: '', sources: [], citations: [], suggestions: [], ...end } as unknown as Answer;
  const place = document.createElement('div');
  const asked = change(ask(emptyChat, { id: 't', text: '问', locale: 'zh' }), 't', { delivery: 'accepted', messageId: 'm' });
  // While it runs, at its end, and whatever is drawn anew afterwards: nothing is said twice.
  for (const now of [{ ...answer, status: 'running', text: '' } as const, answer, { ...answer }]) {
    const { turns } = change(asked, 't', { answer: now });
    act(() => render(<Announcer say={say} turn={turns[0]} notice={undefined} />, place));
  }
  return [...place.querySelectorAll('p')].map((line) => line.textContent);
}

it('says at the end of an answer without a source that it has none, once', () => {
  for (const say of [zh, en]) {
    const said = heard(say, { status: 'completed', text: '煮八分钟。', unsourced: true });
    expect(said).toEqual(['煮八分钟。', say.answered.replace('{n}', '0') + say.unsourced]);
  }
  expect(heard(en, { status: 'completed', text: 'Eight minutes.', unsourced: true }).at(-1)).toBe('Answer complete. Sources: 0. (this one has no source)');
});

it('says it of one that was stopped, and not of one with sources or without a word', () => {
  expect(heard(zh, { status: 'cancelled', text: '煮八分钟。', unsourced: true }).at(-1)).toBe(zh.cancelled + zh.unsourced);
  expect(heard(zh, { status: 'cancelled', text: '', unsourced: true })).toEqual([zh.cancelled]);
  expect(heard(zh, { status: 'completed', text: '煮八分钟。', unsourced: false }).join('')).not.toContain(zh.unsourced);
});
