import { describe, expect, it } from 'vitest';
import { eventName, isLoopback } from './Channels';
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

it('knows an address that no platform can call', () => {
  for (const near of ['http://127.0.0.1:8787', 'http://localhost', 'http://[::1]:80/x', 'http://0.0.0.0:1']) expect(isLoopback(near), near).toBe(true);
  for (const far of ['https://copilot.example.com', 'http://127.example.com', 'https://localhost.example']) expect(isLoopback(far), far).toBe(false);
});
