// The plan of an import as a reviewed diff: what is new, what changes (side by side), what is held back
// and why. Each row can be decided on; nothing is written before the button at the end.

import type { VNode } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { Fate, ImportPlan, PlannedRow } from '../shared/wire';
import { call, query } from './api';
import { Compare, Whole } from './Compare';
import { Desk, Part, useAction, useLoad } from './load';
import { noteOf, reasonOf } from './reasons';
import { saveReport } from './report';
import { Asking, Tabs } from './ui';
import { useUnsaved } from './unsaved';
import type { Words } from './words';

const LIMIT = 50;

interface Props {
  plan: ImportPlan;
  /** Somebody typed its row: there is no file to name, to correct or to report about. */
  typed?: boolean;
  applied(plan: ImportPlan): void;
  /** Makes the plan anew, when the knowledge has changed meanwhile. */
  again?: (() => void) | undefined;
}

/** The fates that have rows, the ones to look at first. */
export function tabsOf({ plan }: ImportPlan): [Fate, number][] {
  const all: [Fate, number][] = [
    ['added', plan.added],
    ['changed', plan.changed],
    ['conflicting', plan.conflicts],
    ['duplicate', plan.duplicates],
    ['failed', plan.failed],
    ['deleted', plan.deleted ?? 0],
    ['unchanged', plan.unchanged],
  ];
  return all.filter(([, count]) => count > 0);
}

/** What somebody decided about single rows, by their `n`. */
export interface Decided {
  /** Conflicting rows to write all the same, with what becomes of them then. */
  accept: Map<number, 'added' | 'changed'>;
  /** Rows to leave out, with what would have become of them. */
  skip: Map<number, Fate>;
  /** Every conflicting row is written, but for those left out. */
  all: boolean;
}

export type Counts = Record<'added' | 'changed' | 'conflicting' | 'deleted', number>;

/** How many rows would be written or deleted after what was decided. */
export function writes({ plan }: ImportPlan, { accept, skip, all }: Decided): Counts {
  const count = (fates: Map<number, Fate>, fate: Fate) => [...fates.values()].filter((one) => one === fate).length;
  return {
    added: plan.added - count(skip, 'added') + count(accept, 'added'),
    changed: plan.changed - count(skip, 'changed') + count(accept, 'changed'),
    conflicting: all ? plan.conflicts - count(skip, 'conflicting') : 0,
    deleted: plan.deleted ?? 0,
  };
}

/** `deleted 2, changed 3`: only what there is, what is lost first. */
export function summary(counts: Counts, say: Words): string {
  const given = (['deleted', 'changed', 'added', 'conflicting'] as const).filter((fate) => counts[fate] > 0);
  return given.map((fate) => fill(say.counts[fate], { n: counts[fate].toLocaleString() })).join(say.comma);
}

export function Plan({ plan, typed = false, applied, again }: Props): VNode {
  const { say } = useContext(Desk);
  const tabs = tabsOf(plan);
  const [open, setOpen] = useState<Fate>(tabs[0]?.[0] ?? 'unchanged');
  const [decided, setDecided] = useState<Decided>({ accept: new Map(), skip: new Map(), all: false });
  const { busy, problem, run } = useAction();
  const saving = useAction();
  const counts = writes(plan, decided);
  const count = counts.added + counts.changed + counts.conflicting + counts.deleted;
  const { accept, skip, all } = decided;
  useUnsaved(all || accept.size + skip.size > 0);
  const apply = () =>
    run(async () => applied(await call<ImportPlan>('POST', `/knowledge/imports/${plan.id}/apply`, { accept: [...accept.keys()], skip: [...skip.keys()], ...(all ? { accept_all: true } : {}) })));
  const decide = (row: PlannedRow, taken: boolean) => {
    const next: Decided = { accept: new Map(accept), skip: new Map(skip), all };
    if (row.fate === 'conflicting' && !all) taken ? next.accept.set(row.n, row.id ? 'changed' : 'added') : next.accept.delete(row.n);
    else taken ? next.skip.delete(row.n) : next.skip.set(row.n, row.fate);
    setDecided(next);
  };
  const decideAll = (all: boolean) =>
    setDecided({ accept: new Map(), skip: new Map([...skip].filter(([, fate]) => fate !== 'conflicting')), all });
  const taken = (row: PlannedRow) => (row.fate === 'conflicting' && !all ? accept.has(row.n) : !skip.has(row.n));
  const name = busy ? say.applying : count ? fill(say.apply, { what: summary(counts, say) }) : say.applyNothing;

  return (
    <section class="plan" data-testid="plan">
      {plan.plan.notes?.map((note) => <p key={note} class="note">{noteOf(note, say)}</p>)}
      <Tabs<Fate> name={say.plan} tabs={tabs.map(([fate, count]) => [fate, say.fates[fate], count])} open={open} choose={setOpen} />
      <div role="tabpanel" aria-label={say.fates[open]} class="plan-rows">
        <p class="quiet">{(typed && say.typedLeads[open]) || say.fateLeads[open]}</p>
        {open === 'conflicting' && plan.plan.conflicts > 1 && (
          <label class="check">
            <input type="checkbox" checked={all} onChange={(event) => decideAll(event.currentTarget.checked)} data-testid="write-all" />
            <span>{fill(say.writeAll, { n: plan.plan.conflicts.toLocaleString() })}</span>
          </label>
        )}
        <Rows key={open} id={plan.id} fate={open} typed={typed} taken={taken} decide={decide} />
      </div>
      <footer class="plan-end">
        {counts.deleted > 0 ? (
          <Asking ask={fill(say.deleteSure, { n: counts.deleted.toLocaleString() })} name={name} sure={say.deleteAndWrite} disabled={busy} run={() => void apply()} />
        ) : (
          <button type="button" class="primary" disabled={busy || count === 0} onClick={() => void apply()} data-testid="apply">{name}</button>
        )}
        {!typed && <button type="button" disabled={saving.busy} onClick={() => void saving.run(() => saveReport(plan, say))} data-testid="report">{say.report}</button>}
        {(problem || saving.problem) && <p class="wrong" role="alert">{problem || saving.problem}</p>}
        {problem && again && <button type="button" onClick={again} data-testid="replan">{say.planAgain}</button>}
      </footer>
    </section>
  );
}

