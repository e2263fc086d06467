import type { VNode } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { fill, type Lang } from '../../shared/i18n';
import type { Source } from '../../shared/wire';
import type { Sheets } from '../lend';
import { hostsOf } from '../links';
import { Markdown } from '../markdown';
import type { Answer, Feedback, Turn } from '../state';
import { why, type Words } from '../words';
import { Icon } from './icons';

export interface Actions {
  again(turn: Turn): void;
  regenerate(turn: Turn): void;
  edit(turn: Turn): void;
  rate(turn: Turn, feedback: Feedback): void;
  ask(text: string): void;
  openSource(answer: Answer, n: number, opener: HTMLElement): void;
}

interface Props extends Actions {
  say: Words;
  turn: Turn;
  /** The last turn: only here are the next questions offered. */
  last: boolean;
  busy: boolean;
  lang: Lang;
  /** What asks for reasons, once it is loaded. */
  reasons: Sheets['Reasons'] | undefined;
  /** Says that AI made the answer; empty: the shop does not want it said. */
  mark: string;
  linkHosts: string[] | null | undefined;
  /** Where a person can be reached. */
  contact: string | undefined;
  called(): void;
}

export function TurnView({ say, turn, last, busy, lang, reasons, mark, linkHosts, contact, called, ...actions }: Props): VNode {
  const { answer } = turn;
  // Told with a refusal, a failed answer, or another answer that could not be had.
  const wait = useCountdown(turn.problem?.retryAt ?? 0);
  const stuck = answer ? answer.status === 'failed' || (answer.decision === 'none' && answer.status === 'completed') : turn.delivery === 'refused';
  // While an answer grows, the turns before it stay as they are drawn; what `actions` do is always the same.
  return useMemo(() => (
    <div class="turn">
      <div class="question">
        <span class="hidden">{say.you}: </span>
        {turn.text}
      </div>
      {!busy && turn.messageId && (
        <button type="button" class="plain edit" data-testid="edit" onClick={() => actions.edit(turn)}>{say.edit}</button>
      )}
      <article class="answer" data-testid="answer" data-status={answer?.status ?? turn.delivery}>
        <StatusLine say={say} turn={turn} />
        {answer && <AnswerBody say={say} turn={turn} answer={answer} busy={busy || wait > 0} lang={lang} reasons={reasons} mark={mark} linkHosts={linkHosts} {...actions} />}
        <Outcome say={say} turn={turn} busy={busy} wait={wait} again={actions.again} />
      </article>
      {answer && (last || answer.decision === 'none') && <Suggestions say={say} turn={turn} answer={answer} ask={actions.ask} />}
      {stuck && contact && (
        <a class="out contact" data-testid="contact" href={contact} target="_blank" rel="noopener" onClick={called}>{say.contact}</a>
      )}
    </div>
  ), [say, turn, last, busy, wait, lang, reasons, mark, linkHosts, contact]);
}

/** After an answer what could be asked next; instead of one, what comes near: that stays. */
function Suggestions({ say, turn, answer, ask }: { say: Words; turn: Turn; answer: Answer; ask(text: string): void }): VNode | null {
  const id = `next-${turn.id}`;
  if (!answer.suggestions.length) return null;
  return (
    <>
      <h3 class="label" id={id}>{answer.decision === 'none' ? say.nearest : say.suggestions}</h3>
      <ul class="suggestions" aria-labelledby={id}>
        {answer.suggestions.map((text) => (
          <li key={text}>
            <button type="button" data-testid="suggestion" onClick={() => ask(text)}>{text}</button>
          </li>
        ))}
      </ul>
    </>
  );
}

/** One line on what is going on, gone as soon as there is text to read. */
function StatusLine({ say, turn }: { say: Words; turn: Turn }): VNode | null {
  const text = statusText(say, turn);
  return text ? <p class="status" data-testid="status">{text}</p> : null;
}

function statusText(say: Words, { answer, delivery, stopping }: Turn): string | undefined {
  const over = answer ? answer.status !== 'running' : delivery === 'refused';
  if (over) return undefined;
  if (stopping) return say.stopping;
  if (answer?.text) return undefined;
  if (delivery === 'waiting') return say.waiting;
  if (answer?.stage !== 'generating') return say.retrieving;
  const found = answer.sources.length;
  return found ? fill(say.generatingFrom, { n: found }) : say.generating;
}

interface BodyProps extends Pick<Actions, 'openSource' | 'regenerate' | 'rate'>, Pick<Props, 'mark' | 'linkHosts' | 'lang' | 'reasons'> {
  say: Words;
  turn: Turn;
  answer: Answer;
  busy: boolean;
}

