import { render } from 'preact';
import { afterEach, expect, it, vi } from 'vitest';
import type { ImportPlan, PastImport } from '../shared/wire';
import { Import } from './Import';
import { Desk, type DeskValue } from './load';
import { words } from './words';

const say = words.zh;
const at = { created_ms: 1, expires_ms: 2, by: 'key_1', applied_ms: null };
const waits: PastImport = { ...at, id: 'im_1', files: ['规则.csv'], state: 'planned', counts: { added: 1 }, undoable: false };
const typed: PastImport = { ...at, id: 'im_2', files: ['console.jsonl'], state: 'applied', applied_ms: 1, counts: { added: 1 }, undoable: true };
const plan: ImportPlan = { ...at, id: 'im_1', state: 'planned', files: ['console.jsonl'], plan: { added: 1, changed: 0, unchanged: 0, duplicates: 0, conflicts: 0, failed: 0, revision: 1 }, applied: null, undone: null, rows: [], next: null };

/** The page at an address, what it asked the server for, and what it said; `applied`: somebody else writes the plan meanwhile. */
function shown(hash: string, applied = false): { place: HTMLElement; asked: string[]; told: string[] } {
  const [asked, told]: [string[], string[]] = [[], []];
  const list = [waits, typed];
  vi.stubGlobal('fetch', async (path: string, { method }: RequestInit) => {
    asked.push(`${method} ${path}`);
    if (method === 'DELETE') {
      list.shift();
      if (applied) {
        list.unshift({ ...waits, state: 'applied', undoable: true });
        return Response.json({ error: { code: 'import_applied', message: '' } }, { status: 409 });
      }
      return new Response(null, { status: 204 });
    }
    return Response.json(/imports(\?|$)/.test(path) ? { imports: [...list], next: null } : plan);
  });
  location.hash = hash;
  const place = document.createElement('div');
  document.body.append(place);
  const desk = { say, lang: 'zh', linkHosts: [], expired: () => undefined, tell: ({ text }: { text: string }) => told.push(text), undone: 0 } as unknown as DeskValue;
  render(<Desk.Provider value={desk}><Import values={new URLSearchParams(hash.split('?')[1])} /></Desk.Provider>, place);
  return { place, asked, told };
}

const part = (place: HTMLElement, id: string) => place.querySelector<HTMLElement>(`[data-testid=${id}]`);

afterEach(() => {
  vi.unstubAllGlobals();
  document.body.textContent = '';
});

it('discards a plan that waits when somebody says so twice, and no other import', async () => {
  const { place, asked, told } = shown('#/import');
  const row = () => part(place, 'past-import')!;
  await vi.waitFor(() => expect(row().dataset.state).toBe('planned'));
  part(row(), 'ask-first')!.click();
  await vi.waitFor(() => expect(part(row(), 'sure')).not.toBeNull());
  expect(asked.some((one) => one.startsWith('DELETE'))).toBe(false);
  part(row(), 'sure')!.click();
  await vi.waitFor(() => expect(place.querySelectorAll('[data-testid=past-import]').length).toBe(1));
  expect(asked.filter((one) => one.startsWith('DELETE'))).toEqual(['DELETE /api/v1/knowledge/imports/im_1']);
  expect(told).toEqual(['计划已放弃，没有写入任何内容：规则.csv']);
  expect(part(row(), 'ask-first')!.textContent).toBe(say.takeBack);
});

it('reads the list again when the server does not discard a plan, and says why', async () => {
  const { place, asked, told } = shown('#/import', true);
  const row = () => part(place, 'past-import')!;
  await vi.waitFor(() => expect(row()?.dataset.state).toBe('planned'));
  part(row(), 'ask-first')!.click();
  await vi.waitFor(() => expect(part(row(), 'sure')).not.toBeNull());
  part(row(), 'sure')!.click();
  await vi.waitFor(() => expect(row().dataset.state).toBe('applied'));
  expect(place.querySelector('[role=alert]')!.textContent).toBe(say.problems.import_applied);
  expect(part(row(), 'ask-first')!.textContent, 'the way back').toBe(say.takeBack);
  expect([asked.filter((one) => one.startsWith('DELETE')).length, told]).toEqual([1, []]);
});

it('leaves a plan where it is when other files are opened', async () => {
  const { place, asked } = shown('#/import?plan=im_1');
  await vi.waitFor(() => expect(part(place, 'other-files')).not.toBeNull());
  part(place, 'other-files')!.click();
  await vi.waitFor(() => expect(location.hash).toBe('#/import'));
  expect(asked.some((one) => one.startsWith('DELETE'))).toBe(false);
});

it('names what was typed so, in the list and over its plan, and no file', async () => {
  const list = shown('#/import');
  await vi.waitFor(() => expect(list.place.textContent).toContain(say.typedImport));
  const one = shown('#/import?plan=im_1');
  await vi.waitFor(() => expect(part(one.place, 'plan')).not.toBeNull());
  expect(one.place.textContent).toContain(say.typedImport);
  expect(part(one.place, 'report'), 'there is no file to report about').toBeNull();
  for (const { place } of [list, one]) expect(place.textContent).not.toContain('console.jsonl');
});
