import { describe, expect, it } from 'vitest';
import type { ServerFrame } from '../shared/wire';
import { ask, change, emptyChat, isOpen, lose, openTurn, points, receive, unsend, type Chat } from './state';

const asked = ask(emptyChat, { id: 'm1', text: '保证金？', locale: 'zh' });
const accepted: ServerFrame = { type: 'message.accepted', ref: 'm1', message_id: 'srv1', duplicate: false, conversation_id: 'c', seq: 1 };
const created: ServerFrame = { type: 'response.created', response_id: 'r', message_id: 'srv1', model: 'x', conversation_id: 'c', seq: 2 };
const delta = (seq: number, offset: number, delta: string): ServerFrame => ({ type: 'response.text.delta', conversation_id: 'c', response_id: 'r', seq, offset, delta });
const ended = { finish_reason: 'stop', usage: { prompt_tokens: 0, completion_tokens: 0, cost: 0, currency: 'USD' }, citations: [], suggestions: [], timings_ms: { queue: 0, retrieval: 0, first_token: 0, total: 0 } };
const done = (seq: number): ServerFrame => ({ ...ended, type: 'response.done', conversation_id: 'c', response_id: 'r', seq, status: 'completed', citations: [{ n: 1, start: 0, end: 3 }], suggestions: ['还有？'] });

function play(chat: Chat, ...frames: ServerFrame[]): Chat {
  return frames.reduce(receive, chat);
}
const answer = (chat: Chat) => chat.turns.at(-1)?.answer;

describe('one turn', () => {
  it('goes from question to finished answer', () => {
    const chat = play(
      asked,
      accepted,
      created,
      { type: 'response.status', conversation_id: 'c', response_id: 'r', seq: 3, stage: 'retrieving' },
      { type: 'response.sources', conversation_id: 'c', response_id: 'r', seq: 4, decision: 'grounded', sources: [{ n: 1, entry_id: 'e', title: 't', snippet: 's', url: null, score: 1 }] },
      { type: 'response.reasoning.delta', conversation_id: 'c', response_id: 'r', seq: 5, delta: '想' },
      delta(6, 0, '一万'),
      delta(7, 2, '元 [1]'),
      { type: 'response.text.done', conversation_id: 'c', response_id: 'r', seq: 8, text: '一万元 [1]。' },
      done(9),
    );
    expect(chat).toMatchObject({ conversationId: 'c', lastSeq: 9 });
    expect(answer(chat)).toMatchObject({ status: 'completed', text: '一万元 [1]。', reasoning: '想', decision: 'grounded', suggestions: ['还有？'], citations: [{ n: 1 }] });
    expect(openTurn(chat)).toBeUndefined();
  });

  it('misses nothing under a greeting', () => {
    const told = (courtesy?: true): ServerFrame => ({ type: 'response.sources', conversation_id: 'c', response_id: 'r', seq: 3, decision: 'none', sources: [], ...(courtesy && { courtesy }) });
    expect(answer(play(asked, accepted, created, told(true)))?.decision).toBeUndefined();
    expect(answer(play(asked, accepted, created, told()))?.decision).toBe('none');
  });

  it('lets the final text overrule what was streamed', () => {
    const chat = play(asked, accepted, created, delta(3, 0, '身份证 1234'), { type: 'response.text.done', conversation_id: 'c', response_id: 'r', seq: 4, text: '身份证 ****' }, delta(5, 8, '多余'));
    expect(answer(chat)?.text).toBe('身份证 ****');
  });

  it('keeps the error of a failed answer, and the part that came', () => {
    const chat = play(asked, accepted, created, delta(3, 0, '一半'), { ...ended, type: 'response.done', conversation_id: 'c', response_id: 'r', seq: 4, status: 'failed', error: { code: 'timeout', message: '', retryable: true } });
    expect(answer(chat)).toMatchObject({ status: 'failed', text: '一半', error: { code: 'timeout' } });
  });

  it('marks a refused message, and leaves an accepted one alone', () => {
    const refusal: ServerFrame = { type: 'error', ref: 'm1', code: 'rate_limited', message: '', retryable: true };
    expect(receive(asked, refusal).turns[0]).toMatchObject({ delivery: 'refused', problem: { code: 'rate_limited' } });
    expect(play(asked, accepted, refusal).turns[0]).toMatchObject({ delivery: 'accepted' });
  });
});

