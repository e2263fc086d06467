// A question tried out: what is found and why, under these and other settings, and what models make of it.

import type { VNode } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import type { KnowledgeStats, ModelState, SearchAnswer } from '../shared/wire';
import { query as address } from './api';
import { Columns } from './Columns';
import { Evaluation } from './Evaluation';
import { Hits } from './Hits';
import { Keep } from './Keep';
import { Desk, Part, useLoad } from './load';
import { change } from './route';
import { Choice, Head } from './ui';

const TOP = 10;

export function TryIt({ values }: { values: URLSearchParams }): VNode {
  const { say } = useContext(Desk);
  const asked = values.get('q') ?? '';
  const market = values.get('market') ?? '';
  const [text, setText] = useState(asked);
  const [kept, setKept] = useState(0);
  useEffect(() => setText(asked), [asked]);
  const stats = useLoad<KnowledgeStats>('/knowledge/stats');
  const models = useLoad<ModelState[]>('/models');
  const path = asked ? `/knowledge/search${address({ q: asked, market, top: TOP, explain: 'true' })}` : undefined;
  const { loaded, busy, reload } = useLoad<SearchAnswer>(path);
  const markets = stats.loaded?.state === 'ready' ? Object.keys(stats.loaded.value.by_market).filter(Boolean) : [];
  return (
    <>
      <Head title={say.tryIt} lead={say.tryLead} />
      <form
        class="query"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          if (text.trim() === asked) reload();
          else change({ q: text.trim() });
        }}
      >
        <label class="hidden" for="query">{say.query}</label>
        <input id="query" enterkeyhint="search" value={text} placeholder={say.queryHint} onInput={(event) => setText(event.currentTarget.value)} data-testid="query" />
        <button type="submit" class="primary" disabled={!text.trim()} data-testid="search">{say.search}</button>
        {markets.length > 0 && (
          <Choice label={say.fields.market} value={market} options={[['', say.allMarkets], ...markets.map((name): [string, string] => [name, name])]} choose={(market) => change({ market })} />
        )}
      </form>
      {loaded ? (
        <Part loaded={loaded} reload={reload}>
          {(answer) => (
            <div class="found" aria-busy={busy}>
              <Hits answer={answer} />
              <Keep key={`${answer.query}\n${market}`} answer={answer} market={market} kept={() => setKept((times) => times + 1)} />
              {models.loaded?.state === 'ready' && <Columns key={`${answer.query}\n${market}`} answer={answer} market={market} models={models.loaded.value} />}
            </div>
          )}
        </Part>
      ) : (
        <p class="quiet">{say.tryEmpty}</p>
      )}
      <Evaluation changed={kept} />
    </>
  );
}
