import type { RefObject } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

const NEAR = 24;
/** Left free above an answer that is read from its beginning. */
const AIR = 12;

/** Keeps the end in view until the last answer's first line is at the top: there it stays, to be read from its beginning.
 *  Readers who scroll decide themselves: from the end on the end is followed, elsewhere only said that more came. */
export function useFollow(box: RefObject<HTMLElement | null>, content: unknown, turns: number): { below: boolean; toLast(): void; toEnd(): void } {
  const following = useRef(true);
  const top = useRef(0);
  const height = useRef(0);
  const [below, setBelow] = useState(false);

  /** Without a wish what lies past the beginning of the answer is where the reader went. */
  const move = (wish?: 'last' | 'end') => {
    const element = box.current;
    if (!element) return;
    const end = element.scrollHeight - element.clientHeight;
    const start = (element.querySelector<HTMLElement>('.turn:last-child .answer')?.offsetTop ?? Infinity) - element.offsetTop - AIR;
    const held = start < end && (wish ? wish === 'last' : element.scrollTop <= start + 1);
    following.current = !held;
    element.scrollTop = held ? start : end;
    top.current = element.scrollTop;
    height.current = element.scrollHeight;
    setBelow(held && !wish);
  };

  useEffect(() => {
    const element = box.current!;
    const onScroll = () => {
      const left = element.scrollHeight - element.clientHeight - element.scrollTop;
      // Only the reader scrolls upwards; growth alone never moves the top.
      if (left <= NEAR) following.current = true;
      else if (element.scrollTop < top.current) following.current = false;
      top.current = element.scrollTop;
      if (following.current) setBelow(false);
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
    const { scrollHeight = 0 } = box.current ?? {};
    if (following.current) move();
    else if (scrollHeight > height.current) setBelow(true);
    height.current = scrollHeight;
  }, [content]);

  return { below, toLast, toEnd: () => move('end') };
}
