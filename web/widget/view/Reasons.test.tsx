import { render } from 'preact';
import { act } from 'preact/test-utils';
import { expect, it, vi } from 'vitest';
import { Reasons } from './Reasons';

it('Escape in the answer puts the reasons away and leaves the rating; the next one goes on', async () => {
  const place = document.createElement('div');
  document.body.append(place);
  const beyond = vi.fn();
  place.addEventListener('keydown', beyond);
  await act(() =>
    render(
      <article>
        <button class="thumb" aria-pressed="true">down</button>
        <Reasons lang="en" said={{ rating: 'down', reasons: [] }} rate={vi.fn()} />
      </article>,
      place,
    ),
  );
  const input = place.querySelector('input')!;
  const press = (on: HTMLElement, more = {}) => act(() => void on.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true, ...more })));
  input.focus();
  await press(input, { isComposing: true });
  expect(place.querySelector('.reasons')).not.toBeNull();
  beyond.mockClear();
  await press(input);
  expect(place.querySelector('.reasons')).toBeNull();
  expect(document.activeElement).toBe(place.querySelector('.thumb'));
  expect(beyond).not.toHaveBeenCalled();
  await press(place.querySelector<HTMLElement>('.thumb')!);
  expect(beyond).toHaveBeenCalledOnce();
});
