import { render } from 'preact';
import { expect, it, vi } from 'vitest';
import { Desk, type DeskValue, Later } from './load';
import { words } from './words';

it('says when a button can be pressed again without losing the focus, and under one name', () => {
  const place = document.createElement('div');
  document.body.append(place);
  const press = vi.fn();
  const show = (wait: number) => {
    render(<Desk.Provider value={{ say: words.zh } as DeskValue}><Later name="重试" wait={wait} press={press} /></Desk.Provider>, place);
    return place.querySelector('button')!;
  };
  show(0).focus();
  const waiting = show(3);
  waiting.click();
  expect([waiting.textContent, waiting.querySelector('[aria-hidden=true]')?.textContent]).toEqual(['重试（3 秒后）', '（3 秒后）']);
  expect([waiting.getAttribute('aria-disabled'), document.activeElement === waiting, press.mock.calls.length]).toEqual(['true', true, 0]);
  show(0).click();
  expect([show(0).textContent, press.mock.calls.length]).toEqual(['重试', 1]);
});
