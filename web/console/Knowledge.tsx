// What the assistant answers from: a table that is searched and narrowed down, an entry beside it.

import type { VNode } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { Entry, EntryPage, KnowledgeStats } from '../shared/wire';
import { call, query as searched } from './api';
import { EntrySide } from './EntrySide';
import { Desk, Part, useAction, useLoad } from './load';
import { plain } from './plain';
import { address, change } from './route';
import { when } from './time';
import { Choice, Filters, Head, Pager, SearchBox, Side } from './ui';

const LIMIT = 50;
const NARROWS = ['q', 'category', 'market', 'source', 'validity', 'direct'] as const;

export function Knowledge({ values }: { values: URLSearchParams }): VNode {
  const { say } = useContext(Desk);
  const stats = useLoad<KnowledgeStats>('/knowledge/stats');
  const wanted = Object.fromEntries(NARROWS.map((name) => [name, values.get(name) ?? '']));
  const [places, setPlaces] = useState<string[]>([]);
  const narrowed = JSON.stringify(wanted);
  useEffect(() => setPlaces([]), [narrowed]);
  const page = useLoad<EntryPage>(`/knowledge/entries${searched({ ...wanted, after: places.at(-1), limit: LIMIT })}`);
  const open = values.get('id');
  const known = stats.loaded?.state === 'ready' ? stats.loaded.value : undefined;
  const again = () => (page.reload(), stats.reload());
  const any = NARROWS.some((name) => wanted[name]);

  return (
    <>
      <Head title={say.knowledge} lead={say.knowledgeLead}>
        <Export wanted={wanted} />
        <button type="button" onClick={() => change({ id: 'new' })} data-testid="add">{say.add}</button>
        <a class="primary" href={address('import')}>{say.import}</a>
      </Head>
      {known && <Strip stats={known} validity={wanted.validity ?? ''} />}
      {known && !known.entries ? (
        <Nothing />
      ) : (
        <div class={open ? 'with-side' : ''}>
          <section class="list" aria-label={say.entries}>
            <Filters active={any}>
              <SearchBox label={say.find} value={wanted.q ?? ''} search={(q) => change({ q }, true)} testid="find" />
              <Choices stats={known} wanted={wanted} />
              {any && <button type="button" class="plain" onClick={() => change(Object.fromEntries(NARROWS.map((name) => [name, ''])))}>{say.clear}</button>}
            </Filters>
            {page.loaded && (
              <Part loaded={page.loaded} reload={page.reload}>
                {(shown) => (
                  <Table shown={shown} open={open} busy={page.busy} places={places} turn={setPlaces} restored={wanted.validity === 'deleted' ? again : undefined} />
                )}
              </Part>
            )}
          </section>
          {open && (
            <Side key={open} title={open === 'new' ? say.add : say.entry} close={() => change({ id: '' })}>
              <EntrySide id={open} stats={known} changed={again} close={() => change({ id: '' })} />
            </Side>
          )}
        </div>
      )}
    </>
  );
}

function Export({ wanted }: { wanted: Record<string, string> }): VNode {
  const { say } = useContext(Desk);
  return (
    <details class="menu">
      <summary>{NARROWS.some((name) => wanted[name]) ? say.exportThese : say.export}</summary>
      <ul>
        {['xlsx', 'csv', 'jsonl'].map((format) => (
          <li key={format}>
            <a href={`/api/v1/knowledge/export${searched({ format, ...wanted })}`} download data-testid={`export-${format}`}>{say.formats[format as 'csv']}</a>
          </li>
        ))}
      </ul>
    </details>
  );
}

