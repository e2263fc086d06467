import { createRef, render } from 'preact';
import { act } from 'preact/test-utils';
import { expect, it, vi } from 'vitest';
import { zh } from '../words/zh';
import { Composer } from './Composer';

async function compose(more: Partial<Parameters<typeof Composer>[0]> = {}) {
  const place = document.createElement('div');
  document.body.append(place);
  const send = vi.fn();
  const props = { say: zh, box: createRef<HTMLTextAreaElement>(), draft: undefined, longest: 10, busy: false, stopping: false, send, stop: vi.fn(), tookDraft: vi.fn(), ...more };
  await act(() => render(<Composer {...props} />, place));
  const box = place.querySelector('textarea')!;
  const type = (text: string) => act(() => ((box.value = text), void box.dispatchEvent(new Event('input', { bubbles: true }))));
  const press = async (more: KeyboardEventInit & { keyCode?: number }) => {
    const event = new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true, ...more });
    if (more.keyCode) Object.defineProperty(event, 'keyCode', { value: more.keyCode });
    await act(() => void box.dispatchEvent(event));
    return event.defaultPrevented;
  };
  return { place, box, type, press, send, props };
}

it('sends with Enter and empties the box', async () => {
  const { box, type, press, send } = await compose();
  await type('保证金？');
  expect(await press({})).toBe(true);
  expect(send).toHaveBeenCalledWith('保证金？');
  expect(box.value).toBe('');
});

it('does not send while an input method composes', async () => {
  const { box, type, press, send } = await compose();
  await type('bao zheng');
  expect(await press({ isComposing: true })).toBe(false);
  expect(await press({ keyCode: 229 })).toBe(false);
  expect(send).not.toHaveBeenCalled();
  expect(box.value).toBe('bao zheng');
});

it('breaks the line with Shift+Enter', async () => {
  const { type, press, send } = await compose();
  await type('一');
  expect(await press({ shiftKey: true })).toBe(false);
  expect(send).not.toHaveBeenCalled();
});

it('sends neither nothing nor too much, and says how much that is', async () => {
  const { place, type, press, send } = await compose();
  await type('   ');
  await press({});
  await type('😀'.repeat(10));
  expect(place.querySelector('[role=alert]')).toBeNull();
  await type('😀'.repeat(11));
  await press({});
  expect(send).not.toHaveBeenCalled();
  expect(place.querySelector('[role=alert]')?.textContent).toContain('11');
});

it('keeps the text while an answer runs, and offers to stop it', async () => {
  const { place, box, type, press, send, props } = await compose({ busy: true });
  await type('下一个');
  await press({});
  expect(send).not.toHaveBeenCalled();
  expect(box.value).toBe('下一个');
  place.querySelector<HTMLButtonElement>('[data-testid=stop]')!.click();
  expect(props.stop).toHaveBeenCalled();
});

it('shows a text given back', async () => {
  const { box, props } = await compose({ draft: '太长了' });
  expect(box.value).toBe('太长了');
  expect(props.tookDraft).toHaveBeenCalled();
});

/** Another text takes the box, or (empty) lets it go. */
const give = (place: Element, props: Parameters<typeof Composer>[0], draft: string | undefined) => act(() => render(<Composer {...props} draft={draft} />, place));

it('keeps what was being typed aside while a question is edited, and gives it back', async () => {
  for (const end of ['cancelled', 'sent'] as const) {
    const { place, box, type, press, send, props } = await compose();
    await type('半句话');
    await give(place, props, '被改的问题');
    await give(place, props, undefined);
    expect(box.value).toBe('被改的问题');
    if (end === 'sent') {
      await press({});
      expect(send).toHaveBeenCalledWith('被改的问题');
    } else await give(place, props, '');
    expect(box.value).toBe('半句话');
  }
});

it('keeps it through several texts, once', async () => {
  const { place, box, type, press, props } = await compose();
  await type('半句话');
  await give(place, props, '一');
  await give(place, props, undefined);
  await give(place, props, '二');
  await give(place, props, undefined);
  await press({});
  expect(box.value).toBe('半句话');
  await press({});
  expect(box.value).toBe('');
});
