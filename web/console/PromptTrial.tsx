// A prompt as a real question would make it: its messages, tokens and price. No model is asked.

import type { VNode } from 'preact';
import { useContext, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { PromptPreview } from '../shared/wire';
import { call } from './api';
import { Desk, useAction } from './load';
import { money } from './time';
import { Prompt } from './TurnView';
import { Field } from './ui';

export function PromptTrial({ path, text, wrong }: { path: string; text: string; wrong: boolean }): VNode {
  const { say } = useContext(Desk);
  const [question, setQuestion] = useState('');
  const [shown, setShown] = useState<PromptPreview>();
  const { busy, problem, run } = useAction();
  const look = () => run(async () => setShown(await call<PromptPreview>('POST', `${path}/preview`, { text, question })));
  return (
    <section class="trial">
      <form onSubmit={(event) => (event.preventDefault(), void look())}>
        <Field label={say.trialQuestion} wide>
          {(id) => <input id={id} value={question} placeholder={say.queryHint} onInput={(event) => setQuestion(event.currentTarget.value)} data-testid="trial-question" />}
        </Field>
        <button type="submit" disabled={busy || wrong || !question.trim()} data-testid="trial">{say.preview}</button>
      </form>
      {problem && <p class="wrong" role="alert">{problem}</p>}
      {shown ? (
        <div data-testid="preview" aria-busy={busy}>
          <p class="quiet small">
            {[
              shown.model,
              fill(say.tokens, { n: shown.tokens.total.toLocaleString() }),
              shown.price.priced && money(shown.price.prompt, shown.price.currency),
              fill(say.sourceCount, { n: shown.sources.length }),
            ].filter(Boolean).join(' · ')}
          </p>
          {!shown.asks_model && <p class="why">{say.noModelWouldBe}</p>}
          <Prompt messages={shown.messages} />
        </div>
      ) : (
        <p class="quiet">{say.trialEmpty}</p>
      )}
    </section>
  );
}
