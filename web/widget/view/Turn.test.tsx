import { render } from 'preact';
import { expect, it, vi } from 'vitest';
import { ask, change, emptyChat, receive } from '../state';
import { en } from '../words/en';
import { zh } from '../words/zh';
import { TurnView } from './Turn';

/** What stands under an answer whose sources were told so. */
function mark(say: typeof zh, unsourced: boolean): string | undefined {
  const of = { conversation_id: 'c', response_id: 'r' };
  let chat = change(ask(emptyChat, { id: 't', text: '问', locale: 'zh' }), 't', { delivery: 'accepted', messageId: 'm' });
  chat = receive({ ...chat, conversationId: 'c' }, { type: 'response.created', ...of, seq: 1, message_id: 'm', model: 'a' });
  chat = receive(chat, { type: 'response.sources', ...of, seq: 2, decision: 'none', sources: [], ...(unsourced && { unsourced }) });
  chat = receive(chat, { type: 'response.text.done', ...of, seq: 3, text: '答' });
  chat = change(chat, 't', { answer: { ...chat.turns[0]!.answer!, status: 'completed' } });
  const place = document.createElement('div');
  const nothing = vi.fn();
  render(<TurnView say={say} turn={chat.turns[0]!} last busy={false} lang="zh" reasons={undefined} mark={say.aiMark} linkHosts={[]} contact={undefined} called={nothing} again={nothing} regenerate={nothing} edit={nothing} rate={nothing} ask={nothing} openSource={nothing} />, place);
  return place.querySelector('[data-testid=ai-mark]')?.textContent ?? undefined;
}

it('says beside the mark of AI that an answer has no source', () => {
  for (const say of [zh, en]) expect([mark(say, true), mark(say, false)]).toEqual([say.aiMark + say.unsourced, say.aiMark]);
  expect(mark(en, true)).toBe('Written by AI; check the sources (this one has no source)');
});