interface RowsProps {
  id: string;
  fate: Fate;
  typed: boolean;
  taken(row: PlannedRow): boolean;
  decide(row: PlannedRow, taken: boolean): void;
}

function Rows({ id, fate, typed, taken, decide }: RowsProps): VNode {
  const { say } = useContext(Desk);
  const [rows, setRows] = useState<PlannedRow[]>([]);
  const [after, setAfter] = useState<number>();
  const page = useLoad<ImportPlan>(`/knowledge/imports/${id}${query({ fate, after, limit: LIMIT })}`);
  const shown = page.loaded?.state === 'ready' ? page.loaded.value : undefined;
  useEffect(() => {
    if (shown) setRows((rows) => (rows.some((row) => row.n === shown.rows[0]?.n) ? rows : [...rows, ...shown.rows]));
  }, [shown]);
  return (
    <>
      <ul class="planned">
        {rows.map((row) => <Planned key={row.n} row={row} typed={typed} taken={taken(row)} decide={(taken) => decide(row, taken)} />)}
      </ul>
      {page.loaded && page.loaded.state !== 'ready' && <Part loaded={page.loaded} reload={page.reload}>{() => null}</Part>}
      {shown?.next && <button type="button" disabled={page.busy} onClick={() => setAfter(shown.next!)} data-testid="more">{say.more}</button>}
    </>
  );
}

/** One row of a file: where it is, what would become of it, and whether it is to be so. */
function Planned({ row, typed, taken, decide }: { row: PlannedRow; typed: boolean; taken: boolean; decide(taken: boolean): void }): VNode {
  const { say } = useContext(Desk);
  const decided = row.fate === 'added' || row.fate === 'changed' || row.fate === 'conflicting';
  const place = row.fate === 'deleted' ? row.file : fill(row.sheet ? say.placeInSheet : say.place, { file: row.file, sheet: row.sheet ?? '', row: row.row });
  const both = row.old && row.new;
  const held = row.fate === 'conflicting';
  const here = typed ? say.asTyped : say.inFile;
  return (
    <li class={decided && !taken ? 'planned-row left-out' : 'planned-row'} data-testid={`planned-${row.fate}`}>
      <header>
        {decided ? (
          <label class="check">
            <input type="checkbox" checked={taken} onChange={(event) => decide(event.currentTarget.checked)} />
            <span>{row.fate === 'conflicting' ? say.writeAnyway : say.writeIt}</span>
          </label>
        ) : (
          <strong>{say.fates[row.fate]}</strong>
        )}
        {!typed && <span class="quiet small">{place}</span>}
      </header>
      {row.message && <p class="why">{reasonOf(row, say)}</p>}
      {held && row.old && !row.id && <p class="quiet small">{say.standsBeside}</p>}
      {both ? (
        <>
          {row.fate === 'changed' && row.new?.question && row.new.question === row.old?.question && <p class="question">{row.new.question}</p>}
          <Compare before={row.old!} after={row.new!} names={held ? [say.inBase, here] : [say.before, say.after]} beside={held} />
        </>
      ) : (
        (row.new ?? row.old) && <Whole content={(row.new ?? row.old)!} />
      )}
      {held && row.id && <p class="quiet small">{fill(say.changesAnother, { entry: row.id })}</p>}
      {held && row.over && row.new && <Compare before={row.over} after={row.new} names={[say.before, say.after]} />}
    </li>
  );
}
