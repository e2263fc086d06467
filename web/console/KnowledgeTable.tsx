// The table of entries, a page at a time: opened beside, changed in their rows, brought back when deleted.

import type { VNode } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { Entry, EntryPage, KnowledgeStats } from '../shared/wire';
import { call } from './api';
import { Desk, useAction } from './load';
import { plain } from './plain';
import { address, afterAsking, change } from './route';
import { RowForm } from './RowForm';
import { when } from './time';
import { Pager, useInSight } from './ui';

/** Entries on a page. */
export const LIMIT = 50;

interface TableProps {
  shown: EntryPage;
  open: string | null;
  busy: boolean;
  places: string[];
  turn(places: string[]): void;
  stats: KnowledgeStats | undefined;
  /** Something about the figures above may have changed. */
  changed(): void;
  /** These entries are deleted: they can be brought back, not opened. */
  restored?: (() => void) | undefined;
}

export function Table({ shown, stats, open, busy, places, turn, changed, restored }: TableProps): VNode {
  const { say } = useContext(Desk);
  const [total, setTotal] = useState<number>();
  useInSight(open);
  useEffect(() => {
    if (shown.total !== undefined) setTotal(shown.total);
  }, [shown]);
  // What was changed in its row stays where it is until the list is loaded again.
  const [fresh, setFresh] = useState<Record<string, Entry>>({});
  const [editing, setEditing] = useState<Entry>();
  useEffect(() => setFresh({}), [shown]);
  const put = (entry: Entry) => (setFresh((before) => ({ ...before, [entry.id]: entry })), changed());
  // The list may be narrowed down meanwhile: what is being typed stays.
  const away = editing && !shown.entries.some((entry) => entry.id === editing.id) ? [editing] : [];
  const first = places.length * LIMIT;
  if (!shown.entries.length && !away.length) return <p class="empty-row" data-testid="no-rows">{say.noRows}</p>;
  return (
    <>
      <table class="rows" aria-busy={busy} data-testid="rows" onKeyDown={walk}>
        <thead>
          <tr>
            <th scope="col">{say.questionAndAnswer}</th>
            <th scope="col" class="wide-only">{say.fields.category}</th>
            <th scope="col" class="wide-only">{say.fields.market}</th>
            <th scope="col" class="wide-only">{say.validity}</th>
            <th scope="col" class="wide-only number changed">{restored ? say.deletedAt : say.changed}</th>
          </tr>
        </thead>
        <tbody>
          {[...away, ...shown.entries].map((listed) => {
            if (restored) return <Gone key={listed.id} entry={listed} restored={restored} />;
            const entry = fresh[listed.id] ?? listed;
            if (editing?.id !== entry.id) return <Row key={entry.id} entry={entry} open={open === entry.id} edit={() => afterAsking(() => setEditing(entry))} />;
            return <RowForm key={entry.id} entry={entry} stats={stats} put={put} close={() => setEditing(undefined)} />;
          })}
        </tbody>
      </table>
      <Pager first={!places.length} next={!!shown.next} busy={busy} turn={(by) => turn(by > 0 ? [...places, shown.next!] : places.slice(0, -1))}>
        <span class="quiet" role="status" data-testid="range">
          {fill(say.range, { from: (first + 1).toLocaleString(), to: (first + shown.entries.length).toLocaleString(), of: (total ?? first + shown.entries.length).toLocaleString() })}
        </span>
      </Pager>
    </>
  );
}

/** Up and down go from row to row, as the rows of a list do everywhere. */
function walk(event: KeyboardEvent): void {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const from = event.target as HTMLElement;
  if (!by || !from.matches('.rows .main a')) return;
  const links = [...(event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>('.main a')];
  event.preventDefault();
  links[links.indexOf(from) + by]?.focus();
}

function Row({ entry, open, edit }: { entry: Entry; open: boolean; edit(): void }): VNode {
  const { say, lang } = useContext(Desk);
  const valid = [entry.valid_from && fill(say.from, { day: entry.valid_from }), entry.valid_to && fill(say.to, { day: entry.valid_to })].filter(Boolean).join(' ');
  const small = [entry.category, entry.market, valid].filter(Boolean).join(' · ');
  return (
    <tr aria-selected={open} class={open ? 'open' : ''} onClick={() => change({ id: entry.id })}>
      <td class="main">
        <a
          href={address('knowledge', { id: entry.id })}
          data-row={entry.id}
          aria-current={open ? 'true' : undefined}
          aria-keyshortcuts="F2"
          onKeyDown={(event) => event.key === 'F2' && (event.preventDefault(), edit())}
          onClick={(event) => (event.preventDefault(), event.stopPropagation(), change({ id: entry.id }))}
        >
          {entry.question || entry.answer.slice(0, 80)}
        </a>
        {entry.direct && <span class="tag">{say.directTag}</span>}
        <button type="button" class="plain row-edit" aria-label={fill(say.editRow, { name: entry.question || entry.answer.slice(0, 40) })} title={say.editHint} onClick={(event) => (event.stopPropagation(), edit())} data-testid="edit-row">{say.edit}</button>
        <p class="preview">{plain(entry.answer)}</p>
        {small && <p class="narrow-only quiet small">{small}</p>}
      </td>
      <td class="wide-only">{entry.category}</td>
      <td class="wide-only">{entry.market ?? <span class="quiet">{say.allMarkets}</span>}</td>
      <td class="wide-only">{valid || <span class="quiet">{say.always}</span>}</td>
      <td class="wide-only number quiet changed">{when(entry.updated_ms, lang)}</td>
    </tr>
  );
}

/** A deleted entry, and the way back. */
function Gone({ entry, restored }: { entry: Entry; restored(): void }): VNode {
  const { say, lang, tell } = useContext(Desk);
  const { busy, problem, run } = useAction();
  const restore = () =>
    run(async () => {
      await call('POST', `/knowledge/entries/${encodeURIComponent(entry.id)}/undo`);
      tell({ text: say.restored });
      restored();
    });
  return (
    <tr>
      <td class="main">
        <strong>{entry.question || entry.answer.slice(0, 80)}</strong>
        <p class="preview">{plain(entry.answer)}</p>
        <p class="buttons"><button type="button" disabled={busy} onClick={() => void restore()} data-testid="restore">{say.restore}</button></p>
        {problem && <p class="wrong" role="alert">{problem}</p>}
      </td>
      <td class="wide-only">{entry.category}</td>
      <td class="wide-only">{entry.market ?? <span class="quiet">{say.allMarkets}</span>}</td>
      <td class="wide-only" />
      <td class="wide-only number quiet changed">{when(entry.updated_ms, lang)}</td>
    </tr>
  );
}
