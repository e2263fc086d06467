// The server may say when to ask again: until then a button tells the seconds and does not ask.

import { useEffect, useState } from 'preact/hooks';

const secondsUntil = (moment: number) => Math.max(0, Math.ceil((moment - Date.now()) / 1000));

/** Seconds until a moment; 0 when it is over, or there is none. */
export function useWait(until = 0): number {
  const [, tick] = useState(0);
  const left = secondsUntil(until);
  useEffect(() => {
    if (!secondsUntil(until)) return undefined;
    const timer = setInterval(() => {
      tick((n) => n + 1);
      if (!secondsUntil(until)) clearInterval(timer);
    }, 250);
    return () => clearInterval(timer);
  }, [until]);
  return left;
}
