// One WebSocket that stays: opens, greets, pings, notices silence, comes back with jittered back-off.
// It knows the close codes of copilot.v1, not what a conversation is.

import type { ClientFrame, ServerFrame, SessionOpen } from '../shared/wire';

export type LinkState = 'idle' | 'connecting' | 'ready' | 'waiting' | 'stopped';

export interface Link {
  state: LinkState;
  /** Why the last socket closed. 1006: no word from the server. */
  code?: number;
  /** When the next attempt is due (ms since the epoch). */
  retryAt?: number;
  /** Failed attempts since it last worked. */
  attempts: number;
}

interface Options {
  url: string;
  /** What has to be known before the greeting, when that takes time. */
  prepare?(): Promise<void> | undefined;
  /** The first frame, asked for at each attempt. */
  greet(): SessionOpen;
  /** Why a socket was not even opened, as a close code: browsers tell a page nothing about that. */
  ask(): Promise<number>;
  onFrame(frame: ServerFrame): void;
  onLink(link: Link): void;
}

const PING_EVERY = 20_000;
const SILENCE = 10_000;
const READY_WITHIN = 15_000;
const FIRST_WAIT = 600;
const LONGEST_WAIT = 30_000;
const RATE_WAIT = 30_000;

/** Closings that trying again would not cure; somebody has to do something first. */
const FINAL = [4400, 4401, 4403, 4409];

export class Connection {
  link: Link = { state: 'idle', attempts: 0 };
  readonly #options: Options;
  #socket: WebSocket | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #pinger: ReturnType<typeof setInterval> | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #preparing: Promise<void> | undefined;
  #count = 0;

  constructor(options: Options) {
    this.#options = options;
  }

  open(): void {
    if (this.#socket || this.#preparing) return;
    clearTimeout(this.#retry);
    this.#move({ state: 'connecting' });
    this.#expect(READY_WITHIN);
    const wait = this.#options.prepare?.();
    if (!wait) return this.#dial();
    this.#preparing = wait;
    const still = (go: () => void) => () => {
      if (this.#preparing !== wait) return;
      this.#preparing = undefined;
      go();
    };
    wait.then(still(() => this.#dial()), still(() => this.#ended(1006)));
  }

  #dial(): void {
    let socket: WebSocket;
    try {
      socket = new WebSocket(this.#options.url, 'copilot.v1');
    } catch {
      // An address the browser refuses, e.g. ws: on an https page.
      this.#ended(1006);
      return;
    }
    this.#socket = socket;
    this.#expect(READY_WITHIN);
    socket.onopen = () => {
      opened = true;
      socket.send(JSON.stringify(this.#options.greet()));
    };
    socket.onmessage = (event) => this.#take(socket, event.data);
    let opened = false;
    socket.onclose = ({ code }) => {
      if (this.#socket !== socket) return;
      if (opened) this.#ended(code);
      else void this.#options.ask().then((code) => this.#socket === socket && this.#ended(code));
    };
  }

  /** Sends when the session stands; otherwise says false, and the caller keeps it. */
  send(frame: ClientFrame): boolean {
    if (this.link.state !== 'ready' || this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  nextId(): string {
    return `c${++this.#count}`;
  }

  /** Drops the socket and opens another at once, e.g. to resume. */
  reopen(): void {
    this.#drop();
    this.open();
  }

  /** Closes for good, until somebody calls open. */
  close(): void {
    this.#drop();
    this.#move({ state: 'idle', attempts: 0 });
  }

  /** The network or the tab came back: do not sit out the wait. */
  nudge(): void {
    if (this.link.state === 'waiting' && this.link.code !== 4429) this.open();
  }

  #take(socket: WebSocket, data: unknown): void {
    if (this.#socket !== socket) return;
    let frame: ServerFrame;
    try {
      frame = JSON.parse(String(data)) as ServerFrame;
    } catch {
      return;
    }
    clearTimeout(this.#deadline);
    if (frame.type === 'session.ready') {
      clearInterval(this.#pinger);
      this.#pinger = setInterval(() => this.#ping(), PING_EVERY);
      this.link = { ...this.link, state: 'ready', retryAt: undefined };
      this.#options.onFrame(frame);
      this.#options.onLink(this.link);
      return;
    }
    if (this.link.state === 'connecting') this.#expect(READY_WITHIN);
    this.#options.onFrame(frame);
  }

  #ping(): void {
    this.link.attempts = 0; // it held for a while, so the next wait starts small again
    if (this.send({ type: 'ping', id: this.nextId() })) this.#expect(SILENCE);
  }

  /** A line that stays silent this long is dead, whatever the browser believes. */
  #expect(within: number): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => {
      this.#drop();
      this.#ended(1006);
    }, within);
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#preparing = undefined;
    clearTimeout(this.#retry);
    clearTimeout(this.#deadline);
    clearInterval(this.#pinger);
    socket?.close(1000);
  }

  #ended(code: number): void {
    this.#drop();
    const attempts = this.link.attempts + 1;
    if (FINAL.includes(code)) {
      this.#move({ state: 'stopped', code, attempts });
      return;
    }
    const wait = code === 4429 ? RATE_WAIT : pause(attempts);
    this.#move({ state: 'waiting', code, attempts, retryAt: Date.now() + wait });
    this.#retry = setTimeout(() => this.open(), wait);
  }

  #move(link: Partial<Link>): void {
    const { code, attempts } = this.link;
    this.link = { state: 'idle', code, attempts, ...link };
    this.#options.onLink(this.link);
  }
}

/** Doubling waits, each somewhere between half and all of its length. */
function pause(attempts: number): number {
  const most = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempts - 1));
  return most * (0.5 + Math.random() / 2);
}
