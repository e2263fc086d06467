// The plan of an import as a reviewed diff: what is new, what changes (side by side), what is held back
// and why. Each row can be decided on; nothing is written before the button at the end.

import type { VNode } from 'preact';
import { useContext, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { Fate, ImportCounts, ImportPlan, PlannedRow } from '../shared/wire';
import { call } from './api';
import { Desk, known, useAction } from './load';
import { PlannedRows, type Way } from './PlannedRows';
import { noteOf } from './reasons';
import { saveReport } from './report';
import { Asking, Tabs } from './ui';
import { useUnsaved } from './unsaved';
import type { Words } from './words';

interface Props {
  plan: ImportPlan;
  /** Somebody typed its row: there is no file to name, to correct or to report about. */
  typed?: boolean;
  applied(plan: ImportPlan): void;
  /** Makes the plan anew, when the knowledge has changed meanwhile; none where what it was made of is not at hand. */
  again?: (() => void) | undefined;
}

/** The fates that have rows, the ones to look at first. */
export function tabsOf(counts: ImportCounts): [Fate, number][] {
  const all: [Fate, number][] = [
    ['added', counts.added],
    ['changed', counts.changed],
    ['conflicting', counts.conflicts],
    ['duplicate', counts.duplicates],
    ['failed', counts.failed],
    ['skipped', counts.skipped ?? 0],
    ['deleted', counts.deleted ?? 0],
    ['unchanged', counts.unchanged],
  ];
  return all.filter(([, count]) => count > 0);
}

/** What somebody decided about single rows, by their `n`. */
export interface Decided {
  /** Conflicting rows to write all the same, with what becomes of them then. */
  accept: Map<number, 'added' | 'changed'>;
  /** Conflicting rows to write over the entry that they conflict with, with its id. */
  replace: Map<number, string>;
  /** Rows to leave out, with what would have become of them. */
  skip: Map<number, Fate>;
  /** Every conflicting row is written, but for those left out. */
  all: boolean;
}

export type Counts = Record<'added' | 'changed' | 'replaced' | 'conflicting' | 'deleted', number>;

/** How many rows would be written or deleted after what was decided. */
export function writes({ plan }: ImportPlan, { accept, replace, skip, all }: Decided): Counts {
  const count = (fates: Map<number, Fate>, fate: Fate) => [...fates.values()].filter((one) => one === fate).length;
  return {
    added: plan.added - count(skip, 'added') + count(accept, 'added'),
    changed: plan.changed - count(skip, 'changed') + count(accept, 'changed'),
    // Of two rows over one entry the first is written, the second then conflicts with it.
    replaced: new Set(replace.values()).size,
    conflicting: all ? plan.conflicts - count(skip, 'conflicting') - replace.size : 0,
    deleted: plan.deleted ?? 0,
  };
}

/** `deleted 2, changed 3`: only what there is, what is lost first. */
export function summary(counts: Partial<Counts>, say: Words): string {
  const given = (['deleted', 'replaced', 'changed', 'added', 'conflicting'] as const).filter((fate) => counts[fate]);
  return given.map((fate) => fill(say.counts[fate], { n: counts[fate]!.toLocaleString() })).join(say.comma);
}

export function Plan({ plan, typed = false, applied, again }: Props): VNode {
  const { say } = useContext(Desk);
  const tabs = tabsOf(plan.plan);
  const [open, setOpen] = useState<Fate>(tabs[0]?.[0] ?? 'unchanged');
  const [decided, setDecided] = useState<Decided>({ accept: new Map(), replace: new Map(), skip: new Map(), all: false });
  const { busy, problem, code, run } = useAction();
  const saving = useAction();
  const counts = writes(plan, decided);
  const count = Object.values(counts).reduce((sum, n) => sum + n, 0);
  const { accept, replace, skip, all } = decided;
  // What was decided when writing began is what is written: nothing is left to decide.
  const [begun, setBegun] = useState(plan.state === 'applying');
  const apply = () =>
    run(async () => {
      try {
        applied(await write());
      } catch (error) {
        // Turned away at the door, nothing was begun; nor is it said so when nobody knows.
        if (![401, 403, 429].includes(known(error).status)) {
          const now = await call<ImportPlan>('GET', `/knowledge/imports/${plan.id}`).catch(() => undefined);
          // By whoever came before, or by this, when only the answer was lost.
          if (now?.state === 'applied') return applied(now);
          if (now) setBegun(now.state === 'applying');
        }
        throw error;
      }
    });
  const write = () => call<ImportPlan>('POST', `/knowledge/imports/${plan.id}/apply`, { accept: [...accept.keys()], replace: [...replace.keys()], skip: [...skip.keys()], ...(all ? { accept_all: true } : {}) });
  useUnsaved(!begun && (all || accept.size + replace.size + skip.size > 0));
  const decide = (row: PlannedRow, way: Way) => {
    const next: Decided = { accept: new Map(accept), replace: new Map(replace), skip: new Map(skip), all };
    const held = row.fate === 'conflicting' && !all;
    next.accept.delete(row.n);
    next.replace.delete(row.n);
    next.skip.delete(row.n);
    if (way === 'replace') next.replace.set(row.n, row.old!.id!);
    else if (way === 'write' && held) next.accept.set(row.n, row.id ? 'changed' : 'added');
    else if (way === 'out' && !held) next.skip.set(row.n, row.fate);
    setDecided(next);
  };
  const decideAll = (all: boolean) =>
    setDecided({ accept: new Map(), replace, skip: new Map([...skip].filter(([, fate]) => fate !== 'conflicting')), all });
  const wayOf = (row: PlannedRow): Way => {
    if (replace.has(row.n)) return 'replace';
    return (row.fate === 'conflicting' && !all ? accept.has(row.n) : !skip.has(row.n)) ? 'write' : 'out';
  };
  // What it was made of is in the browser of whoever made it, until that page is left.
  const why = code === 'plan_outdated' && !again ? (typed ? say.typeAnew : say.uploadAnew) : problem;
  const name = busy ? say.applying : begun ? say.goOn : count ? fill(say.apply, { what: summary(counts, say) }) : say.applyNothing;

  return (
    <section class="plan" data-testid="plan">
      {begun && <p class="note" role="status">{say.begunLead}</p>}
      {plan.plan.notes?.map((note) => <p key={note} class="note">{noteOf(note, say)}</p>)}
      <Tabs<Fate> name={say.plan} tabs={tabs.map(([fate, count]) => [fate, say.fates[fate], count])} open={open} choose={setOpen} />
      <div role="tabpanel" aria-label={say.fates[open]} class="plan-rows">
        <p class="quiet">{(typed && say.typedLeads[open]) || say.fateLeads[open]}</p>
        {!begun && open === 'conflicting' && plan.plan.conflicts > 1 && (
          <label class="check">
            <input type="checkbox" checked={all} onChange={(event) => decideAll(event.currentTarget.checked)} data-testid="write-all" />
            <span>{fill(say.writeAll, { n: plan.plan.conflicts.toLocaleString() })}</span>
          </label>
        )}
        <PlannedRows key={open} id={plan.id} fate={open} typed={typed} {...(!begun && { wayOf, decide })} />
      </div>
      <footer class="plan-end">
        {counts.deleted > 0 && !begun ? (
          <Asking ask={fill(say.deleteSure, { n: counts.deleted.toLocaleString() })} name={name} sure={say.deleteAndWrite} disabled={busy} run={() => void apply()} />
        ) : (
          <button type="button" class="primary" disabled={busy || (!begun && count === 0)} onClick={() => void apply()} data-testid="apply">{name}</button>
        )}
        {!typed && <button type="button" disabled={saving.busy} onClick={() => void saving.run(() => saveReport(plan, say))} data-testid="report">{say.report}</button>}
        {(why || saving.problem) && <p class="wrong" role="alert">{why || saving.problem}</p>}
        {problem && again && <button type="button" onClick={again} data-testid="replan">{say.planAgain}</button>}
      </footer>
    </section>
  );
}
