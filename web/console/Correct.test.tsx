import { render } from 'preact';
import { afterEach, expect, it, vi } from 'vitest';
import type { ImportPlan, StoredTurn } from '../shared/wire';
import { Correct } from './Correct';
import { Desk, type DeskValue } from './load';
import { settled } from './unsaved';
import { words } from './words';

const say = words.zh;
const counts = { added: 1, changed: 0, unchanged: 0, duplicates: 0, conflicts: 0, failed: 0, revision: 1 };
const plan: ImportPlan = { id: 'im_1', state: 'planned', files: ['console.jsonl'], created_ms: 1, expires_ms: 2, by: 'key_1', applied_ms: null, plan: counts, applied: null, undone: null, rows: [], next: null };

/** The plan of an answer that was typed, with what the server says to DELETE, and where it stands then. */
async function planned(status: number, now: ImportPlan): Promise<HTMLElement> {
  vi.stubGlobal('fetch', async (path: string, { method }: RequestInit) => {
    if (method === 'DELETE') return status === 204 ? new Response(null, { status }) : Response.json({ error: { code: `import_${now.state}`, message: '' } }, { status });
    if (method === 'POST') return Response.json(plan);
    return Response.json(path.includes('?') ? plan : now);
  });
  const place = document.createElement('div');
  document.body.append(place);
  const desk = { say, lang: 'zh', linkHosts: [], expired: () => undefined, tell: () => undefined, undone: 0 } as unknown as DeskValue;
  const turn = { question: '几点关门？', query: null, sources: [], market: null } as unknown as StoredTurn;
  render(<Desk.Provider value={desk}><Correct turn={turn} close={() => undefined} /></Desk.Provider>, place);
  await vi.waitFor(() => expect((part(place, 'right-question') as HTMLTextAreaElement).value, 'its fields are set').toBe(turn.question));
  const answer = part(place, 'right-answer') as HTMLTextAreaElement;
  answer.value = '十八点。';
  answer.dispatchEvent(new Event('input', { bubbles: true }));
  await vi.waitFor(() => expect((part(place, 'look') as HTMLButtonElement).disabled).toBe(false));
  part(place, 'look')!.click();
  await vi.waitFor(() => expect(part(place, 'back-to-edit')).not.toBeNull());
  part(place, 'back-to-edit')!.click();
  return place;
}

const part = (place: HTMLElement, id: string) => place.querySelector<HTMLElement>(`[data-testid=${id}]`);

afterEach(() => {
  vi.unstubAllGlobals();
  settled();
  document.body.textContent = '';
});

it('goes back to what was typed when its plan is discarded, or over', async () => {
  for (const status of [204, 404]) {
    const place = await planned(status, plan);
    await vi.waitFor(() => expect((part(place, 'right-answer') as HTMLTextAreaElement | null)?.value).toBe('十八点。'));
  }
});

it('shows the way back when the plan turns out to be written', async () => {
  const place = await planned(409, { ...plan, state: 'applied', applied: counts });
  await vi.waitFor(() => expect(part(place, 'undo-correction')).not.toBeNull());
});

it('stays with a plan that is being written', async () => {
  const place = await planned(409, { ...plan, state: 'applying' });
  await vi.waitFor(() => expect(part(place, 'apply')?.textContent).toBe(say.goOn));
  expect(place.querySelector('[role=alert]')!.textContent).toBe(say.problems.import_applying);
});
