import { describe, expect, it } from 'vitest';
import { chatOf, type StoredTurn } from './archive';
import { openTurn, receive } from './state';
import { when } from './view/History';

const turn = (id: string, ordinal: number, more: Partial<StoredTurn> = {}): StoredTurn => ({
  id, ordinal, client_msg_id: `c${ordinal}`, message_id: `m${ordinal}`, question: `q${ordinal}`, answer: '𠮷答', decision: 'grounded', status: 'completed',
  error: null, sources: [], unsourced: false, citations: [], suggestions: [], replaces: null, replaced_by: null, feedback: null, ...more,
});

describe('an earlier conversation', () => {
  it('comes back with its answers, and goes on after the last event', () => {
    const chat = chatOf('c', [turn('r1', 1, { feedback: { rating: 'up', reasons: [], comment: null } }), turn('r2', 2)], 'zh');
    expect(chat).toMatchObject({ conversationId: 'c', lastSeq: 2_999_999 });
    expect(chat.turns.map(({ text }) => text)).toEqual(['q1', 'q2']);
    expect(chat.turns[0]?.answer).toMatchObject({ id: 'r1', length: 2, final: true, feedback: { rating: 'up', sent: true } });
    expect(openTurn(chat)).toBeUndefined();
  });

  it('shows the answer that took another’s place, where that one stood', () => {
    const stored = [turn('r1', 1, { replaced_by: 'r3' }), turn('r2', 2), turn('r3', 3, { question: 'q1', replaces: 'r1' })];
    const chat = chatOf('c', stored, 'zh');
    expect(chat.turns.map(({ answer }) => answer?.id)).toEqual(['r3', 'r2']);
    expect(chat.lastSeq).toBe(3_999_999);
  });

  it('lets a running answer be told by resuming', () => {
    let chat = chatOf('c', [turn('r1', 1), turn('r2', 2, { status: 'running', answer: '半' })], 'zh');
    expect(chat.lastSeq).toBe(2_000_000);
    expect(openTurn(chat)?.messageId).toBe('m2');
    chat = receive(chat, { type: 'response.created', conversation_id: 'c', response_id: 'r2', seq: 2_000_002, message_id: 'm2', model: 'a' });
    chat = receive(chat, { type: 'response.text.delta', conversation_id: 'c', response_id: 'r2', seq: 2_000_010, offset: 0, delta: '半句' });
    expect(chat.turns.at(-1)?.answer?.text).toBe('半句');
  });

  it('remembers that an answer had no source', () => {
    const { turns } = chatOf('c', [turn('r1', 1, { decision: 'none', unsourced: true }), turn('r2', 2)], 'zh');
    expect(turns.map(({ answer }) => answer?.unsourced)).toEqual([true, false]);
  });

  it('may be empty', () => {
    expect(chatOf('c', [], 'zh')).toMatchObject({ turns: [], lastSeq: 999_999 });
  });
});

describe('when it was', () => {
  const now = Date.parse('2026-11-26T12:00:00Z');
  it('is told relatively within a day, and as a day beyond', () => {
    expect(when(now - 5 * 60_000, 'zh', now)).toBe('5分钟前');
    expect(when(now - 3 * 3_600_000, 'en', now)).toBe('3 hours ago');
    expect(when(now - 3 * 86_400_000, 'zh', now)).toBe('2026年11月23日');
    expect(when(now + 10_000, 'en', now)).toBe('just now');
  });
});
