import { afterEach, expect, it, vi } from 'vitest';
import { ended, snippet } from './Access';
import { ask } from './ask';
import { asFile } from './Correct';
import { tabsOf, writes } from './Plan';

afterEach(() => vi.unstubAllGlobals());

/** A reply whose bytes come in the given pieces, wherever they are cut. */
function replying(pieces: string[]): void {
  const body = new ReadableStream({
    start(stream) {
      for (const piece of pieces) stream.enqueue(new TextEncoder().encode(piece));
      stream.close();
    },
  });
  vi.stubGlobal('fetch', async () => new Response(body, { status: 200 }));
}

it('puts an answer together however its events are cut', async () => {
  const frames = [
    { type: 'response.created', response_id: 'r_1' },
    { type: 'response.sources', decision: 'grounded', sources: [{ n: 1, title: '保证金' }] },
    { type: 'response.text.delta', delta: '保证金' },
    { type: 'response.text.delta', delta: '可退' },
    { type: 'response.text.done', text: '保证金可退。' },
    { type: 'response.done', status: 'completed' },
  ];
  const text = frames.map((frame) => `event: x\ndata: ${JSON.stringify(frame)}\n\n`).join('');
  replying([text.slice(0, 50), text.slice(50, 201), text.slice(201)]);
  const seen: string[] = [];
  const told = await ask({ text: '保证金' }, (told) => seen.push(told.text));
  expect([told.response, told.decision, told.text, told.done?.status]).toEqual(['r_1', 'grounded', '保证金可退。', 'completed']);
  expect(seen).toContain('保证金可退');
});

it('fails with what the server says', async () => {
  replying(['data: {"type":"error","code":"model_not_found","message":"no"}\n\n']);
  await expect(ask({ text: 'a' }, () => undefined)).rejects.toMatchObject({ code: 'model_not_found' });
});

it('sends a correction as a file of one row, without what is empty', async () => {
  const text = await asFile({ id: 'e_1', answer: '7 天', tags: [], market: null, direct: false }).text();
  expect(JSON.parse(text)).toEqual({ id: 'e_1', answer: '7 天', direct: false });
});

it('counts what a plan would write after what was decided', () => {
  const plan = { plan: { added: 3, changed: 1, unchanged: 9, duplicates: 0, conflicts: 2, failed: 1, deleted: 1, revision: 1 } } as never;
  expect(tabsOf(plan).map(([fate]) => fate)).toEqual(['added', 'changed', 'conflicting', 'failed', 'deleted', 'unchanged']);
  expect(writes(plan, new Set([7]), new Set([0, 1]))).toBe(4);
});

it('knows an ended key, and how a page embeds one', () => {
  const key = { revoked_ms: null, expires_ms: 10 } as never;
  expect([ended(key, 9), ended(key, 10)]).toEqual([false, true]);
  expect(snippet('https://a.example', 'site_1')).toBe('<script src="https://a.example/widget.js" data-key="site_1" async></script>');
});
