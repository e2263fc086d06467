// A prompt as a real question would make it: its messages, tokens and price. No model is asked.

import type { VNode } from 'preact';
import { useContext, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { KnowledgeStats, ModelState, PromptPreview } from '../shared/wire';
import { call } from './api';
import { Desk, useAction, useLoad } from './load';
import { money } from './time';
import { Prompt } from './TurnView';
import { Choice, Field } from './ui';

export function PromptTrial({ path, text, wrong }: { path: string; text: string; wrong: boolean }): VNode {
  const { say } = useContext(Desk);
  const [question, setQuestion] = useState('');
  const [model, setModel] = useState('');
  const [market, setMarket] = useState('');
  const [shown, setShown] = useState<PromptPreview>();
  const models = useLoad<ModelState[]>('/models');
  const stats = useLoad<KnowledgeStats>('/knowledge/stats');
  const { busy, problem, run } = useAction();
  const all = models.loaded?.state === 'ready' ? models.loaded.value : [];
  const markets = stats.loaded?.state === 'ready' ? Object.keys(stats.loaded.value.by_market).filter(Boolean) : [];
  const look = () =>
    run(async () => setShown(await call<PromptPreview>('POST', `${path}/preview`, { text, question, ...(model ? { model } : {}), ...(market ? { market } : {}) })));
  const real = shown?.messages.filter((message) => message.part === 'user') ?? [];
  const price = shown && (shown.price.priced ? money(shown.price.prompt, shown.price.currency) : shown.model === 'builtin' ? say.free : say.noPrice);
  return (
    <section class="trial">
      <form onSubmit={(event) => (event.preventDefault(), void look())}>
        <Field label={say.trialQuestion} wide>
          {(id) => <input id={id} value={question} placeholder={say.queryHint} onInput={(event) => setQuestion(event.currentTarget.value)} data-testid="trial-question" />}
        </Field>
        <div class="filters trial-with">
          <Choice label={say.model} value={model} options={[['', say.isDefault], ...all.map((one): [string, string] => [one.id, one.name])]} choose={setModel} testid="trial-model" />
          {markets.length > 0 && <Choice label={say.fields.market} value={market} options={[['', say.allMarkets], ...markets.map((name): [string, string] => [name, name])]} choose={setMarket} testid="trial-market" />}
        </div>
        <button type="submit" disabled={busy || wrong || !question.trim()} data-testid="trial">{say.preview}</button>
      </form>
      {problem && <p class="wrong" role="alert">{problem}</p>}
      {shown ? (
        <div data-testid="preview" aria-busy={busy}>
          <p class="quiet small">
            {[
              shown.model,
              fill(say.tokens, { n: shown.tokens.total.toLocaleString() }),
              price,
              fill(say.sourceCount, { n: shown.sources.length }),
            ].filter(Boolean).join(' · ')}
          </p>
          {shown.decision !== 'grounded' && <p class="why" data-testid="no-model">{say.noModelWouldBe[shown.unsourced ? 'unsourced' : shown.decision]}</p>}
          {real.length > 0 && (
            <>
              <h2 class="small">{say.realQuestion}</h2>
              <Prompt messages={real} />
            </>
          )}
          <h2 class="small">{say.restOfPrompt}</h2>
          <Prompt messages={shown.messages.filter((message) => message.part !== 'user')} />
        </div>
      ) : (
        <p class="quiet">{say.trialEmpty}</p>
      )}
    </section>
  );
}
