import { expect, it } from 'vitest';
import { plain } from './plain';

it('reads a table as its cells', () => {
  expect(plain('| 行为 | 分值 |\n|---|---|\n| 描述不符 | 3 |')).toBe('行为　分值\n描述不符　3');
  expect(plain('单位为天：\n\n| 站点 | 天数 |\n|:--|--:|\n| SG | 15 |')).toBe('单位为天：\n站点　天数\nSG　15');
});

it('takes the signs off headings and bold words, and nothing else', () => {
  expect(plain('## 时限\n\n**7 天**内，\n- 2 * 3 ** 4\n1. #5')).toBe('时限\n7 天内，\n- 2 * 3 ** 4\n1. #5');
});
