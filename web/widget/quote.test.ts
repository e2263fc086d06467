import { expect, it } from 'vitest';
import { quote } from './quote';

const text = '保证金为 10,000 元。\n签约后 15 日内缴纳。其他见附录。';

it('marks the quoted part', () => {
  expect(quote(text, '签约后 15 日内缴纳')).toEqual(['保证金为 10,000 元。\n', '签约后 15 日内缴纳', '。其他见附录。']);
});

it('forgives other white space and dots around', () => {
  expect(quote(text, '…10,000 元。 签约后 15 日内…')[1]).toBe('10,000 元。\n签约后 15 日内');
});

it('takes signs as they are', () => {
  expect(quote('费率 (a+b)*2 为 3.5%', '(a+b)*2 为 3.5')[1]).toBe('(a+b)*2 为 3.5');
});

it('marks nothing when the part is not there', () => {
  expect(quote(text, '不存在')).toEqual([text, '', '']);
  expect(quote(text, null)).toEqual([text, '', '']);
  expect(quote(text, '…')).toEqual([text, '', '']);
});