/** How much there is; what is about to end is one press away. */
function Strip({ stats, validity }: { stats: KnowledgeStats; validity: string }): VNode {
  const { say } = useContext(Desk);
  const states: [string, string, number, string?][] = [
    ['', say.entries, stats.entries],
    ['expiring', say.expiring, stats.expiring_7d, stats.expiring_7d ? 'amber' : undefined],
    ['expired', say.expired, stats.expired, stats.expired ? 'red' : undefined],
    ['coming', say.coming, stats.coming],
  ];
  return (
    <div class="figures" data-testid="figures" role="group" aria-label={say.validity}>
      {states.map(([state, name, count, colour]) => (
        <button key={state} type="button" aria-pressed={validity === state} onClick={() => change({ validity: state })}>
          <span>{name}</span>
          <strong class={colour}>{count.toLocaleString()}</strong>
        </button>
      ))}
    </div>
  );
}

function Choices({ stats, wanted }: { stats: KnowledgeStats | undefined; wanted: Record<string, string> }): VNode {
  const { say } = useContext(Desk);
  const names = (counts: Record<string, number> | undefined, own: string): [string, string][] => {
    const known = Object.entries(counts ?? {}).filter(([name]) => name);
    if (own && !known.some(([name]) => name === own)) known.push([own, 0]);
    known.sort(([, a], [, b]) => b - a);
    return [['', say.all], ...known.map(([name, count]): [string, string] => [name, `${name} (${count.toLocaleString()})`])];
  };
  const choice = (name: string, label: string, options: [string, string][]) => (
    <Choice label={label} value={wanted[name] ?? ''} options={options} choose={(value) => change({ [name]: value })} testid={`filter-${name}`} />
  );
  return (
    <>
      {choice('category', say.fields.category, names(stats?.by_category, wanted.category ?? ''))}
      {choice('market', say.fields.market, names(stats?.by_market, wanted.market ?? ''))}
      {choice('source', say.fields.source, names(stats?.by_source, wanted.source ?? ''))}
      {choice('validity', say.validity, [['', say.all], ['live', say.live], ['expiring', say.expiring], ['expired', say.expired], ['coming', say.coming], ['deleted', say.deletedOnes]])}
      {choice('direct', say.fields.direct, [['', say.all], ['true', say.directYes], ['false', say.directNo]])}
    </>
  );
}

interface TableProps {
  shown: EntryPage;
  open: string | null;
  busy: boolean;
  places: string[];
  turn(places: string[]): void;
  /** These entries are deleted: they can be brought back, not opened. */
  restored?: (() => void) | undefined;
}

function Table({ shown, open, busy, places, turn, restored }: TableProps): VNode {
  const { say } = useContext(Desk);
  const [total, setTotal] = useState<number>();
  useEffect(() => {
    if (shown.total !== undefined) setTotal(shown.total);
  }, [shown]);
  const first = places.length * LIMIT;
  if (!shown.entries.length) return <p class="empty-row" data-testid="no-rows">{say.noRows}</p>;
  return (
    <>
      <table class="rows" aria-busy={busy} data-testid="rows">
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
          {shown.entries.map((entry) => (restored ? <Gone key={entry.id} entry={entry} restored={restored} /> : <Row key={entry.id} entry={entry} open={open === entry.id} />))}
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

function Row({ entry, open }: { entry: Entry; open: boolean }): VNode {
  const { say, lang } = useContext(Desk);
  const valid = [entry.valid_from && fill(say.from, { day: entry.valid_from }), entry.valid_to && fill(say.to, { day: entry.valid_to })].filter(Boolean).join(' ');
  const small = [entry.category, entry.market, valid].filter(Boolean).join(' · ');
  return (
    <tr aria-selected={open} class={open ? 'open' : ''} onClick={() => change({ id: entry.id })}>
      <td class="main">
        <a href={address('knowledge', { id: entry.id })} onClick={(event) => (event.preventDefault(), event.stopPropagation(), change({ id: entry.id }))}>
          {entry.question || entry.answer.slice(0, 80)}
        </a>
        {entry.direct && <span class="tag">{say.directTag}</span>}
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

function Nothing(): VNode {
  const { say } = useContext(Desk);
  return (
    <div class="empty">
      <h2>{say.emptyTitle}</h2>
      <p>{say.emptyLead}</p>
      <a class="primary" href={address('import')}>{say.import}</a>
    </div>
  );
}
