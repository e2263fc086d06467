import { expect, it } from 'vitest';
import { correctionBack, importBack } from './takenback';
import { words } from './words';

const back = { restored: 1, deleted: 2, left: 3, revision: 9 };

it('says what taking an import back did, a full stop after each sentence', () => {
  expect(importBack(back, words.en)).toBe('The import is taken back. 1 restored, 2 deleted. Changed since, and kept as they are: 3.');
  expect(importBack(back, words.zh)).toBe('已撤回这次导入。恢复 1 条，删除 2 条。3 条后来又改过，保持不变。');
  expect(importBack({ ...back, left: 0 }, words.en)).toBe('The import is taken back. 1 restored, 2 deleted.');
});

it('does not say that a correction is taken back when its entry was changed since', () => {
  for (const say of [words.en, words.zh]) {
    expect(correctionBack({ ...back, restored: 0, deleted: 0, left: 1 }, say)).toBe(say.correctionKept);
    expect(correctionBack({ ...back, deleted: 0, left: 0 }, say)).toBe(say.correctionUndone);
  }
});
