import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { SessionOpen } from '../shared/wire';
import type { Identity } from './host';
import { fetched, Signed } from './identity';
import { Session } from './session';

const token = (sub: string, seconds = 300) => `h.${btoa(JSON.stringify({ sub, exp: Math.floor(Date.now() / 1000) + seconds }))}.s`;

/** The browser's socket, as far as opening goes. */
class Socket {
  static readonly OPEN = 1;
  static all: Socket[] = [];
  readyState = 0;
  opened: SessionOpen | undefined;
  onopen?: () => void;
  onmessage?: (event: { data: string }) => void;
  onclose?: (event: { code: number }) => void;
  constructor() {
    Socket.all.push(this);
  }
  send(text: string): void {
    this.opened ??= JSON.parse(text) as SessionOpen;
  }
  close(): void {
    this.readyState = 3;
  }
  say(frame: object): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  ready(): this {
    this.readyState = 1;
    this.onopen?.();
    this.say({ type: 'session.ready', session_id: 's', tenant: 'demo', models: [], limits: { message_chars: 10 }, server_time: '' });
    return this;
  }
}

const last = () => Socket.all.at(-1)!;
const rest = () => vi.advanceTimersByTimeAsync(0);

function make(source: Identity) {
  const page: { identity: Identity } = { identity: source };
  const tell = vi.fn();
  return { page, tell, session: new Session({ siteKey: 'key', server: 'https://s.example', lang: () => 'zh', identity: () => page.identity, tell }) };
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('WebSocket', Socket);
  Socket.all = [];
  localStorage.clear();
  sessionStorage.clear();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('a token', () => {
  it('is fetched when there is none, and again before it is too old', async () => {
    const source = vi.fn(() => Promise.resolve(token('a', 60)));
    const signed = new Signed(() => source);
    await signed.renew();
    expect(signed.user).toBe('a');
    expect(signed.renew()).toBeUndefined();
    vi.advanceTimersByTime(31_000);
    await signed.renew();
    expect(source).toHaveBeenCalledTimes(2);
  });

  it('that cannot be read names nobody, and is shown all the same', () => {
    const signed = new Signed(() => 'rubbish');
    expect(signed.renew()).toBeUndefined();
    expect([signed.token, signed.user]).toEqual(['rubbish', '']);
  });

  it('of the page’s backend: nobody is signed in, or it is not there', async () => {
    const reply = (status: number, body = '') => vi.stubGlobal('fetch', vi.fn(() => Promise.resolve(new Response(body || null, { status }))));
    reply(401);
    expect(await fetched('/identity')()).toBeNull();
    reply(200, 't.t.t');
    expect(await fetched('/identity')()).toBe('t.t.t');
    reply(500);
    await expect(fetched('/identity')()).rejects.toThrow('500');
  });
});

describe('a session', () => {
  it('shows the token instead of the visitor token', async () => {
    localStorage.setItem('mc:key:visitor', 'vt');
    const { session, tell } = make(() => Promise.resolve(token('a')));
    session.shown(true);
    expect(Socket.all).toHaveLength(0);
    await rest();
    last().ready();
    expect(last().opened?.identity).toBe(token('a'));
    expect(last().opened).not.toHaveProperty('visitor_token');
    expect(tell).toHaveBeenCalledWith('ready', { verified: true });
  });

  it('is a visitor’s when nobody is signed in', async () => {
    localStorage.setItem('mc:key:visitor', 'vt');
    const { session } = make(() => null);
    session.shown(true);
    await rest();
    last().ready();
    expect(last().opened).toMatchObject({ visitor_token: 'vt' });
    expect(last().opened).not.toHaveProperty('identity');
  });

  it('tries again when the token cannot be had, and tells no stranger’s conversation meanwhile', async () => {
    const first = make(token('a'));
    first.session.ask('甲的问题');
    vi.advanceTimersByTime(1000);
    const { session } = make(() => Promise.reject(new Error('down')));
    session.shown(true);
    await rest();
    expect(session.view.link.state).toBe('waiting');
    expect(session.view.chat.turns).toHaveLength(0);
  });

  it('keeps users apart in one tab, and brings each their own back', async () => {
    const { session, page } = make(token('a'));
    session.shown(true);
    last().ready();
    session.ask('甲的问题');
    page.identity = token('b');
    session.identify();
    expect(session.view.chat.turns).toHaveLength(0);
    page.identity = token('a');
    session.identify();
    expect(session.view.chat.turns.map(({ text }) => text)).toEqual(['甲的问题']);
    page.identity = null;
    session.identify();
    expect(session.view.chat.turns).toHaveLength(0);
  });

  it('keeps what was asked before it was known who asks', async () => {
    const { session } = make(() => Promise.resolve(token('a')));
    session.ask('早');
    await rest();
    last().ready();
    expect(session.view.chat.turns.map(({ text }) => text)).toEqual(['早']);
  });

  it('lets no token that comes too late undo signing out', async () => {
    let hand: (token: string) => void = () => undefined;
    const { session, page } = make(() => new Promise<string>((done) => (hand = done)));
    session.shown(true);
    page.identity = null;
    session.identify();
    hand(token('a'));
    await rest();
    last().ready();
    expect(Socket.all).toHaveLength(1);
    expect(last().opened).not.toHaveProperty('identity');
  });

  it('fetches a refused token once more, then tells the page', async () => {
    const { session, tell } = make(() => Promise.resolve(token('a')));
    session.shown(true);
    await rest();
    for (const times of [1, 2]) {
      const socket = last();
      socket.readyState = 1;
      socket.onopen?.();
      socket.say({ type: 'error', ref: socket.opened?.id, code: 'identity_expired', message: '', retryable: false });
      await rest();
      expect(Socket.all).toHaveLength(2);
      expect(tell.mock.calls.filter(([type]) => type === 'identity')).toHaveLength(times - 1);
    }
    last().onclose?.({ code: 4401 });
    expect(session.view.link).toMatchObject({ state: 'stopped', code: 4401 });
  });

  it('does not fetch a token that the page gave once, and forgets no visitor for it', () => {
    localStorage.setItem('mc:key:visitor', 'vt');
    const { session, tell } = make(token('a', -10));
    session.shown(true);
    last().readyState = 1;
    last().onopen?.();
    last().say({ type: 'error', ref: last().opened?.id, code: 'identity_expired', message: '', retryable: false });
    expect(Socket.all).toHaveLength(1);
    expect(tell).toHaveBeenCalledWith('identity', { code: 'identity_expired' });
    last().onclose?.({ code: 4401 });
    expect(Socket.all).toHaveLength(1);
    expect(localStorage.getItem('mc:key:visitor')).toBe('vt');
  });
});
