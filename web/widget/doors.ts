// The HTTP doors that the widget uses beside its socket.

import type { SourceRow } from '../shared/wire';
import type { StoredTurn, Summary } from './archive';
import type { Signed } from './identity';
import type { Store } from './store';

interface Place {
  server: string;
  siteKey: string;
}

export class Doors {
  readonly #place: Place;
  readonly #signed: Signed;
  readonly #store: Store;

  constructor(place: Place, signed: Signed, store: Store) {
    this.#place = place;
    this.#signed = signed;
    this.#store = store;
  }

  source(responseId: string, n: number): Promise<SourceRow> {
    return this.#read(`responses/${encodeURIComponent(responseId)}/sources/${n}`);
  }

  async conversations(): Promise<Summary[]> {
    const { conversations } = await this.#read<{ conversations: Summary[] }>('conversations?limit=50');
    return conversations.filter(({ turns }) => turns > 0);
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
    await this.#signed.renew();
    const { token } = this.#signed;
    const visitor = this.#store.visitorToken();
    if (token) return { 'X-Identity': token };
    return visitor ? { 'X-Visitor-Token': visitor } : {};
  }
}
