import type { RefObject } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

const NEAR = 24;
/** Left free above an answer that is read from its beginning. */
const AIR = 12;

/** Keeps the end in view until the last answer's first line is at the top: there it stays, to be read from its beginning.
 *  Readers who scroll decide themselves: from the end on the end is followed, elsewhere only said that more came. */
export function useFollow(box: RefObject<HTMLElement | null>, content: unknown, turns: number): { below: boolean; toLast(): void; toEnd(): void } {
  const following = useRef(true);
  /** The answer is held at its beginning. */
  const held = useRef(false);
  const top = useRef(0);
  const height = useRef(0);
  const [below, setBelow] = useState(false);

  /** Without a wish what lies past the beginning of the answer is where the reader went. */
  const move = (wish?: 'last' | 'end') => {
    const element = box.current;
    if (!element) return;
    const end = element.scrollHeight - element.clientHeight;
    const start = (element.querySelector<HTMLElement>('.turn:last-child .answer')?.offsetTop ?? Infinity) - element.offsetTop - AIR;
    held.current = start < end && (wish ? wish === 'last' : held.current || element.scrollTop <= start + 1);
    following.current = true;
    element.scrollTop = held.current ? start : end;
    top.current = element.scrollTop;
    if (wish || !held.current) setBelow(false);
    measure(!wish && held.current);
  };
  const measure = (tell: boolean) => {
    const { scrollHeight = 0 } = box.current ?? {};
    if (tell && scrollHeight > height.current) setBelow(true);
    height.current = scrollHeight;
  };

  useEffect(() => {
    const element = box.current!;
    const onScroll = () => {
      const { scrollTop } = element;
      // Growth alone never moves the top: it was the reader.
      const moved = scrollTop !== top.current;
      top.current = scrollTop;
      if (moved) held.current = false;
      if (element.scrollHeight - element.clientHeight - scrollTop <= NEAR) following.current = true;
      else if (moved) following.current = false;
      if (following.current && !held.current) setBelow(false);
    };
    const resized = new ResizeObserver(() => following.current && move());
    element.addEventListener('scroll', onScroll, { passive: true });
    resized.observe(element);
    return () => {
      element.removeEventListener('scroll', onScroll);
      resized.disconnect();
    };
  }, []);

  // A question of one's own always comes into view.
  const toLast = () => move('last');
  useLayoutEffect(toLast, [turns]);

  useLayoutEffect(() => {
    if (following.current) move();
    else measure(true);
  }, [content]);

  return { below, toLast, toEnd: () => move('end') };
}
