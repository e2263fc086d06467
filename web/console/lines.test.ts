import { expect, it } from 'vitest';
import { read, write } from './lines';

it('reads words and groups as the command line does, and writes them again', () => {
  const words = read('年货节\n保证金 = 押金，质保金\n# 只是备注\n\n押金、订金 # 并入上面一组\nSKU; 货号\n');
  expect(words).toEqual({ words: ['年货节'], synonyms: [['保证金', '押金', '质保金', '订金'], ['SKU', '货号']] });
  expect(read(write(words))).toEqual(words);
});

it('a word that stands alone in a group of its own is a word', () => {
  expect(read('押金,')).toEqual({ words: ['押金'], synonyms: [] });
  expect(read('')).toEqual({ words: [], synonyms: [] });
});
