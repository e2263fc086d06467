import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ClientFrame, MessageCreate, ServerFrame, SessionOpen } from '../shared/wire';
import { Session } from './session';

/** The browser's socket, played by hand. */
class Socket {
  static readonly OPEN = 1;
  static all: Socket[] = [];
  static get last(): Socket {
    return Socket.all.at(-1)!;
  }
  readyState = 0;
  sent: ClientFrame[] = [];
  onopen?: () => void;
  onmessage?: (event: { data: string }) => void;
  onclose?: (event: { code: number }) => void;
  constructor(
    readonly url: string,
    readonly protocol: string,
  ) {
    Socket.all.push(this);
  }
  send(text: string): void {
    this.sent.push(JSON.parse(text) as ClientFrame);
  }
  close(): void {
    this.readyState = 3;
  }
  open(): this {
    this.readyState = 1;
    this.onopen?.();
    return this;
  }
  say(frame: object): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  ready(more: object = {}): this {
    this.open();
    this.say({ type: 'session.ready', session_id: 's', tenant: 'demo', visitor_token: 'visitor-1', models: [{ id: 'a' }, { id: 'b' }], limits: { message_chars: 10 }, server_time: '', ...more });
    return this;
  }
  die(code = 1006): void {
    this.readyState = 3;
    this.onclose?.({ code });
  }
  of<T extends ClientFrame['type']>(type: T): Extract<ClientFrame, { type: T }>[] {
    return this.sent.filter((frame) => frame.type === type) as never;
  }
}

const make = (server = 'https://shop.example') => new Session({ siteKey: 'key', server, lang: () => 'zh' });
/** Long enough for the first attempt to come back. */
const FIRST_WAIT = 700;
const say = (frame: Partial<ServerFrame>) => Socket.last.say(frame);
const accept = (message: MessageCreate, more = {}) => say({ type: 'message.accepted', ref: message.id, message_id: 'srv', duplicate: false, conversation_id: 'c', seq: 1, ...more } as ServerFrame);
const create = () => say({ type: 'response.created', response_id: 'r', message_id: 'srv', model: 'a', conversation_id: 'c', seq: 2 });
const text = (seq: number, offset: number, delta: string) => say({ type: 'response.text.delta', response_id: 'r', conversation_id: 'c', seq, offset, delta });

