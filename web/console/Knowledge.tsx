import type { VNode } from 'preact';
import { useContext } from 'preact/hooks';
import type { KnowledgeStats } from '../shared/wire';
import { Desk, Part, useLoad } from './load';

export function Knowledge(): VNode {
  const { say } = useContext(Desk);
  const { loaded, reload } = useLoad<KnowledgeStats>('/knowledge/stats');
  return (
    <>
      <header class="page-head">
        <h1>{say.knowledge}</h1>
        <p class="lead">{say.knowledgeLead}</p>
      </header>
      {loaded && (
        <Part loaded={loaded} reload={reload}>
          {(stats) => (stats.entries ? <Stats stats={stats} /> : <Nothing />)}
        </Part>
      )}
    </>
  );
}

function Nothing(): VNode {
  const { say } = useContext(Desk);
  return (
    <div class="empty">
      <h2>{say.emptyTitle}</h2>
      <p>{say.emptyLead}</p>
      <pre><code>merchant-copilot kb import your.csv</code></pre>
    </div>
  );
}

function Stats({ stats }: { stats: KnowledgeStats }): VNode {
  const { say } = useContext(Desk);
  const figures: [string, string | number, string?][] = [
    [say.entries, stats.entries],
    [say.passages, stats.passages],
    [say.expiring, stats.expiring_7d, stats.expiring_7d ? 'amber' : undefined],
    [say.expired, stats.expired, stats.expired ? 'red' : undefined],
  ];
  return (
    <>
      <dl class="figures" data-testid="figures">
        {figures.map(([name, value, state]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd class={state}>{value.toLocaleString()}</dd>
          </div>
        ))}
      </dl>
      <div class="charts">
        <Bars title={say.byCategory} counts={stats.by_category} blank={say.none} />
        <div>
          <Bars title={say.byMarket} counts={stats.by_market} blank={say.allMarkets} />
          <Bars title={say.byLocale} counts={stats.by_locale} blank={say.none} />
        </div>
      </div>
      <p class="foot">
        {stats.coming ? `${say.coming} ${stats.coming} · ` : ''}
        {say.revision} {stats.revision} · {say.embedder} {stats.embedder}
      </p>
    </>
  );
}

/** Counts as a table whose second column is drawn: zero-based bars, labelled directly. */
function Bars({ title, counts, blank }: { title: string; counts: Record<string, number>; blank: string }): VNode | null {
  const { say } = useContext(Desk);
  const rows = Object.entries(counts ?? {}).sort(([, a], [, b]) => b - a);
  if (!rows.length) return null;
  const most = Math.max(...rows.map(([, count]) => count));
  return (
    <section class="card">
      <table class="bars">
        <caption>{title}</caption>
        <thead class="hidden">
          <tr>
            <th scope="col">{title}</th>
            <th scope="col">{say.count}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, count]) => (
            <tr key={name}>
              <th scope="row">{name || <span class="quiet">{blank}</span>}</th>
              <td>
                <span class="bar" style={{ width: `${(count / most) * 100}%` }} />
                <span>{count.toLocaleString()}</span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
