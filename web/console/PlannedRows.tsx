// The rows of a plan, a page at a time: each with where it stands, what would become of it and why, and the ways
// that are open to it. Once the import is applied they are only read.

import type { VNode } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { Fate, ImportPlan, PlannedRow } from '../shared/wire';
import { query } from './api';
import { Compare, Whole } from './Compare';
import { Desk, Part, useLoad } from './load';
import { reasonOf } from './reasons';

const LIMIT = 50;

/** Left out, written, or written over the entry that it conflicts with. */
export type Way = 'out' | 'write' | 'replace';

interface Deciding {
  /** None where nothing is to be decided any more. */
  wayOf?: (row: PlannedRow) => Way;
  decide?: (row: PlannedRow, way: Way) => void;
  typed?: boolean;
}

export function PlannedRows({ id, fate, ...deciding }: Deciding & { id: string; fate: Fate }): VNode {
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
        {rows.map((row) => <Planned key={row.n} row={row} {...deciding} />)}
      </ul>
      {page.loaded && page.loaded.state !== 'ready' && <Part loaded={page.loaded} reload={page.reload}>{() => null}</Part>}
      {shown?.next && <button type="button" disabled={page.busy} onClick={() => setAfter(shown.next!)} data-testid="more">{say.more}</button>}
    </>
  );
}

/** One row of a file: where it is, what would become of it, and whether it is to be so. */
function Planned({ row, wayOf, decide, typed = false }: Deciding & { row: PlannedRow }): VNode {
  const { say } = useContext(Desk);
  const open = decide && (row.fate === 'added' || row.fate === 'changed' || row.fate === 'conflicting');
  const way = wayOf?.(row);
  const place = row.fate === 'deleted' ? row.file : fill(row.sheet ? say.placeInSheet : say.place, { file: row.file, sheet: row.sheet ?? '', row: row.row });
  const both = row.old && row.new;
  const held = row.fate === 'conflicting';
  const here = typed ? say.asTyped : say.inFile;
  // One that changes an entry of its own would leave two in conflict.
  const beside = held && row.old && !row.id;
  const one = (to: Way, name: string) => (
    <label class="check">
      <input type="radio" name={`way-${row.n}`} checked={way === to} onChange={() => decide?.(row, to)} data-testid={`way-${to}`} />
      <span>{name}</span>
    </label>
  );
  return (
    <li class={open && way === 'out' ? 'planned-row left-out' : 'planned-row'} data-testid={`planned-${row.fate}`}>
      <header>
        {open ? (
          beside ? (
            <span class="ways" role="radiogroup" aria-label={say.whatToDo}>
              {one('out', say.leaveOut)}
              {one('write', say.writeBeside)}
              {row.instead && one('replace', say.replaceIt)}
            </span>
          ) : (
            <span class="ways">
              <label class="check">
                <input type="checkbox" checked={way === 'write'} onChange={(event) => decide(row, event.currentTarget.checked ? 'write' : 'out')} data-testid="way-write" />
                <span>{held ? say.writeAnyway : say.writeIt}</span>
              </label>
            </span>
          )
        ) : (
          <strong>{say.fates[row.fate]}</strong>
        )}
        {!typed && <span class="quiet small">{place}</span>}
      </header>
      {row.message && <p class="why">{reasonOf(row, say)}</p>}
      {open && beside && <p class="quiet small">{way === 'replace' ? fill(say.standsInstead, { entry: row.old!.id ?? '' }) : say.standsBeside}</p>}
      {both ? (
        <>
          {(row.fate === 'changed' || held) && row.new?.question && row.new.question === row.old?.question && <p class="question">{row.new.question}</p>}
          {way === 'replace' && row.instead ? (
            <Compare before={row.old!} after={row.instead} names={[say.before, say.after]} />
          ) : (
            <Compare before={row.old!} after={row.new!} names={held ? [say.inBase, here] : [say.before, say.after]} beside={held} />
          )}
        </>
      ) : (
        (row.new ?? row.old) && <Whole content={(row.new ?? row.old)!} />
      )}
      {open && held && row.id && <p class="quiet small">{fill(say.changesAnother, { entry: row.id })}</p>}
      {open && held && row.over && row.new && <Compare before={row.over} after={row.new} names={[say.before, say.after]} />}
    </li>
  );
}
