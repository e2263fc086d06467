// The HTTP doors that the widget uses beside its socket.

import type { SourceRow } from '../shared/wire';
import type { StoredTurn, Summary } from './archive';

interface Options {
  server: string;
  siteKey: string;
  /** The header that says whose conversations are meant. */
  who(): Promise<Record<string, string>>;
}

export class Doors {
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
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
    const { server, siteKey, who } = this.#options;
    const reply = await fetch(`${server}/api/v1/${path}`, { method, headers: { Authorization: `Bearer ${siteKey}`, ...(await who()) } });
    if (!reply.ok) throw new Error(`${path}: ${reply.status}`);
    return reply;
  }
}
