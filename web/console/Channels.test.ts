import { describe, expect, it } from 'vitest';
import { eventName } from './Channels';
import { why } from './Deliveries';
import { rank } from './Questions';
import { words } from './words';

describe('what did not arrive', () => {
  it('says why in words, also what it has none for', () => {
    expect(why('http_503', words.zh.deliveryProblems)).toBe('对方返回 503');
    expect(why('timeout', words.en.deliveryProblems)).toContain('in time');
    expect(why('something_new', words.en.deliveryProblems)).toBe('something_new');
    expect(eventName('entry.unheard', words.zh.eventNames)).toBe('entry.unheard');
  });

  it('has the same words in both languages', () => {
    expect(Object.keys(words.en.deliveryProblems)).toEqual(Object.keys(words.zh.deliveryProblems));
    expect(Object.keys(words.en.eventNames)).toEqual(Object.keys(words.zh.eventNames));
  });
});

it('a row that is not found has no rank', () => {
  expect([rank({ rank: 3 }), rank({ rank: null })]).toEqual(['3', '–']);
});
