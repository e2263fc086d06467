// The address's fragment says which page is open and how it is narrowed down: `#/knowledge?q=…`.
// So reloading, going back and sending a link all work.

import { useEffect, useState } from 'preact/hooks';

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

export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
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
