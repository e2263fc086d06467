// What a model makes of a question under some settings: the answer as it streams, its sources, time and price.

import type { VNode } from 'preact';
import { useContext, useEffect, useRef, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { ModelState } from '../shared/wire';
import { Answer } from './Answer';
import { ApiError } from './api';
import { ask, type Question, type Told } from './ask';
import { Desk, useAction } from './load';
import { priceOf } from './price';
import { money, span } from './time';

interface Props {
  trial: Question;
  model: ModelState | undefined;
  /** Told until when it is of no use to ask again, when the server says so. */
  refused(until: number): void;
}

/** Asks as soon as it is shown, and once. */
export function ModelAnswer({ trial, model, refused }: Props): VNode {
  const { say, lang } = useContext(Desk);
  const [told, setTold] = useState<Told>();
  const { problem, run } = useAction();
  const stop = useRef(new AbortController());
  useEffect(() => {
    void run(async () => {
      try {
        await ask(trial, setTold, stop.current.signal, '/trials');
      } catch (error) {
        if (error instanceof ApiError && error.retryAt) refused(error.retryAt);
        throw error;
      }
    });
    return () => stop.current.abort();
  }, []);
  const done = told?.done;
  const facts = done && [
    fill(say.firstAfter, { time: span(done.timings_ms.first_token, lang) }),
    fill(say.doneAfter, { time: span(done.timings_ms.total, lang) }),
    fill(say.tokensBoth, { prompt: done.usage.prompt_tokens.toLocaleString(), answer: done.usage.completion_tokens.toLocaleString() }),
    done.usage.cost ? money(done.usage.cost, done.usage.currency) : model && priceOf(model, 'price_out', say),
  ];
  return (
    <div class="told" data-testid="model-answer" data-done={!!done || !!problem} aria-busy={!done && !problem}>
      {problem && <p class="wrong" role="alert">{problem}</p>}
      {told?.text ? <Answer text={told.text} of={told} live={!done} /> : !problem && <p class="quiet">{say.answering}</p>}
      {told && told.sources.length > 0 && <p class="quiet small">{told.sources.map((source) => `[${source.n}] ${source.title}`).join('　')}</p>}
      {facts && <p class="quiet small">{facts.filter(Boolean).join(' · ')}</p>}
    </div>
  );
}