describe('offsets', () => {
  const begun = play(asked, accepted, created, delta(3, 0, '保证金'));

  it('counts code points, not UTF-16 units', () => {
    const chat = play(asked, accepted, created, delta(3, 0, '😀好'), delta(4, 2, '的'), delta(5, 1, '好的！'));
    expect(answer(chat)).toMatchObject({ text: '😀好的！', length: 4 });
    expect(points('😀好')).toBe(2);
  });

  it('drops what it already has', () => {
    expect(answer(play(begun, delta(4, 0, '保证金')))?.text).toBe('保证金');
    expect(answer(play(begun, delta(4, 1, '证金要')))?.text).toBe('保证金要');
  });

  it('holds back what came too early, in any order', () => {
    const gap = play(begun, delta(4, 6, '多'), delta(5, 5, '交'));
    expect(answer(gap)?.text).toBe('保证金');
    expect(answer(play(gap, delta(6, 3, '要要')))?.text).toBe('保证金要要交多');
  });

  it('fills a gap for good with the final text', () => {
    const chat = play(begun, delta(4, 9, '尾'), { type: 'response.text.done', conversation_id: 'c', response_id: 'r', seq: 5, text: '全文' });
    expect(answer(chat)).toMatchObject({ text: '全文', early: [] });
  });
});

describe('frames that must change nothing', () => {
  const running = play(asked, accepted, created, delta(3, 0, '保'));

  it('a repeated seq', () => {
    expect(receive(running, delta(3, 1, '重复'))).toBe(running);
  });

  it('another conversation', () => {
    expect(receive(running, { ...delta(9, 1, '别人'), conversation_id: 'other' } as ServerFrame)).toBe(running);
  });

  it('a conversation that was left behind by starting a new one', () => {
    expect(play(emptyChat, accepted, created, delta(3, 0, '旧'))).toEqual(emptyChat);
  });

  it('a type from the future', () => {
    const chat = receive(running, { type: 'response.picture', conversation_id: 'c', seq: 4 } as never);
    expect(chat.turns).toEqual(running.turns);
  });

  it('anything after the end', () => {
    const chat = play(running, done(4), delta(5, 1, '尾巴'), { ...done(6), status: 'failed' } as ServerFrame);
    expect(answer(chat)).toMatchObject({ status: 'completed', text: '保' });
  });
});

describe('a lost connection', () => {
  const running = play(asked, accepted, created, delta(3, 0, '保'));

  it('sends again what was not confirmed', () => {
    const sent = change(asked, 'm1', { delivery: 'sent' });
    expect(unsend(sent).turns[0]?.delivery).toBe('waiting');
    expect(unsend(running).turns[0]?.delivery).toBe('accepted');
  });

  it('marks only what was running', () => {
    expect(answer(lose(running))?.status).toBe('lost');
    expect(answer(lose(play(running, done(4))))?.status).toBe('completed');
    expect(lose(asked)).toEqual(asked);
  });

  it('closes a turn that was accepted but never answered', () => {
    expect(isOpen(lose(play(asked, accepted)).turns[0]!)).toBe(false);
  });

  it('takes a lost answer up again when frames come after all', () => {
    const chat = play(lose(running), delta(4, 1, '证金'), done(5));
    expect(answer(chat)).toMatchObject({ status: 'completed', text: '保证金' });
  });

  it('replays from the middle without doubling', () => {
    const chat = play(running, delta(2, 0, '旧'), delta(3, 0, '保'), delta(4, 1, '证'), done(5));
    expect(answer(chat)?.text).toBe('保证');
  });

  it('does not skip frames because of a repeated acceptance', () => {
    const chat = receive(asked, { ...accepted, duplicate: true, seq: 7 } as ServerFrame);
    expect(chat).toMatchObject({ conversationId: 'c', lastSeq: 0 });
    expect(answer(play(chat, created, delta(3, 0, '保')))?.text).toBe('保');
  });

  it('survives being written down and read back', () => {
    const restored = JSON.parse(JSON.stringify(running)) as Chat;
    expect(answer(play(restored, delta(4, 1, '证'), done(5)))).toMatchObject({ status: 'completed', text: '保证' });
  });
});
