// One question with its answer, what it rests on, how it came about, and the way to put it right.

import type { VNode } from 'preact';
import { useContext, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { ModelState, SearchAnswer, StoredTurn } from '../shared/wire';
import { Answer } from './Answer';
import { Correct } from './Correct';
import { Hits } from './Hits';
import { Desk, Part, said, useLoad } from './load';
import { promptPrice } from './price';
import { address } from './route';
import { money, span } from './time';
import type { Words } from './words';

export type ReadTurn = StoredTurn;

/** What is read of a trace; an old one has less, one that is too old nothing. */
export interface Trace {
  intent?: string;
  query?: string;
  search?: SearchAnswer;
  cached?: boolean;
  prompt?: { template: string; version: number | string; messages: { role: string; content: string }[] };
  tokens?: { prompt: number; family: string; exact: boolean };
  model?: { id: string; provider: string };
  attempts?: unknown[];
}

export function decisionName(turn: Pick<StoredTurn, 'decision' | 'finish_reason' | 'status' | 'unsourced'>, say: Words): string {
  if (turn.status !== 'completed') return say.statuses[turn.status as 'failed'] ?? turn.status;
  if (turn.finish_reason === 'content_filter') return say.guarded;
  if (turn.unsourced) return say.unsourcedAnswer;
  return turn.decision ? { direct: say.direct, grounded: say.grounded, none: say.notFound }[turn.decision] : say.courtesy;
}

export function TurnView({ turn }: { turn: ReadTurn }): VNode {
  const { say, lang } = useContext(Desk);
  const [correcting, setCorrecting] = useState(false);
  const { timings, usage } = turn;
  const facts = [
    decisionName(turn, say),
    turn.model,
    timings.first_token !== undefined && fill(say.firstAfter, { time: span(timings.first_token, lang) }),
    timings.total !== undefined && fill(say.doneAfter, { time: span(timings.total, lang) }),
    usage.cost ? money(usage.cost, usage.currency ?? '') : undefined,
    usage.cached && say.fromCache,
  ].filter(Boolean);
  return (
    <li class={turn.replaced_by ? 'turn replaced' : 'turn'} data-testid="turn">
      <p class="asked">{turn.question}</p>
      {turn.answer ? <Answer text={turn.answer} of={turn} /> : <p class="quiet">{turn.error ? said(turn.error, say) : say.noAnswer}</p>}
      {turn.replaced_by && <p class="quiet small">{say.replaced}</p>}
      {turn.feedback && turn.feedback.rating !== 'none' && (
        <p class={`rated ${turn.feedback.rating}`}>
          <strong>{turn.feedback.rating === 'up' ? say.ratedUp : say.ratedDown}</strong>
          {turn.feedback.reasons.length > 0 && <span>{turn.feedback.reasons.map((reason) => say.reasons[reason] ?? reason).join(say.comma)}</span>}
          {turn.feedback.comment && <q>{turn.feedback.comment}</q>}
        </p>
      )}
      {turn.sources.length > 0 && (
        <ul class="sources">
          {turn.sources.map((source) => (
            <li key={source.n}><a href={address('knowledge', { id: source.entry_id })}>[{source.n}] {source.title}</a></li>
          ))}
        </ul>
      )}
      <p class="quiet small">{facts.join(' · ')}</p>
      <TraceView id={turn.id} />
      {correcting ? (
        <Correct turn={turn} close={() => setCorrecting(false)} />
      ) : (
        <p class="buttons">
          <button type="button" onClick={() => setCorrecting(true)} data-testid="correct">{say.correct}</button>
          <a class="button" href={address('try', { q: turn.query || turn.question })}>{say.tryThis}</a>
        </p>
      )}
    </li>
  );
}

/** Loaded when it is opened: a trace is long. */
function TraceView({ id }: { id: string }): VNode {
  const { say } = useContext(Desk);
  const [open, setOpen] = useState(false);
  const { loaded, reload } = useLoad<{ trace: Trace }>(open ? `/responses/${encodeURIComponent(id)}/trace` : undefined);
  return (
    <details class="trace" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary data-testid="trace">{say.howCome}</summary>
      {open && loaded && <Part loaded={loaded} reload={reload}>{({ trace }) => <TraceBody trace={trace} />}</Part>}
    </details>
  );
}

export function TraceBody({ trace }: { trace: Trace }): VNode {
  const { say } = useContext(Desk);
  const { search, prompt, tokens } = trace;
  if (!search && !prompt && !trace.intent) return <p class="quiet">{say.noTrace}</p>;
  return (
    <div class="trace-body" data-testid="trace-body">
      {trace.intent && <p>{say.intents[trace.intent] ?? trace.intent}</p>}
      {search && (
        <>
          <p><span class="quiet">{say.searchedWith}</span> {trace.query ?? search.query}</p>
          <Hits answer={search} />
        </>
      )}
      {prompt ? (
        <details>
          <summary>
            {promptName(prompt, say)}
            {tokens && ` · ${fill(say.tokens, { n: tokens.prompt.toLocaleString() })}`}
            {tokens && trace.model && <PromptPrice model={trace.model.id} tokens={tokens.prompt} />}
          </summary>
          <Prompt messages={prompt.messages} />
        </details>
      ) : (
        search && <p class="quiet">{say.noModelCalled}</p>
      )}
    </div>
  );
}

/** `answer.zh`, and which one: the server names a version `builtin 2 (digest)`, `file 2 (…)` or `shop 3 (…)`. */
export function promptName({ template, version }: { template: string; version: number | string }, say: Words): string {
  const [, origin = '', number = String(version)]: (string | undefined)[] = /^(builtin|file|shop) (\d+)/.exec(String(version)) ?? [];
  const origins: Record<string, string> = say.promptOrigins;
  return fill(say.promptOf, { name: template, origin: origins[origin] ?? '', version: number });
}

/** A prompt's price by what its model is configured with now. */
function PromptPrice({ model, tokens }: { model: string; tokens: number }): VNode | null {
  const { say } = useContext(Desk);
  const { loaded } = useLoad<ModelState[]>('/models');
  const known = loaded?.state === 'ready' ? loaded.value.find((one) => one.id === model) : undefined;
  return known ? <> · {promptPrice(known, tokens, say)}</> : null;
}

export function Prompt({ messages }: { messages: { role: string; part?: string; content: string }[] }): VNode {
  const { say } = useContext(Desk);
  return (
    <div class="prompt" tabIndex={0} role="group" aria-label={say.prompt}>
      {messages.map((message, i) => (
        <section key={i}>
          <p class="role">{say.roles[message.role as 'user'] ?? message.role}{message.part === 'demo' && ` · ${say.example}`}</p>
          <pre>{message.content}</pre>
        </section>
      ))}
    </div>
  );
}
