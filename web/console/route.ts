// The address's fragment says which page is open and how it is narrowed down: `#/knowledge?q=…`.
// So reloading, going back and sending a link all work.

import { useEffect, useRef, useState } from 'preact/hooks';

export interface Route {
  page: string;
  values: URLSearchParams;
}

export function parse(hash: string): Route {
  const [page = '', search = ''] = hash.replace(/^#\/?/, '').split('?');
  return { page, values: new URLSearchParams(search) };
}

/** The address of a page; empty values are left out. */
export function address(page: string, values: Record<string, string | undefined> = {}): string {
  const given = Object.entries(values).filter((pair): pair is [string, string] => !!pair[1]);
  return `#/${page}${given.length ? `?${new URLSearchParams(given)}` : ''}`;
}

/** Values that name what is open; the others only narrow a list down. */
const OPEN = ['id', 'name', 'plan'];

/** Whether going from one address to another closes what is open. */
export function closes(from: string, to: string): boolean {
  const [before, after] = [parse(from), parse(to)];
  return before.page !== after.page || OPEN.some((name) => (before.values.get(name) ?? '') !== (after.values.get(name) ?? ''));
}

/** Is asked before what is open is closed; says whether it keeps us here, and may go on later. */
type Holder = (go: () => void) => boolean;
let holder: Holder | undefined;

export function holdRoute(asked: Holder): () => void {
  holder = asked;
  return () => void (holder = undefined);
}

/** Goes on at once, or when the holder lets it. */
export function afterAsking(go: () => void): void {
  if (!holder?.(go)) go();
}

export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  const shown = useRef(hash);
  useEffect(() => {
    const changed = () => {
      const wanted = location.hash;
      if (closes(shown.current, wanted) && holder?.(() => (location.hash = wanted))) {
        history.replaceState(null, '', shown.current || location.pathname);
        return;
      }
      shown.current = wanted;
      setHash(wanted);
    };
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return parse(hash);
}

/** Changes some of the address's values; those of `undefined` or '' go. `quietly` leaves no step to go back to. */
export function change(values: Record<string, string | undefined>, quietly = false): void {
  const { page, values: old } = parse(location.hash);
  const hash = address(page, { ...Object.fromEntries(old), ...values });
  if (hash === location.hash) return;
  if (!quietly) location.hash = hash;
  else {
    history.replaceState(null, '', hash);
    dispatchEvent(new HashChangeEvent('hashchange'));
  }
}
