import { render } from 'preact';
import { afterEach, expect, it, vi } from 'vitest';
import type { Lang } from '../shared/i18n';
import type { ImportPlan } from '../shared/wire';
import { Desk, type DeskValue } from './load';
import { Plan } from './Plan';
import { words } from './words';

const say = words.zh;
const counts = { added: 1, changed: 0, unchanged: 0, duplicates: 0, conflicts: 0, failed: 0, revision: 1 };
const plan: ImportPlan = { id: 'im_1', state: 'planned', files: ['a.csv'], created_ms: 1, expires_ms: 2, by: 'key_1', applied_ms: null, plan: counts, applied: null, undone: null, rows: [], next: null };
const refusal = (status: number, code: string) => Response.json({ error: { code, message: code } }, { status });

/** A plan that was pressed to be written; `refused` is what is said to that, `now` to where it stands then. */
async function pressed(refused: () => Response, now: () => Response, state: ImportPlan['state'] = 'planned', props: { again?: () => void; typed?: boolean; lang?: Lang } = {}) {
  const [asked, applied, expired] = [[] as string[], vi.fn(), vi.fn()];
  vi.stubGlobal('fetch', async (path: string, { method }: RequestInit) => {
    if (path.includes('?')) return Response.json(plan);
    asked.push(method!);
    return method === 'POST' ? refused() : now();
  });
  const place = document.createElement('div');
  document.body.append(place);
  const { lang = 'zh', ...rest } = props;
  const desk = { say: words[lang], lang, linkHosts: [], expired, tell: () => undefined, undone: 0 } as unknown as DeskValue;
  render(<Desk.Provider value={desk}><Plan plan={{ ...plan, state }} applied={applied} {...rest} /></Desk.Provider>, place);
  const button = () => place.querySelector<HTMLButtonElement>('[data-testid=apply]')!;
  button().click();
  await vi.waitFor(() => expect(asked).toContain('POST'));
  await vi.waitFor(() => expect(button().textContent).not.toBe(words[lang].applying));
  return { place, asked, applied, expired, button: button(), why: () => place.querySelector('[role=alert]')?.textContent, begun: () => !!place.querySelector('[role=status]') };
}

const down = () => { throw new TypeError('no network'); };
const APPLY = '确认：新增 1 条';

afterEach(() => {
  vi.unstubAllGlobals();
  document.body.textContent = '';
});

it('goes on with what was begun when the answer to it is lost', async () => {
  const { button, begun, why } = await pressed(down, () => Response.json({ ...plan, state: 'applying' }));
  expect([button.textContent, begun(), why()]).toEqual([say.goOn, true, say.offline]);
});

it('shows what came of a plan that turns out to be written', async () => {
  const written = { ...plan, state: 'applied', applied: counts };
  for (const refused of [down, () => refusal(409, 'import_applied')]) {
    const { applied, why } = await pressed(refused, () => Response.json(written));
    expect([applied.mock.calls, why()]).toEqual([[[written]], undefined]);
  }
});

it('says that writing has begun only when somebody knows', async () => {
  for (const [state, name] of [['planned', APPLY], ['applying', say.goOn]] as const) {
    const { button, begun, why } = await pressed(down, down, state);
    expect([button.textContent, begun(), why()]).toEqual([name, state === 'applying', say.offline]);
  }
});

it('lets a plan be decided on again when it was not begun after all', async () => {
  const { button, begun } = await pressed(() => refusal(409, 'plan_outdated'), () => Response.json(plan), 'applying');
  expect([button.textContent, begun()]).toEqual([APPLY, false]);
});

it('asks for nothing more when it is turned away at the door', async () => {
  for (const [status, code, told] of [[403, 'wrong_role', say.forbidden], [429, 'rate_limited', say.problems.rate_limited]] as const) {
    const { asked, button, why, begun } = await pressed(() => refusal(status, code), down);
    expect([asked, button.textContent, begun(), why()]).toEqual([['POST'], APPLY, false, told]);
  }
  const { asked, expired, begun } = await pressed(() => refusal(401, 'invalid_session'), down);
  expect([asked, expired.mock.calls.length, begun()]).toEqual([['POST'], 1, false]);
});

it('says how to come to a new plan where there is a way', async () => {
  for (const lang of ['zh', 'en'] as const) {
    const { problems, uploadAnew, typeAnew } = words[lang];
    for (const [props, told] of [[{}, uploadAnew], [{ typed: true }, typeAnew], [{ again: () => undefined }, problems.plan_outdated]] as const) {
      const { place, why } = await pressed(() => refusal(409, 'plan_outdated'), () => Response.json(plan), 'planned', { ...props, lang });
      expect([why(), !!place.querySelector('[data-testid=replan]')]).toEqual([told, 'again' in props]);
    }
  }
});
