// An import that is written: what it did, the way back, the rows that were left out and why, and the report.

import type { VNode } from 'preact';
import { useContext, useEffect, useRef, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { Fate, ImportPlan } from '../shared/wire';
import { call } from './api';
import { Desk, useAction } from './load';
import { tabsOf } from './Plan';
import { PlannedRows } from './PlannedRows';
import { saveReport } from './report';
import { address } from './route';
import { filesOf, isTyped } from './typed';
import { Asking, Tabs } from './ui';

/** What was left out comes first: the rest is done. */
const LEFT: Fate[] = ['conflicting', 'failed', 'skipped', 'duplicate'];
/** What taking it back takes back. */
const WROTE: Fate[] = ['added', 'changed', 'deleted'];

export function Applied({ plan, undone, more }: { plan: ImportPlan; undone(plan: ImportPlan): void; more(): void }): VNode {
  const { say } = useContext(Desk);
  const { busy, problem, run } = useAction();
  const done = plan.applied!;
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), [plan.undone]);
  const counts = { added: done.added, changed: done.changed, deleted: done.deleted ?? 0, left: done.conflicts + done.duplicates + done.failed + (done.skipped ?? 0) };
  const undo = () => run(async () => undone({ ...plan, ...(await call<ImportPlan>('POST', `/knowledge/imports/${plan.id}/undo`)) }));
  return (
    <>
      <div class="empty" data-testid="applied">
        <h2 ref={heading} tabIndex={-1}>{plan.undone ? say.importUndone : say.appliedTitle}</h2>
        <p>{plan.undone ? fill(say.importUndoneLead, { ...plan.undone }) : fill(say.appliedLead, counts)}</p>
        {!!plan.undone?.left && <p>{fill(say.importKept, { ...plan.undone })}</p>}
        {problem && <p class="wrong" role="alert">{problem}</p>}
        <p class="buttons">
          <a class="primary" href={address('knowledge')}>{say.toKnowledge}</a>
          <a class="button" href={address('try')}>{say.tryIt}</a>
          <button type="button" onClick={more}>{say.importMore}</button>
          {!plan.undone && counts.added + counts.changed + counts.deleted > 0 && (
            <Asking ask={say.undoImportSure} name={say.undoImport} sure={say.undoImport} disabled={busy} run={() => void undo()} />
          )}
        </p>
      </div>
      <Outcome plan={plan} />
    </>
  );
}

/** What became of the rows of its files. */
function Outcome({ plan }: { plan: ImportPlan }): VNode | null {
  const { say } = useContext(Desk);
  const saving = useAction();
  const all = tabsOf(plan.applied!).filter(([fate]) => fate !== 'unchanged');
  const tabs = [...LEFT.flatMap((fate) => all.filter(([one]) => one === fate)), ...all.filter(([fate]) => !LEFT.includes(fate))];
  const [open, setOpen] = useState(tabs[0]?.[0]);
  if (!open) return null;
  const typed = isTyped(plan);
  return (
    <section class="plan" data-testid="outcome">
      <h2 class="breakable">{filesOf(plan, say)}</h2>
      <Tabs<Fate> name={say.outcome} tabs={tabs.map(([fate, count]) => [fate, say.fates[fate], count])} open={open} choose={setOpen} />
      <div role="tabpanel" aria-label={say.fates[open]} class="plan-rows">
        <p class="quiet">{plan.undone && WROTE.includes(open) ? say.backLead : say.doneLeads[open]}</p>
        <PlannedRows key={open} id={plan.id} fate={open} typed={typed} />
      </div>
      {!typed && (
        <footer class="plan-end">
          <button type="button" disabled={saving.busy} onClick={() => void saving.run(() => saveReport(plan, say))} data-testid="report">{say.report}</button>
          {saving.problem && <p class="wrong" role="alert">{saving.problem}</p>}
        </footer>
      )}
    </section>
  );
}
