import { describe, expect, it } from 'vitest';
import { words as consoleWords } from '../console/words';
import { why } from '../widget/words';
import { en } from '../widget/words/en';
import { zh } from '../widget/words/zh';
import { chooseLang, fill } from './i18n';

const widgetWords = { zh, en };

/** Words by `group.name`. What the server says itself, in English, has words in Chinese only. */
function flat(words: object, before = ''): Record<string, string> {
  return Object.fromEntries(
    Object.entries(words).flatMap(([name, value]): [string, string][] => {
      if (/problems$/i.test(name)) return [];
      return typeof value === 'string' ? [[before + name, value]] : Object.entries(flat(value as object, `${before}${name}.`));
    }),
  );
}

describe.each([
  ['widget', widgetWords],
  ['console', consoleWords],
])('%s words', (_, { zh, en }) => {
  const [both, other] = [flat(zh), flat(en)];

  it('exist in both languages', () => {
    expect(Object.keys(other).sort()).toEqual(Object.keys(both).sort());
    for (const text of [...Object.values(both), ...Object.values(other)]) expect(text.trim()).not.toBe('');
  });

  it('fill in the same values', () => {
    const slots = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();
    for (const key of Object.keys(both)) expect(slots(other[key]!), key).toEqual(slots(both[key]!));
  });

  it('are written in their own script, and do not shout', () => {
    for (const [key, text] of Object.entries(other)) expect(text, key).not.toMatch(/[\u4e00-\u9fff]/);
    for (const text of [...Object.values(both), ...Object.values(other)]) expect(text).not.toMatch(/[!！]/);
  });
});

it('has words for every close code the contract names', () => {
  for (const code of [4400, 4401, 4403, 4409, 4429, 1009]) expect(widgetWords.zh).toHaveProperty(`close${code}`);
  expect(widgetWords.zh.slow).toBeTruthy(); // 4408 and 1013
});

it('tells an error in its own words where waiting helps, else in the server’s', () => {
  expect(why(widgetWords.zh, { code: 'model_rate_limited', message: 'busy', retryable: true })).toBe(widgetWords.zh.busy);
  expect(why(widgetWords.zh, { code: 'database_busy', message: 'busy', retryable: true })).toBe(widgetWords.zh.unavailable);
  expect(why(widgetWords.zh, { code: 'model_unfinished', message: '模型想得太久。', retryable: true })).toBe('模型想得太久。');
  expect(why(widgetWords.en, { code: 'message_empty', message: 'The message has no text.', retryable: false })).toBe('The message has no text.');
  expect(why(widgetWords.en, undefined)).toBe(widgetWords.en.unavailable);
});

it('chooses the wish, then the page, then the browser', () => {
  expect(chooseLang('en', 'zh-CN', 'zh')).toBe('en');
  expect(chooseLang('auto', 'zh-Hans', 'en-US')).toBe('zh');
  expect(chooseLang(undefined, 'fr', 'zh-CN')).toBe('zh');
  expect(chooseLang(undefined, '', 'fr')).toBe('en');
});

it('fills slots and leaves unknown ones', () => {
  expect(fill('{n} of {max}', { n: 0 })).toBe('0 of {max}');
});
