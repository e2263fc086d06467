// The HTTP doors that the sheets use, beside the session's socket.

import type { SourceRow } from '../shared/wire';
import type { StoredTurn, Summary } from './archive';
import type { Signed } from './identity';
import type { Store } from './store';

/** Where the server is, and who asks. */
export interface Place {
  server: string;
  siteKey: string;
  signed: Signed;
  store: Store;
}

/** A part of the list of conversations, and where the next one begins. */
export interface Page {
  conversations: Summary[];
  next: string | null;
}

/** Lines of the list that are fetched at once. */
const LINES = 50;

export class Doors {
  readonly #place: Place;

  constructor(place: Place) {
    this.#place = place;
  }

  source(responseId: string, n: number): Promise<SourceRow> {
    return this.#read(`responses/${encodeURIComponent(responseId)}/sources/${n}`);
  }

  async conversations(before?: string): Promise<Page> {
    const wanted = new URLSearchParams({ limit: String(LINES), ...(before && { before }) });
    const { conversations, next } = await this.#read<Page>(`conversations?${wanted}`);
    return { conversations: conversations.filter(({ turns }) => turns > 0), next };
  }

  async turns(id: string): Promise<StoredTurn[]> {
    return (await this.#read<{ turns: StoredTurn[] }>(`conversations/${encodeURIComponent(id)}`)).turns;
  }

  async remove(id: string): Promise<void> {
    await this.#ask(`conversations/${encodeURIComponent(id)}`, 'DELETE');
  }

  async #read<T>(path: string): Promise<T> {
    return (await this.#ask(path, 'GET')).json() as Promise<T>;
  }

  async #ask(path: string, method: string): Promise<Response> {
    const { server, siteKey } = this.#place;
    const headers = { Authorization: `Bearer ${siteKey}`, ...(await this.#who()) };
    const reply = await fetch(`${server}/api/v1/${path}`, { method, headers });
    if (!reply.ok) throw new Error(`${path}: ${reply.status}`);
    return reply;
  }

  /** Whose conversations are meant. */
  async #who(): Promise<Record<string, string>> {
    const { signed, store } = this.#place;
    await signed.renew();
    const { token } = signed;
    const visitor = store.visitorToken();
    if (token) return { 'X-Identity': token };
    return visitor ? { 'X-Visitor-Token': visitor } : {};
  }
}