function asked(question = '保证金？'): { session: Session; message: MessageCreate } {
  const session = make();
  session.shown(true);
  Socket.last.ready();
  session.ask(question);
  return { session, message: Socket.last.of('message.create')[0]! };
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('WebSocket', Socket);
  vi.stubGlobal('fetch', () => Promise.reject(new Error('no network')));
  Socket.all = [];
  localStorage.clear();
  sessionStorage.clear();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('opening', () => {
  it('greets with the key, keeps the visitor token and shows it next time', () => {
    make().shown(true);
    expect(Socket.last).toMatchObject({ url: 'wss://shop.example/ws', protocol: 'copilot.v1' });
    Socket.last.ready();
    expect(Socket.last.sent[0]).toMatchObject({ type: 'session.open', token: 'key' });
    expect(Socket.last.sent[0]).not.toHaveProperty('visitor_token');
    make().shown(true);
    Socket.last.ready();
    expect(Socket.last.sent[0]).toMatchObject({ visitor_token: 'visitor-1' });
  });

  it('pings every 20 s, and leaves a silent line', () => {
    make().shown(true);
    Socket.last.ready();
    vi.advanceTimersByTime(20_000);
    expect(Socket.last.of('ping')).toHaveLength(1);
    say({ type: 'pong' });
    vi.advanceTimersByTime(20_000);
    expect(Socket.all).toHaveLength(1);
    vi.advanceTimersByTime(10_000 + 30_000);
    expect(Socket.all.length).toBeGreaterThan(1);
  });

  it('gives an idle hidden socket back, but not one with a running answer', () => {
    const { session, message } = asked();
    accept(message);
    session.shown(false);
    vi.advanceTimersByTime(61_000);
    expect(session.view.link.state).not.toBe('idle');
    const idle = make();
    idle.shown(true);
    Socket.last.ready();
    idle.shown(false);
    vi.advanceTimersByTime(61_000);
    expect(idle.view.link.state).toBe('idle');
  });
});

describe('sending', () => {
  it('sends text, id and locale, and keeps the conversation for the next question', () => {
    const { session, message } = asked();
    expect(message).toMatchObject({ text: '保证金？', locale: 'zh', client_msg_id: message.id });
    accept(message);
    create();
    say({ type: 'response.done', response_id: 'r', conversation_id: 'c', seq: 3, status: 'completed' });
    session.choose('b');
    session.ask('那退还呢？');
    expect(Socket.last.of('message.create')[1]).toMatchObject({ conversation_id: 'c', model: 'b' });
  });

  it('holds a question until there is a connection', () => {
    const session = make();
    session.ask('早');
    expect(Socket.last.sent).toHaveLength(0);
    Socket.last.ready();
    expect(Socket.last.of('message.create')).toHaveLength(1);
  });

  it('puts a question asked meanwhile into the composer', () => {
    const { session } = asked();
    expect(session.ask('第二个')).toBe(false);
    expect(session.view.draft).toBe('第二个');
  });

  it('starts another conversation when the server forgot this one', () => {
    const { session, message } = asked();
    accept(message);
    create();
    say({ type: 'response.done', response_id: 'r', conversation_id: 'c', seq: 3, status: 'completed' });
    session.ask('还在吗');
    const second = Socket.last.of('message.create')[1]!;
    say({ type: 'error', ref: second.id, code: 'not_found', message: '', retryable: false });
    const third = Socket.last.of('message.create')[2]!;
    expect(third).toMatchObject({ text: '还在吗', client_msg_id: second.client_msg_id });
    expect(third).not.toHaveProperty('conversation_id');
    expect(session.view.chat.turns).toHaveLength(2);
  });

  it('waits as long as the server says before trying a refused one again', () => {
    const { session, message } = asked();
    say({ type: 'error', ref: message.id, code: 'rate_limited', message: '', retryable: true, retry_after_ms: 5000 });
    expect(session.view.chat.turns[0]).toMatchObject({ delivery: 'refused', problem: { retryAt: Date.now() + 5000 } });
  });
});

describe('losing the connection', () => {
  it('sends an unconfirmed message again under the same id', () => {
    const { message } = asked();
    Socket.last.die();
    vi.advanceTimersByTime(FIRST_WAIT);
    Socket.last.ready();
    expect(Socket.last.of('message.create')[0]).toEqual(message);
    expect((Socket.last.sent[0] as SessionOpen).resume).toBeUndefined();
  });

  it('resumes a running answer from the last frame seen', () => {
    const { session, message } = asked();
    accept(message);
    create();
    text(3, 0, '一万');
    Socket.last.die();
    vi.advanceTimersByTime(FIRST_WAIT);
    Socket.last.ready();
    expect(Socket.last.sent[0]).toMatchObject({ resume: { conversation_id: 'c', last_seq: 3 } });
    text(4, 2, '元');
    expect(session.view.chat.turns[0]?.answer).toMatchObject({ text: '一万元', status: 'running' });
    expect(Socket.last.of('message.create')).toHaveLength(0);
  });

  it.each(['before', 'after'])('repeats the message when the server cannot resume, said %s it is ready', (order) => {
    const { session, message } = asked();
    accept(message);
    create();
    text(3, 0, '一万');
    Socket.last.die();
    vi.advanceTimersByTime(FIRST_WAIT);
    if (order === 'after') Socket.last.ready();
    else Socket.last.open();
    say({ type: 'error', ref: Socket.last.sent[0]!.id, code: 'resume_not_supported', message: '', retryable: false });
    if (order === 'before') Socket.last.ready();
    expect(Socket.last.of('message.create')[0]).toMatchObject({ client_msg_id: message.client_msg_id, conversation_id: 'c' });
    accept(message, { duplicate: true });
    create();
    text(3, 0, '一万');
    text(4, 2, '元');
    expect(session.view.chat.turns[0]?.answer).toMatchObject({ text: '一万元', status: 'running' });
  });

  it('marks the answer lost when neither resuming nor repeating brings it', () => {
    const { session, message } = asked();
    accept(message);
    create();
    text(3, 0, '一万');
    Socket.last.die();
    vi.advanceTimersByTime(FIRST_WAIT);
    const refuse = () => say({ type: 'error', ref: Socket.last.sent[0]!.id, code: 'resume_not_supported', message: '', retryable: false });
    Socket.last.ready();
    refuse();
    accept(message, { duplicate: true });
    vi.advanceTimersByTime(3_001);
    Socket.last.ready();
    refuse();
    expect(session.view.chat.turns[0]?.answer).toMatchObject({ text: '一万', status: 'lost' });
    expect(Socket.last.of('message.create')).toHaveLength(0);
  });

  it('asks again without a resume when the server refuses it and then says nothing', () => {
    const { message } = asked();
    accept(message);
    Socket.last.die();
    vi.advanceTimersByTime(FIRST_WAIT);
    Socket.last.open();
    say({ type: 'error', ref: Socket.last.sent[0]!.id, code: 'not_found', message: '', retryable: false });
    vi.advanceTimersByTime(1_001);
    expect((Socket.last.open().sent[0] as SessionOpen).resume).toBeUndefined();
  });

  it('marks the answer lost when a resume brings nothing', () => {
    const { session, message } = asked();
    accept(message);
    create();
    Socket.last.die();
    vi.advanceTimersByTime(FIRST_WAIT);
    Socket.last.ready();
    vi.advanceTimersByTime(20_001);
    expect(session.view.chat.turns[0]?.answer?.status).toBe('lost');
  });

  it('asks a lost question again in its place under a new id', () => {
    const { session, message } = asked();
    accept(message);
    create();
    Socket.last.die();
    vi.advanceTimersByTime(FIRST_WAIT);
    Socket.last.ready();
    vi.advanceTimersByTime(20_001);
    session.again(session.view.chat.turns[0]!);
    expect(session.view.chat.turns).toHaveLength(1);
    expect(Socket.last.of('message.create')[0]?.client_msg_id).not.toBe(message.client_msg_id);
  });

  it('fetches the answer of a message the server already had', () => {
    const { message } = asked();
    Socket.last.die();
    vi.advanceTimersByTime(FIRST_WAIT);
    Socket.last.ready();
    accept(message, { duplicate: true, seq: 9 });
    vi.advanceTimersByTime(3_001);
    Socket.last.ready();
    expect(Socket.last.sent[0]).toMatchObject({ resume: { conversation_id: 'c', last_seq: 0 } });
  });

  it('waits longer each time, with jitter, and comes back at once when the network does', async () => {
    const session = make('https://flaky.example');
    session.shown(true);
    const waits: number[] = [];
    for (let i = 0; i < 8; i++) {
      Socket.last.die();
      await vi.advanceTimersByTimeAsync(0);
      waits.push(session.view.link.retryAt! - Date.now());
      vi.advanceTimersByTime(30_001);
    }
    expect(waits[0]).toBeLessThanOrEqual(600);
    expect(Math.max(...waits)).toBeLessThanOrEqual(30_000);
    expect(waits[7]).toBeGreaterThan(waits[0]!);
    Socket.last.die();
    await vi.advanceTimersByTimeAsync(0);
    const mine = () => Socket.all.filter((socket) => socket.url.includes('flaky')).length;
    const before = mine();
    dispatchEvent(new Event('online'));
    expect(mine()).toBe(before + 1);
  });
});

describe('a socket that is not even opened', () => {
  const ours = '{"error":{"code":"refused","message":""}}';
  it.each([
    [401, 4401, 'stopped', ours],
    [403, 4403, 'stopped', ours],
    [429, 4429, 'waiting', ours],
    // What something in between says is no word of the server.
    [403, 1006, 'waiting', '<h1>Forbidden</h1>'],
    [401, 1006, 'waiting', '{}'],
    [400, 1006, 'waiting', ours],
    [204, 1006, 'waiting', null],
    [undefined, 1006, 'waiting', null],
  ] as const)('asks why: %s is %s, %s: %s', async (status, code, state, body) => {
    const asks = vi.fn(() => (status ? Promise.resolve(new Response(body, { status })) : Promise.reject(new Error('nobody is there'))));
    vi.stubGlobal('fetch', asks);
    const session = make();
    session.shown(true);
    Socket.last.die();
    await vi.advanceTimersByTimeAsync(0);
    expect(asks).toHaveBeenCalledExactlyOnceWith('https://shop.example/ws', { method: 'POST', body: 'key' });
    expect(session.view.link).toMatchObject({ code, state });
  });

  it('keeps the visitor and the conversation: they were not shown to anybody', async () => {
    const { session } = asked();
    accept(session.view.chat.turns[0] as never);
    const { conversationId } = session.view.chat;
    Socket.last.die();
    vi.stubGlobal('fetch', () => Promise.resolve(new Response(ours, { status: 401 })));
    vi.advanceTimersByTime(FIRST_WAIT);
    Socket.last.die();
    await vi.advanceTimersByTimeAsync(0);
    expect(session.view.link).toMatchObject({ state: 'stopped', code: 4401 });
    expect([localStorage.getItem('mc:key:visitor'), session.view.chat.conversationId]).toEqual(['visitor-1', conversationId]);
    expect(conversationId).toBe('c');
  });

  it('asks nothing of a line that stood', async () => {
    const asks = vi.fn();
    vi.stubGlobal('fetch', asks);
    make().shown(true);
    Socket.last.ready().die();
    await vi.advanceTimersByTimeAsync(0);
    expect(asks).not.toHaveBeenCalled();
  });
});

describe('being told to wait', () => {
  it('keeps the moment for a failed answer, and for another one that is refused', () => {
    const { session, message } = asked();
    accept(message);
    create();
    say({ type: 'response.done', response_id: 'r', conversation_id: 'c', seq: 3, status: 'failed', error: { code: 'model_rate_limited', message: 'wait', retryable: true, retry_after_ms: 9000 } } as never);
    const { retryAt } = session.view.chat.turns[0]!.problem!;
    expect(retryAt).toBe(Date.now() + 9000);
    session.regenerate(session.view.chat.turns[0]!);
    vi.advanceTimersByTime(10_000);
    say({ type: 'error', ref: Socket.last.of('response.regenerate')[0]!.id, code: 'rate_limited', message: 'wait', retryable: true, retry_after_ms: 5000 } as never);
    expect(session.view.chat.turns[0]).toMatchObject({ answer: { status: 'failed' }, problem: { retryAt: Date.now() + 5000 } });
  });
});

describe('close codes', () => {
  it('does not hammer a door that stays shut', () => {
    for (const code of [4400, 4403, 4409]) {
      const session = make();
      session.shown(true);
      Socket.last.ready();
      const before = Socket.all.length;
      Socket.last.die(code);
      vi.advanceTimersByTime(120_000);
      expect(Socket.all.length, String(code)).toBe(before);
      expect(session.view.link).toMatchObject({ state: 'stopped', code });
    }
  });

  it('waits half a minute when the rate was too high', () => {
    const session = make();
    session.shown(true);
    Socket.last.ready();
    Socket.last.die(4429);
    vi.advanceTimersByTime(29_000);
    expect(Socket.all).toHaveLength(1);
    vi.advanceTimersByTime(2_000);
    expect(Socket.all).toHaveLength(2);
  });

  it('tries once without a visitor token that is not welcome', () => {
    localStorage.setItem('mc:key:visitor', 'old');
    const session = make();
    session.shown(true);
    Socket.last.open().die(4401);
    expect(Socket.all).toHaveLength(2);
    Socket.last.open();
    expect(Socket.last.sent[0]).not.toHaveProperty('visitor_token');
    Socket.last.die(4401);
    expect(Socket.all).toHaveLength(2);
    expect(session.view.link).toMatchObject({ state: 'stopped', code: 4401 });
  });

  it('gives a text that was too large back to the composer instead of sending it again', () => {
    const { session } = asked('很长的问题');
    Socket.last.die(1009);
    vi.advanceTimersByTime(FIRST_WAIT);
    Socket.last.ready();
    expect(Socket.last.of('message.create')).toHaveLength(0);
    expect(session.view).toMatchObject({ draft: '很长的问题', chat: { turns: [] }, link: { state: 'ready', code: 1009 } });
  });
});

describe('stopping', () => {
  it('cancels the response', () => {
    const { session, message } = asked();
    accept(message);
    create();
    session.stop();
    expect(Socket.last.of('response.cancel')).toMatchObject([{ response_id: 'r' }]);
  });

  it('cancels as soon as there is something to cancel', () => {
    const { session, message } = asked();
    session.stop();
    expect(Socket.last.of('response.cancel')).toHaveLength(0);
    accept(message);
    create();
    expect(Socket.last.of('response.cancel')).toHaveLength(1);
  });

  it('takes an unsent question back', () => {
    const session = make();
    session.ask('等等');
    session.stop();
    expect(session.view).toMatchObject({ draft: '等等', chat: { turns: [] } });
  });
});

describe('reloading the page', () => {
  it('shows the conversation again and resumes what was running', () => {
    const { message } = asked();
    accept(message);
    create();
    text(3, 0, '一万');
    dispatchEvent(new Event('pagehide'));
    const again = make();
    expect(again.view.chat.turns[0]?.answer?.text).toBe('一万');
    again.shown(true);
    Socket.last.ready();
    expect(Socket.last.sent[0]).toMatchObject({ resume: { conversation_id: 'c', last_seq: 3 } });
  });

  it('starts afresh when what was kept makes no sense', () => {
    sessionStorage.setItem('mc:key:chat', '{"chat":7}');
    expect(make().view.chat.turns).toEqual([]);
  });
});

describe('another answer, another question, an opinion', () => {
  const done = (seq: number) => say({ type: 'response.done', response_id: 'r', conversation_id: 'c', seq, status: 'completed', citations: [], suggestions: [] } as never);

  function answered(): { session: Session; message: MessageCreate } {
    const made = asked();
    accept(made.message);
    create();
    text(3, 0, '旧');
    done(4);
    return made;
  }

  it('puts the other answer where the old one stood', () => {
    const { session, message } = answered();
    session.regenerate(session.view.chat.turns[0]!);
    const [again] = Socket.last.of('response.regenerate');
    expect(again).toMatchObject({ id: message.id, response_id: 'r' });
    say({ type: 'message.accepted', ref: message.id, message_id: 'srv', duplicate: false, conversation_id: 'c', seq: 5 });
    say({ type: 'response.created', response_id: 'r2', message_id: 'srv', model: 'a', replaces: 'r', conversation_id: 'c', seq: 6 });
    say({ type: 'response.text.delta', response_id: 'r2', conversation_id: 'c', seq: 7, offset: 0, delta: '新' });
    expect(session.view.chat.turns).toMatchObject([{ id: message.id, answer: { id: 'r2', text: '新' } }]);
  });

  it('keeps the old answer when there is no other', () => {
    const { session, message } = answered();
    session.regenerate(session.view.chat.turns[0]!);
    say({ type: 'error', ref: message.id, code: 'model_not_found', message: 'gone', retryable: false });
    expect(session.view.chat.turns).toMatchObject([{ answer: { id: 'r', text: '旧' } }]);
    expect(session.view.problem?.code).toBe('model_not_found');
  });

  it('resumes when the line broke before the server’s word, and the answer is on its way', () => {
    const { session, message } = answered();
    session.regenerate(session.view.chat.turns[0]!);
    Socket.last.die();
    vi.advanceTimersByTime(FIRST_WAIT);
    Socket.last.ready();
    expect(Socket.last.of('response.regenerate')).toHaveLength(1);
    say({ type: 'error', ref: message.id, code: 'response_replaced', message: '', retryable: false });
    Socket.last.ready();
    expect(Socket.last.sent[0]).toMatchObject({ resume: { conversation_id: 'c', last_seq: 4 } });
    say({ type: 'response.created', response_id: 'r2', message_id: 'srv', model: 'a', replaces: 'r', conversation_id: 'c', seq: 6 });
    expect(session.view.chat.turns).toMatchObject([{ answer: { id: 'r2', status: 'running' } }]);
  });

  it('leaves the question that is being edited to its editor', () => {
    const { session } = answered();
    const [turn] = session.view.chat.turns;
    session.edit(turn);
    session.ask('另一个问题');
    expect(Socket.last.of('message.create')[1]!.replaces).toBeUndefined();
    expect(session.view.editing).toBe(turn!.id);
    session.edit(undefined);
    expect(session.view).toMatchObject({ editing: undefined, draft: '' });
    session.takeDraft();
    session.fresh();
    expect(session.view.draft).toBeUndefined();
  });

  it('asks an edited question in the place of the old one and what followed', () => {
    const { session } = answered();
    session.edit(session.view.chat.turns[0]);
    expect(session.view).toMatchObject({ draft: '保证金？', editing: session.view.chat.turns[0]!.id });
    session.ask('跨境店呢？', true);
    expect(Socket.last.of('message.create')[1]).toMatchObject({ text: '跨境店呢？', replaces: 'srv' });
    expect(session.view.chat.turns.map((turn) => turn.text)).toEqual(['跨境店呢？']);
    expect(session.view.editing).toBeUndefined();
  });

  it('sends an opinion once, also when there was no line at first', () => {
    const { session } = answered();
    Socket.last.die();
    session.rate(session.view.chat.turns[0]!, { rating: 'down', reasons: ['wrong'] });
    Socket.last.ready();
    expect(Socket.last.of('feedback.create')).toMatchObject([{ response_id: 'r', rating: 'down', reasons: ['wrong'] }]);
    session.ask('还有呢？');
    expect(Socket.last.of('feedback.create')).toHaveLength(1);
  });

  it('shows an opinion at once: what is pressed before the next frame builds on what is drawn', () => {
    const { session } = answered();
    vi.advanceTimersByTime(50);
    const drawn: unknown[] = [];
    session.watch(() => drawn.push(session.view.chat.turns[0]!.answer?.feedback?.reasons));
    session.rate(session.view.chat.turns[0]!, { rating: 'down', reasons: ['wrong'] });
    expect(drawn).toEqual([['wrong']]);
  });
});

it('paints once per frame, however many frames came', () => {
  const { session, message } = asked();
  vi.advanceTimersByTime(50);
  const paint = vi.fn();
  session.watch(paint);
  accept(message);
  create();
  for (let i = 0; i < 100; i++) text(3 + i, i, '字');
  expect(paint).not.toHaveBeenCalled();
  vi.advanceTimersByTime(50);
  expect(paint).toHaveBeenCalledTimes(1);
  expect(session.view.chat.turns[0]?.answer?.length).toBe(100);
});
