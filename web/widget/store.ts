// What this browser keeps: the visitor token for good, the conversation for this tab.
// A browser that forbids storage only loses the memory, not the widget.

import type { AiMark } from '../shared/wire';
import type { Chat } from './state';

const KEPT_TURNS = 40;

export interface Kept {
  chat: Chat;
  model: string;
  mark?: AiMark;
  linkHosts?: string[] | null;
}

export class Store {
  readonly #siteKey: string;
  /** The verified user whose conversation is kept apart from everybody else's. */
  user: string | undefined;

  constructor(siteKey: string) {
    this.#siteKey = siteKey;
  }

  visitorToken(): string | undefined {
    return read(() => localStorage.getItem(this.#name('visitor'))) || undefined;
  }

  /** An empty one forgets it. */
  keepVisitorToken(token: string): void {
    read(() => localStorage.setItem(this.#name('visitor'), token));
  }

  load(): Kept | undefined {
    const kept = read(() => JSON.parse(sessionStorage.getItem(this.#chat())!) as Kept | null);
    return Array.isArray(kept?.chat?.turns) ? kept : undefined;
  }

  save({ chat, ...rest }: Kept): void {
    const kept = { ...rest, chat: { ...chat, turns: chat.turns.slice(-KEPT_TURNS) } };
    read(() => sessionStorage.setItem(this.#chat(), JSON.stringify(kept)));
  }

  #chat(): string {
    return this.#name(this.user === undefined ? 'chat' : `chat:${this.user}`);
  }

  #name(what: string): string {
    return `mc:${this.#siteKey}:${what}`;
  }
}

function read<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}
