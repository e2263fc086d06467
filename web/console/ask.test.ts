import { afterEach, expect, it, vi } from 'vitest';
import { ended, snippet } from './Access';
import { ApiError } from './api';
import { ask } from './ask';
import { asFile } from './Correct';
import { explain } from './load';
import type { Fate } from '../shared/wire';
import { type Decided, summary, tabsOf, writes as counted } from './Plan';
import { priceOf } from './price';
import { findingOf } from './Prompts';
import { noteOf, reasonOf } from './reasons';
import { closes } from './route';
import { words } from './words';

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

it('fails when the line breaks before the answer is complete, and leaves a stop as it is', async () => {
  const begun = 'data: {"type":"response.text.delta","delta":"保证金"}\n\n';
  replying([begun]);
  await expect(ask({ text: 'a' }, () => undefined)).rejects.toMatchObject({ code: 'answer_broken' });
  const breaking = () => vi.stubGlobal('fetch', async () => new Response(new ReadableStream({ start: (stream) => stream.error(new TypeError('network error')) })));
  breaking();
  await expect(ask({ text: 'a' }, () => undefined)).rejects.toMatchObject({ code: 'answer_broken' });
  breaking();
  await expect(ask({ text: 'a' }, () => undefined, AbortSignal.abort())).rejects.toThrow('network error');
  const error = new ApiError(-1, 'answer_broken', '');
  expect([explain(error, words.en), explain(error, words.zh)]).toEqual([words.en.answerBroken, words.zh.answerBroken]);
});

it('keeps until when it is of no use to ask again, from an error, a failed answer and a refused call', async () => {
  const before = Date.now();
  const refused = async () => ((await ask({ text: 'a' }, () => undefined).catch((error: unknown) => error)) as ApiError).retryAt!;
  replying(['data: {"type":"error","code":"rate_limited","message":"","retry_after_ms":2000}\n\n']);
  expect(await refused()).toBeGreaterThanOrEqual(before + 2000);
  replying(['data: {"type":"response.done","status":"failed","error":{"code":"model_rate_limited","message":"","retryable":true,"retry_after_ms":3000}}\n\n']);
  expect(await refused()).toBeGreaterThanOrEqual(before + 3000);
  vi.stubGlobal('fetch', () => Promise.resolve(new Response('{"error":{"code":"rate_limited","message":""}}', { status: 429, headers: { 'Retry-After': '4' } })));
  expect(await refused()).toBeGreaterThanOrEqual(before + 4000);
  replying(['data: {"type":"error","code":"model_not_found","message":""}\n\n']);
  expect(await refused()).toBeUndefined();
});

it('sends a correction as a file of one row, with what is empty: a missing field would stay as it is', async () => {
  const text = await asFile({ id: 'e_1', answer: '7 天', tags: [], market: null, direct: false }).text();
  expect(JSON.parse(text)).toEqual({ id: 'e_1', answer: '7 天', tags: [], market: null, direct: false });
});

it('counts what a plan would write after what was decided', () => {
  const plan = { plan: { added: 3, changed: 1, unchanged: 9, duplicates: 0, conflicts: 2, failed: 1, deleted: 1, revision: 1 } };
  const writes = (decided: Decided) => counted(plan as never, decided);
  expect(tabsOf(plan.plan).map(([fate]) => fate)).toEqual(['added', 'changed', 'conflicting', 'failed', 'deleted', 'unchanged']);
  const accept = new Map<number, 'added' | 'changed'>([[7, 'added']]);
  const decided: Decided = { accept, replace: new Map(), skip: new Map<number, Fate>([[0, 'added'], [1, 'changed']]), all: false };
  expect(writes(decided)).toEqual({ added: 3, changed: 0, replaced: 0, conflicting: 0, deleted: 1 });
  expect(summary(writes(decided), words.en)).toBe('1 deleted, 3 added');
  expect(writes({ ...decided, accept: new Map([[7, 'changed']]) })).toEqual({ added: 2, changed: 1, replaced: 0, conflicting: 0, deleted: 1 });
  expect(writes({ ...decided, accept: new Map(), skip: new Map<number, Fate>([[7, 'conflicting']]), all: true }).conflicting).toBe(1);
  const replacing: Decided = { accept: new Map(), replace: new Map([[8, 'e']]), skip: new Map(), all: false };
  expect([writes(replacing), writes({ ...replacing, all: true })]).toMatchObject([{ changed: 1, replaced: 1, conflicting: 0 }, { changed: 1, replaced: 1, conflicting: 1 }]);
  expect(writes({ ...replacing, replace: new Map([[8, 'e'], [9, 'e']]) }).replaced, 'an entry is replaced once').toBe(1);
  expect(summary(writes(replacing), words.zh)).toBe('删除 1 条、替换 1 条、修改 1 条、新增 3 条');
});

