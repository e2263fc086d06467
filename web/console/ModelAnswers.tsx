// What models make of a question, side by side: the answer as it streams, its price, and the very prompt.

import type { VNode } from 'preact';
import { useContext, useEffect, useRef, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { ModelState } from '../shared/wire';
import { Answer } from './Answer';
import { ask, type Told } from './ask';
import { Desk, Part, useAction, useLoad } from './load';
import { priceOf, promptPrice } from './price';
import { money, span } from './time';
import { Prompt, promptName, type Trace } from './TurnView';

/** Models asked side by side. */
const MOST = 4;

export function ModelAnswers({ text, market, models }: { text: string; market: string; models: ModelState[] }): VNode {
  const { say } = useContext(Desk);
  const [chosen, setChosen] = useState<string[]>(() => models.filter((model) => model.default).map((model) => model.id));
  const [asked, setAsked] = useState<{ round: number; models: string[] }>({ round: 0, models: [] });
  const toggle = (id: string) => setChosen(chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id].slice(-MOST));
  return (
    <section class="part">
      <h2>{say.answersTitle}</h2>
      <p class="quiet">{say.answersLead}</p>
      <fieldset class="checks">
        <legend class="hidden">{say.models}</legend>
        {models.map((model) => (
          <label key={model.id} class="check">
            <input type="checkbox" checked={chosen.includes(model.id)} onChange={() => toggle(model.id)} />
            <span>{model.name}</span>
          </label>
        ))}
        <button type="button" class="primary" disabled={!chosen.length} onClick={() => setAsked({ round: asked.round + 1, models: chosen })} data-testid="answer">{say.answerNow}</button>
      </fieldset>
      <div class="columns">
        {asked.models.map((id) => (
          <OneAnswer key={`${asked.round} ${id}`} text={text} market={market} model={models.find((model) => model.id === id)!} />
        ))}
      </div>
    </section>
  );
}

function OneAnswer({ text, market, model }: { text: string; market: string; model: ModelState }): VNode {
  const { say, lang } = useContext(Desk);
  const [told, setTold] = useState<Told>();
  const { problem, run } = useAction();
  const stop = useRef(new AbortController());
  useEffect(() => {
    void run(async () => void (await ask({ text, model: model.id, market: market || undefined }, setTold, stop.current.signal)));
    return () => stop.current.abort();
  }, []);
  const done = told?.done;
  const facts = done && [
    fill(say.firstAfter, { time: span(done.timings_ms.first_token, lang) }),
    fill(say.doneAfter, { time: span(done.timings_ms.total, lang) }),
    fill(say.tokensBoth, { prompt: done.usage.prompt_tokens.toLocaleString(), answer: done.usage.completion_tokens.toLocaleString() }),
    done.usage.cost ? money(done.usage.cost, done.usage.currency) : priceOf(model, 'price_out', say),
    done.usage.cached ? say.fromCache : '',
  ];
  return (
    <article class="column card" data-testid="model-answer" data-done={!!done} aria-busy={!done}>
      <h3>{model.name}</h3>
      {problem && <p class="wrong" role="alert">{problem}</p>}
      {told?.text ? <Answer text={told.text} live={!done} /> : <p class="quiet">{say.answering}</p>}
      {told && told.sources.length > 0 && <p class="quiet small">{told.sources.map((source) => `[${source.n}] ${source.title}`).join('　')}</p>}
      {facts && <p class="quiet small">{facts.filter(Boolean).join(' · ')}</p>}
      {done && told && <RenderedPrompt id={told.response} model={model} />}
    </article>
  );
}

function RenderedPrompt({ id, model }: { id: string; model: ModelState }): VNode {
  const { say } = useContext(Desk);
  const [open, setOpen] = useState(false);
  const { loaded, reload } = useLoad<{ trace: Trace }>(open ? `/responses/${encodeURIComponent(id)}/trace` : undefined);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary data-testid="prompt">{say.prompt}</summary>
      {open && loaded && (
        <Part loaded={loaded} reload={reload}>
          {({ trace }) =>
            trace.prompt ? (
              <>
                <p class="quiet small">
                  {promptName(trace.prompt, say)}
                  {trace.tokens && ` · ${fill(say.tokens, { n: trace.tokens.prompt.toLocaleString() })} · ${promptPrice(model, trace.tokens.prompt, say)}`}
                </p>
                <Prompt messages={trace.prompt.messages} />
              </>
            ) : (
              <p class="quiet">{say.noModelCalled}</p>
            )
          }
        </Part>
      )}
    </details>
  );
}
