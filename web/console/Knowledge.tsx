// What the assistant answers from: a table that is searched and narrowed down, an entry beside it.

import type { VNode } from 'preact';
import { useContext, useEffect, useRef, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { EntryPage, KnowledgeStats, Renewal } from '../shared/wire';
import { query as searched } from './api';
import { EntrySide } from './EntrySide';
import { LIMIT, Table } from './KnowledgeTable';
import { Desk, Part, useLoad } from './load';
import { address, change } from './route';
import { Choice, Filters, Head, SearchBox, Side } from './ui';

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
  // What was known stays when it cannot be asked for once.
  const last = useRef<KnowledgeStats | undefined>(undefined);
  if (stats.loaded?.state === 'ready') last.current = stats.loaded.value;
  const known = last.current;
  const again = () => (page.reload(), stats.reload());
  const any = NARROWS.some((name) => wanted[name]);

  return (
    <>
      <Head title={say.knowledge} lead={say.knowledgeLead}>
        <a class="button" href={address('words')} data-testid="to-words">{say.dictionary}</a>
        <Export wanted={wanted} />
        <button type="button" onClick={() => change({ id: 'new' })} data-testid="add">{say.add}</button>
        <a class="primary" href={address('import')}>{say.import}</a>
      </Head>
      {known && <Strip stats={known} validity={wanted.validity ?? ''} />}
      {known?.renewal && <Renewing renewal={known.renewal} busy={stats.busy} reload={stats.reload} />}
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
                  <Table shown={shown} stats={known} open={open} busy={page.busy} places={places} turn={setPlaces} changed={stats.reload} restored={wanted.validity === 'deleted' ? again : undefined} />
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

/** Searches go on by the old vectors meanwhile, so this is for whoever waits for the new ones. */
function Renewing({ renewal, busy, reload }: { renewal: Renewal; busy: boolean; reload(): void }): VNode {
  const { say } = useContext(Desk);
  useEffect(() => {
    if (busy) return undefined;
    const timer = setTimeout(reload, 5000);
    return () => clearTimeout(timer);
  }, [busy]);
  const { embedder, done, of } = renewal;
  return <p class="note" data-testid="renewing">{fill(say.renewing, { embedder, done: done.toLocaleString(), of: of.toLocaleString() })}</p>;
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