function AnswerBody({ say, turn, answer, busy, lang, reasons: Reasons, mark, linkHosts, openSource, regenerate, rate }: BodyProps): VNode {
  const { sources, text, reasoning } = answer;
  const live = answer.status === 'running' && !answer.final;
  const titles = new Map(sources.map((source) => [source.n, source.title]));
  const cites = {
    known: hostsOf(answer, linkHosts),
    has: (n: number) => titles.has(n),
    label: (n: number) => fill(say.sourceOf, { n, title: titles.get(n) ?? '' }),
    open: (n: number, opener: HTMLElement) => openSource(answer, n, opener),
  };
  return (
    <>
      {reasoning && (
        <details class="reasoning">
          <summary>{say.reasoning}</summary>
          <div>{reasoning}</div>
        </details>
      )}
      {text && <Markdown text={text} live={live} cites={cites} version={`${answer.id}/${sources.length}/${linkHosts}/${say.sourceOf}`} />}
      {answer.status !== 'running' && text && (
        <>
          <SourceChips say={say} answer={answer} open={cites.open} />
          <p class="mark">
            <span data-testid="ai-mark">{mark}{noteOf(say, answer)}</span>
            <span class="tools">
              <Copy say={say} text={text} />
              <button type="button" class="plain copy" data-testid="regenerate" disabled={busy} onClick={() => regenerate(turn)}>{say.regenerate}</button>
              <Thumbs say={say} said={answer.feedback} rate={(feedback) => rate(turn, feedback)} />
            </span>
          </p>
          {Reasons && answer.feedback?.rating === 'down' && <Reasons lang={lang} said={answer.feedback} rate={(feedback) => rate(turn, feedback)} />}
        </>
      )}
    </>
  );
}

/** The quoted sources first; what else was found is one press away. */
function SourceChips({ say, answer, open }: { say: Words; answer: Answer; open(n: number, opener: HTMLElement): void }): VNode | null {
  const [all, setAll] = useState(false);
  const cited = new Set(answer.citations.map((citation) => citation.n));
  const quoted = answer.sources.filter((source) => cited.has(source.n));
  const shown = all || !quoted.length ? answer.sources : quoted;
  const rest = answer.sources.length - shown.length;
  if (!shown.length) return null;
  const chip = ({ n, title }: Source) => (
    <li key={n}>
      <button
        type="button"
        class="chip"
        data-testid="source-chip"
        aria-label={fill(say.sourceOf, { n, title })}
        title={title}
        onClick={(event) => open(n, event.currentTarget)}
      >
        <span aria-hidden="true">[{n}]</span> {title}
      </button>
    </li>
  );
  return (
    <ul class="chips" aria-label={say.sources}>
      {shown.map(chip)}
      {rest > 0 && (
        <li>
          <button type="button" class="plain" onClick={() => setAll(true)}>{fill(say.moreSources, { n: rest })}</button>
        </li>
      )}
    </ul>
  );
}

/** Pressing the same thumb again takes it back. */
function Thumbs({ say, said, rate }: { say: Words; said: Feedback | undefined; rate(feedback: Feedback): void }): VNode {
  const thumb = (rating: 'up' | 'down') => (
    <button
      type="button"
      class="thumb"
      data-testid={`thumb-${rating}`}
      aria-label={say[rating]}
      title={say[rating]}
      aria-pressed={said?.rating === rating}
      onClick={() => rate({ rating: said?.rating === rating ? 'none' : rating, reasons: [] })}
    >
      <Icon name={rating} />
    </button>
  );
  return <>{thumb('up')}{thumb('down')}</>;
}

function Copy({ say, text }: { say: Words; text: string }): VNode | null {
  const [copied, setCopied] = useState(false);
  if (!navigator.clipboard) return null;
  const copy = () => navigator.clipboard.writeText(text).then(() => setCopied(true), () => undefined);
  return (
    <button type="button" class="plain copy" onClick={copy} onBlur={() => setCopied(false)}>
      {copied ? say.copied : say.copy}
    </button>
  );
}

/** How it ended, when it did not simply end well, and what to do about it. */
function Outcome({ say, turn, busy, wait, again }: { say: Words; turn: Turn; busy: boolean; wait: number } & Pick<Actions, 'again'>): VNode | null {
  const text = outcomeText(say, turn);
  if (!text) return null;
  const label = turn.delivery === 'refused' ? say.retry : say.again;
  const calm = turn.answer?.status === 'cancelled' || turn.answer?.status === 'incomplete';
  return (
    <div class={calm ? 'outcome calm' : turn.problem?.retryAt ? 'outcome wait' : 'outcome'}>
      <span>{text}</span>
      <button type="button" class="plain" disabled={busy || wait > 0} onClick={() => again(turn)}>
        {label}
        {wait > 0 && fill(say.afterWait, { s: wait })}
      </button>
    </div>
  );
}

/** What is said of a text that no source carries, to the eye and to the ear. */
export function noteOf(say: Words, answer: Answer | undefined): string {
  return answer?.text && answer.unsourced ? say.unsourced : '';
}

export function outcomeText(say: Words, { answer, delivery, problem }: Turn): string | undefined {
  if (delivery === 'refused') return fill(say.refused, { why: why(say, problem) });
  switch (answer?.status) {
    case 'lost':
      return say.lost;
    case 'failed':
      return fill(say.failed, { why: why(say, answer.error) });
    case 'incomplete':
      return say.incomplete;
    case 'cancelled':
      return say.cancelled;
    default:
      return undefined;
  }
}

/** Whole seconds until a moment, counted down. */
export function useCountdown(until: number): number {
  const [, tick] = useState(0);
  const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
  useEffect(() => {
    const timer = left && setTimeout(() => tick((n) => n + 1), 1000);
    return () => clearTimeout(timer);
  });
  return left;
}
