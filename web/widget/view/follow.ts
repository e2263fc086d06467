import type { RefObject } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

const NEAR = 24;

/** Keeps the end in view while the reader is there; once they scroll up, it only says that more came. */
export function useFollow(box: RefObject<HTMLElement | null>, content: unknown, turns: number): { below: boolean; toEnd(): void } {
  const following = useRef(true);
  const top = useRef(0);
  const height = useRef(0);
  const [below, setBelow] = useState(false);

  const toEnd = () => {
    const element = box.current;
    if (!element) return;
    following.current = true;
    element.scrollTop = element.scrollHeight;
    top.current = element.scrollTop;
    setBelow(false);
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
    const resized = new ResizeObserver(() => following.current && toEnd());
    element.addEventListener('scroll', onScroll, { passive: true });
    resized.observe(element);
    return () => {
      element.removeEventListener('scroll', onScroll);
      resized.disconnect();
    };
  }, []);

  // A question of one's own always comes into view.
  useLayoutEffect(toEnd, [turns]);

  useLayoutEffect(() => {
    const grown = (box.current?.scrollHeight ?? 0) > height.current;
    height.current = box.current?.scrollHeight ?? 0;
    if (following.current) toEnd();
    else if (grown) setBelow(true);
  }, [content]);

  return { below, toEnd };
}
