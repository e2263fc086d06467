// A question tried out: what is found and why, under these and other settings, and what models make of it.

import type { VNode } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import type { KnowledgeStats, ModelState, SearchAnswer, SearchSettings } from '../shared/wire';
import { query as address } from './api';
import { Evaluation } from './Evaluation';
import { Hits, Verdict, round } from './Hits';
import { Keep } from './Keep';
import { Desk, Part, useLoad } from './load';
import { ModelAnswers } from './ModelAnswers';
import { change } from './route';
import { Choice, Head } from './ui';

const TOP = 10;
/** Settings compared beside those in force. */
const MOST = 3;

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
              <Others answer={answer} market={market} />
              {models.loaded?.state === 'ready' && <ModelAnswers key={`${asked}\n${market}`} text={asked} market={market} models={models.loaded.value} />}
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

/** The same question under other settings, side by side. Nothing is put in force. */
function Others({ answer, market }: { answer: SearchAnswer; market: string }): VNode | null {
  const { say } = useContext(Desk);
  const [others, setOthers] = useState<SearchSettings[]>([]);
  const { settings } = answer;
  if (!settings) return null;
  const put = (place: number, changed: SearchSettings) => setOthers(others.map((one, i) => (i === place ? changed : one)));
  return (
    <section class="part">
      <h2>{say.compareTitle}</h2>
      <p class="quiet">{say.compareLead}</p>
      <div class="columns" data-testid="columns">
        <div class="column card">
          <h3>{say.inForce}</h3>
          <dl class="meta">
            {(['weight', 'grounded_threshold', 'direct_threshold'] as const).map((name) => (
              <div key={name}>
                <dt>{say.settings[name]}</dt>
                <dd>{round(settings[name], 3)}</dd>
              </div>
            ))}
          </dl>
          <Ranking answer={answer} />
        </div>
        {others.map((one, i) => (
          <Other key={i} name={`${say.variant} ${i + 1}`} query={answer.query} market={market} settings={one} put={(changed) => put(i, changed)} drop={() => setOthers(others.filter((_, j) => j !== i))} against={answer} />
        ))}
      </div>
      {others.length < MOST && (
        <button type="button" onClick={() => setOthers([...others, others.at(-1) ?? settings])} data-testid="compare">{say.compareAdd}</button>
      )}
    </section>
  );
}

interface OtherProps {
  name: string;
  query: string;
  market: string;
  settings: SearchSettings;
  against: SearchAnswer;
  put(settings: SearchSettings): void;
  drop(): void;
}

function Other({ name, query, market, settings, against, put, drop }: OtherProps): VNode {
  const { say } = useContext(Desk);
  const { loaded, reload } = useLoad<SearchAnswer>(`/knowledge/search${address({ q: query, market, top: TOP, ...rounded(settings) })}`);
  return (
    <div class="column card" data-testid="variant">
      <h3>
        {name}
        <button type="button" class="plain" onClick={drop}>{say.remove}</button>
      </h3>
      {(['weight', 'grounded_threshold', 'direct_threshold'] as const).map((field) => (
        <label key={field} class="slider">
          <span>{say.settings[field]}</span>
          <input
            type="range"
            min={0}
            max={1}
            step={0.05}
            value={settings[field]}
            aria-label={`${name}: ${say.settings[field]}`}
            onChange={(event) => put({ ...settings, [field]: Number(event.currentTarget.value) })}
          />
          <output>{round(settings[field], 2)}</output>
        </label>
      ))}
      {loaded && <Part loaded={loaded} reload={reload}>{(answer) => <Ranking answer={answer} against={against} />}</Part>}
    </div>
  );
}

function rounded(settings: SearchSettings): Record<string, number> {
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, Number(value.toFixed(3))]));
}

/** The hits in short, and how their places differ from another ranking. */
function Ranking({ answer, against }: { answer: SearchAnswer; against?: SearchAnswer }): VNode {
  const { say } = useContext(Desk);
  return (
    <>
      <Verdict answer={answer} />
      <ol class="ranking">
        {answer.hits.map((hit, i) => {
          const before = against?.hits.findIndex((other) => other.id === hit.id) ?? i;
          const moved = before < 0 ? say.fresh : before === i ? '' : before > i ? `↑${before - i}` : `↓${i - before}`;
          return (
            <li key={hit.id} class={hit.passed ? '' : 'out'}>
              <span class="figure">{round(hit.score, 2)}</span> {hit.question || hit.answer.slice(0, 40)} {moved && <span class="moved">{moved}</span>}
            </li>
          );
        })}
      </ol>
    </>
  );
}
