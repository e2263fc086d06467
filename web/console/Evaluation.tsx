// The shop's labelled questions asked all at once, with the settings in force and with others: what each comes
// to, and what would change.

import type { VNode } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { Case, Comparison, SearchSettings } from '../shared/wire';
import { call, query } from './api';
import { Dials, rounded } from './Dials';
import { Desk, Part, useAction, useLoad } from './load';
import { short } from './plain';
import { Questions } from './Questions';
import { address } from './route';
import { Pager } from './ui';

/** Cases on a page of the list. */
const LIMIT = 20;

interface CasePage {
  cases: Case[];
  titles: Record<string, string>;
  next: string | null;
  total: number;
}

export type Run = Comparison & { settings: SearchSettings; tried: SearchSettings | null };

/** `changed` grows when a case was kept elsewhere on the page. */
export function Evaluation({ changed }: { changed: number }): VNode {
  const { say } = useContext(Desk);
  const [places, setPlaces] = useState<string[]>([]);
  const page = useLoad<CasePage>(`/knowledge/cases${query({ after: places.at(-1), limit: LIMIT })}`);
  useEffect(() => {
    if (changed) page.reload();
  }, [changed]);
  return (
    <section class="part" data-testid="evaluation">
      <h2>{say.evaluation}</h2>
      <p class="quiet">{say.evaluationLead}</p>
      {page.loaded && (
        <Part loaded={page.loaded} reload={page.reload}>
          {(shown) => (shown.total ? <><Runs /><Cases page={shown} busy={page.busy} places={places} turn={setPlaces} changed={page.reload} /></> : <p class="empty-row" data-testid="no-cases">{say.noCases}</p>)}
        </Part>
      )}
    </section>
  );
}

function Runs(): VNode {
  const { say } = useContext(Desk);
  const { busy, problem, run } = useAction();
  const [shown, setShown] = useState<Run>();
  const [tried, setTried] = useState<SearchSettings>();
  const start = (settings?: SearchSettings) =>
    run(async () => setShown(await call<Run>('POST', '/knowledge/evaluate', settings ?? {})));
  const base = shown?.settings;
  const settings = tried ?? base;
  return (
    <>
      <div class="buttons">
        <button type="button" class="primary" disabled={busy} onClick={() => void start()} data-testid="run">{busy ? say.evaluating : say.runInForce}</button>
      </div>
      <p role="status" class={problem ? 'wrong' : 'hidden'}>{problem || (busy ? say.evaluating : '')}</p>
      {shown && settings && (
        <div class="card tried">
          <p class="quiet small">{say.tryOthers}</p>
          <Dials name={say.evaluation} settings={settings} put={setTried} testid="tried" />
          <div class="buttons">
            <button type="button" disabled={busy || !tried} onClick={() => void start(rounded(settings))} data-testid="run-tried">{say.runTried}</button>
            {tried && <button type="button" class="plain" onClick={() => setTried(undefined)}>{say.asInForce}</button>}
          </div>
        </div>
      )}
      {shown && <Result run={shown} busy={busy} />}
    </>
  );
}

/** The figures before and after, and every question. */
function Result({ run, busy }: { run: Run; busy: boolean }): VNode {
  const { say } = useContext(Desk);
  const { before, after } = run;
  const figures: [name: string, of: string, before: string, after: string | undefined][] = [
    ['nDCG@10', '', before['ndcg@10'].toFixed(3), after?.['ndcg@10'].toFixed(3)],
    [say.lost, `/ ${before.answerable.toLocaleString()}`, String(before.lost), after ? String(after.lost) : undefined],
    [say.refusedRight, `/ ${before.unanswerable.toLocaleString()}`, String(before.refused), after ? String(after.refused) : undefined],
  ];
  const worse = run.questions.filter((one) => one.change === 'worse').length;
  const better = run.questions.filter((one) => one.change === 'better').length;
  return (
    <div class="found result" aria-busy={busy} data-testid="result" data-tried={run.tried ? 'true' : undefined}>
      <dl class="figures four">
        {figures.map(([name, of, before, after]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              {after !== undefined && after !== before && <small class="was">{before} → </small>}
              {after ?? before}
              {of && <small class="of">{of}</small>}
            </dd>
          </div>
        ))}
        <div>
          <dt>{run.tried ? say.changes : say.askedCases}</dt>
          <dd>{run.tried ? <><span class={better ? 'green' : ''}>↑{better}</span> <span class={worse ? 'red' : ''}>↓{worse}</span></> : run.asked.toLocaleString()}</dd>
        </div>
      </dl>
      {run.asked < run.cases && <p class="note">{fill(say.cut, { n: run.asked.toLocaleString(), of: run.cases.toLocaleString() })}</p>}
      <Questions questions={run.questions} />
    </div>
  );
}

interface CasesProps {
  page: CasePage;
  busy: boolean;
  places: string[];
  turn(places: string[]): void;
  changed(): void;
}

/** What is kept, with what answers it. */
function Cases({ page, busy, places, turn, changed }: CasesProps): VNode {
  const { say, tell } = useContext(Desk);
  const { busy: deleting, problem, run } = useAction();
  const remove = (one: Case) =>
    run(async () => {
      await call('DELETE', `/knowledge/cases/${encodeURIComponent(one.id)}`);
      const { query, relevant, market, kind } = one;
      const undo = () => call('POST', '/knowledge/cases', { cases: [{ query, relevant, market, kind }] });
      tell({ text: fill(say.caseDeleted, { name: short(query) }), undo });
      changed();
    });
  const answers = (one: Case) => (one.relevant.length ? one.relevant.map((id) => page.titles[id] ?? fill(say.goneRow, { id })).join(say.comma) : say.cannotAnswer);
  return (
    <details class="numbers" data-testid="cases">
      <summary>{fill(say.keptCases, { n: page.total.toLocaleString() })}</summary>
      {problem && <p class="wrong" role="alert">{problem}</p>}
      <table class="rows stacked" aria-busy={busy}>
        <thead>
          <tr>
            <th scope="col">{say.query}</th>
            <th scope="col">{say.answeredBy}</th>
            <th scope="col"><span class="hidden">{say.remove}</span></th>
          </tr>
        </thead>
        <tbody>
          {page.cases.map((one) => (
            <tr key={one.id}>
              <th scope="row" class="main">
                <a href={address('try', { q: one.query, market: one.market ?? '' })}>{one.query}</a>
                {one.market && <span class="tag">{one.market}</span>}
              </th>
              <td data-name={say.answeredBy} class="breakable"><span class={one.relevant.length ? '' : 'quiet'}>{answers(one)}</span></td>
              <td><button type="button" disabled={deleting} onClick={() => void remove(one)} data-testid="delete-case">{say.remove}</button></td>
            </tr>
          ))}
        </tbody>
      </table>
      <Pager first={!places.length} next={!!page.next} busy={busy} turn={(by) => turn(by > 0 ? [...places, page.next!] : places.slice(0, -1))} />
    </details>
  );
}
