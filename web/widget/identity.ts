// Who the page says is there: the token as the shop's backend signed it, fetched again before it is too
// old. The server checks it; here its claims only keep what this browser stores apart.

import type { Identity } from './host';

/** A token that has less than this left is fetched again. */
const MARGIN = 30_000;

export class Signed {
  token: string | undefined;
  readonly #source: () => Identity;

  constructor(source: () => Identity) {
    this.#source = source;
  }

  /** The user that the token names. */
  get user(): string | undefined {
    return this.token && (claims(this.token).sub ?? '');
  }

  /** Has a good token ready; with nothing to wait for it is there at once. */
  renew(): Promise<void> | undefined {
    const source = this.#source();
    if (typeof source !== 'function') {
      this.token = source || undefined;
      return undefined;
    }
    if (this.token && (claims(this.token).exp ?? 0) * 1000 - MARGIN > Date.now()) return undefined;
    return Promise.resolve()
      .then(source)
      .then((token) => {
        // The page may have changed its mind while this was on its way.
        if (this.#source() === source) this.token = token?.trim() || undefined;
      });
  }

  /** Whether another token can be had. */
  get renews(): boolean {
    return typeof this.#source() === 'function';
  }

  /** The token is no good any more. */
  drop(): void {
    this.token = undefined;
  }
}

function claims(token: string): { sub?: string; exp?: number } {
  try {
    return JSON.parse(atob(token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/'))) as { sub?: string; exp?: number };
  } catch {
    return {}; // the server will say what is wrong with it
  }
}

/** `data-identity`: the page's own backend hands out the token as plain text to whoever is signed in there. */
export function fetched(url: string): () => Promise<string | null> {
  return async () => {
    const reply = await fetch(url, { credentials: 'same-origin', headers: { Accept: 'text/plain' } });
    if (reply.status === 401 || reply.status === 403 || reply.status === 204) return null; // nobody is signed in
    if (!reply.ok) throw new Error(`identity: ${reply.status}`);
    return reply.text();
  };
}
