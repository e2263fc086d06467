// Every code that the server's source gives an error has words in Chinese, or a page would show an English sentence.

import { describe, expect, it } from 'vitest';
import { words } from '../words';

const sources = import.meta.glob<string>('../../../src/**/*.rs', { query: '?raw', import: 'default', eager: true });

/** Where errors are made that no page of the console can meet: the command line, starting, and other wires. */
const ELSEWHERE = /\/src\/(cli\/|app\.rs|config|db\.rs|http\/(local_dingtalk|ws|openai)\/|http\/mcp\.rs)|\/tests?(\/|\.rs)/;

/** `internal` is left out: those are told as such, whatever their code, and the log has the rest. */
const CODE = new RegExp(
  [
    /\b(?:unauthenticated|forbidden|not_found|invalid|conflict|rate_limited|refused|unavailable|timeout)\(\s*"([a-z_\d]+)"/,
    /Error::new\(\s*Kind::\w+,\s*"([a-z_\d]+)"/,
    /ErrorReport \{ code: "([a-z_\d]+)"/,
    /=> "(model_[a-z_]+)"/, // ModelError::code
    /Err\(\(\s*"([a-z_\d]+)"/, // what is wrong with a field of an entry
  ].map(({ source }) => source).join('|'),
  'g',
);

function codes(): string[] {
  const found = Object.entries(sources)
    .filter(([path]) => !ELSEWHERE.test(path))
    .flatMap(([, text]) => [...text.split('#[cfg(test)]\nmod tests {')[0]!.matchAll(CODE)].map((match) => match.slice(1).find(Boolean)!));
  return [...new Set(found)].sort();
}

describe('what the server says', () => {
  it('has words in Chinese for each of its codes', () => {
    const all = codes();
    // One of each way to make an error, so that the pattern keeps finding them.
    for (const code of ['entry_not_found', 'disk_full', 'rate_limited', 'spend_limit_reached', 'model_unauthorized', 'platform_error', 'missing_answer']) expect(all).toContain(code);
    expect(all.filter((code) => !words.zh.problems[code])).toEqual([]);
  });

  it('says it in whole Chinese sentences', () => {
    for (const [code, text] of Object.entries(words.zh.problems)) expect(text, code).toMatch(/^[^`,;]*[\u4e00-\u9fff][^`;]*。$/);
  });
});