it('says why a row is held back in the page’s language, without flags of the command line', () => {
  const row = { code: 'conflicting', message: '… import with --accept-conflicts.', details: { entry: 'e_1', source: '规则.xlsx', here: ['20000'], there: ['10000', '3'] } };
  expect(reasonOf(row, words.zh)).toContain('条目 e_1（来自 规则.xlsx）是同样的问题，答案却不同（这里是 20000、那里是 10000、3）');
  expect(reasonOf({ ...row, details: { row: 4 } }, words.en)).toContain('The same question as row 4, with another answer. ');
  const near = { ...row, details: { ...row.details, near: true, here: ['七天'] } };
  expect(reasonOf(near, words.zh)).toContain('条目 e_1（来自 规则.xlsx）问的几乎一样，答案却相互矛盾（这里是 七天、');
  expect(reasonOf(near, words.en)).toContain('Nearly the same question as entry e_1 from 规则.xlsx, with a contrary answer (here 七天, ');
  for (const say of [words.zh, words.en]) {
    expect(reasonOf(row, say)).not.toContain('--');
    expect(reasonOf({ ...row, details: { row: 4 } }, say), 'no entry to replace').not.toContain(say.waysOver);
    expect(reasonOf({ ...row, instead: {} }, say)).toContain(say.waysOver);
  }
  // What is done in the console is said in its own words; on the server are only what it cannot do.
  const commands = Object.values({ ...words.zh.problems, ...words.en.problems }).filter((text) => /`|--|merchant-copilot (?!kb reindex|doctor)/.test(text));
  expect(commands).toEqual([]);
  expect(noteOf('a.csv: columns not used: `x`', words.zh)).toBe('a.csv：没有用到的列：`x`');
  for (const rows of ['row 3', '2 rows, the first is 3']) expect(noteOf(`a.csv: market \`Japn\` (${rows}) is no country that is known here; …`, words.zh)).toContain('a.csv：站点“Japn”（第 3 行起）');
  expect(noteOf('anything else', words.zh)).toBe('anything else');
});

it('says what is wrong with a prompt by the code', () => {
  const finding = { line: 3, level: 'error' as const, code: 'undeclared_variable', details: { name: 'nobody', declared: 'question' }, message: 'English' };
  expect(findingOf(finding, words.zh)).toBe('`nobody` 没有声明。已声明的有：question。');
  expect(findingOf(finding, words.en)).toBe('English');
});

it('asks before what is open is closed, not when a list is narrowed down', () => {
  expect(closes('#/knowledge?id=a&q=x', '#/knowledge?id=a&q=y')).toBe(false);
  for (const to of ['#/knowledge?id=b', '#/knowledge', '#/prompts?id=a']) expect(closes('#/knowledge?id=a', to)).toBe(true);
});

it('tells a free model from one without a price', () => {
  const model = { id: 'a', price_in: 0, price_out: 0, currency: 'CNY' } as never;
  expect([priceOf(model, 'price_in', words.en), priceOf({ ...(model as object), id: 'builtin' } as never, 'price_in', words.en)]).toEqual(['no price set', 'free']);
});

it('knows an ended key, and how a page embeds one', () => {
  const key = { revoked_ms: null, expires_ms: 10 } as never;
  expect([ended(key, 9), ended(key, 10)]).toEqual([false, true]);
  expect(snippet('https://a.example', 'site_1')).toBe('<script src="https://a.example/widget.js" data-key="site_1" async></script>');
});
