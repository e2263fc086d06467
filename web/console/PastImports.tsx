// The imports that are kept, the newest first: each opens with its report, and can be taken back.

import type { VNode } from 'preact';
import { useContext, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { ImportPage, ImportPlan, PastImport } from '../shared/wire';
import { call, query } from './api';
import { Desk, Part, useAction, useLoad } from './load';
import { summary } from './Plan';
import { address } from './route';
import { importBack } from './takenback';
import { when } from './time';
import { filesOf } from './typed';
import { Asking, Pager } from './ui';
import type { Words } from './words';

const LIMIT = 20;

export function PastImports(): VNode | null {
  const { say } = useContext(Desk);
  const [places, setPlaces] = useState<string[]>([]);
  const page = useLoad<ImportPage>(`/knowledge/imports${query({ after: places.at(-1), limit: LIMIT })}`);
  if (!page.loaded || (page.loaded.state === 'ready' && !places.length && !page.loaded.value.imports.length)) return null;
  // Nothing is promised before it is known that there are any.
  if (page.loaded.state === 'loading') return <Part loaded={page.loaded} reload={page.reload}>{() => null}</Part>;
  return (
    <section class="part" data-testid="past-imports">
      <h2>{say.pastImports}</h2>
      <p class="quiet">{say.pastImportsLead}</p>
      <Part loaded={page.loaded} reload={page.reload}>
        {({ imports, next }) => (
          <>
            <Past imports={imports} busy={page.busy} changed={page.reload} />
            <Pager first={!places.length} next={!!next} busy={page.busy} turn={(by) => setPlaces(by > 0 ? [...places, next!] : places.slice(0, -1))} />
          </>
        )}
      </Part>
    </section>
  );
}

function Past({ imports, busy, changed }: { imports: PastImport[]; busy: boolean; changed(): void }): VNode {
  const { say, lang, tell } = useContext(Desk);
  const { busy: doing, problem, run } = useAction();
  // Refused or not, the list is read again: somebody else may have come before.
  const change = async (action: () => Promise<void>) => {
    await run(action);
    changed();
  };
  const undo = (one: PastImport) =>
    change(async () => {
      const { undone } = await call<ImportPlan>('POST', `/knowledge/imports/${one.id}/undo`);
      tell({ text: importBack(undone!, say) });
    });
  const discard = (one: PastImport) =>
    change(async () => {
      await call('DELETE', `/knowledge/imports/${one.id}`);
      tell({ text: fill(say.planDiscarded, { files: filesOf(one, say) }) });
    });
  return (
    <>
      {problem && <p class="wrong" role="alert">{problem}</p>}
      <table class="rows stacked past" aria-busy={busy}>
        <thead>
          <tr>
            <th scope="col">{say.importFiles}</th>
            <th scope="col">{say.importState}</th>
            <th scope="col">{say.importCounts}</th>
            <th scope="col">{say.importBy}</th>
            <th scope="col">{say.importWhen}</th>
            <th scope="col"><span class="hidden">{say.importChange}</span></th>
          </tr>
        </thead>
        <tbody>
          {imports.map((one) => (
            <tr key={one.id} data-state={one.state} data-testid="past-import">
              <th scope="row" class="main breakable"><a href={address('import', { plan: one.id })}>{filesOf(one, say)}</a></th>
              <td data-name={say.importState} class="short"><span class={`state ${one.state === 'planned' || one.state === 'applying' ? 'probing' : ''}`}>{say.importStates[one.state]}</span></td>
              <td data-name={say.importCounts}>{counted(one, say) || say.nothingWritten}</td>
              <td data-name={say.importBy} class="breakable">{one.by.startsWith('session_') ? say.byConsole : one.by}</td>
              <td data-name={say.importWhen} class="short">{when(one.applied_ms ?? one.created_ms, lang)}</td>
              <td>
                {one.undoable && <Asking ask={say.undoImportSure} name={say.takeBack} sure={say.takeBack} disabled={doing} run={() => void undo(one)} />}
                {one.state === 'planned' && <Asking ask={say.discardPlanSure} name={say.discardPlan} sure={say.discardPlan} disabled={doing} run={() => void discard(one)} />}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function counted({ counts }: PastImport, say: Words): string {
  const { added = 0, changed = 0, deleted = 0, conflicts = 0, failed = 0, duplicates = 0, skipped = 0 } = counts;
  const left = conflicts + failed + duplicates + skipped;
  return [summary({ added, changed, deleted }, say), left ? fill(say.leftOut, { n: left.toLocaleString() }) : ''].filter(Boolean).join(say.comma);
}
