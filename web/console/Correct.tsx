// "This should have been answered so": a corrected or new entry, or one that is kept from the question, through the
// same plan as every import, and then the question again, to see that it holds.

import type { VNode } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import type { Entry, EntryContent, ImportPlan, StoredTurn, TakenBack } from '../shared/wire';
import { Answer } from './Answer';
import { ask, type Told } from './ask';
import { call } from './api';
import { contentOf, typed } from './EntrySide';
import { Desk, known, Later, useAction } from './load';
import { Plan } from './Plan';
import { afterAsking } from './route';
import { correctionBack } from './takenback';
import { TYPED } from './typed';
import { Choice, Field } from './ui';
import { useUnsaved } from './unsaved';

const NEW = 'new';

/** The row as a file of one line, as every import takes it. */
export function asFile(row: Record<string, unknown>): File {
  // With empty fields too: one that is missing would stay as the entry has it.
  return new File([`${JSON.stringify(row)}\n`], TYPED, { type: 'application/x-ndjson' });
}

export function Correct({ turn, close }: { turn: StoredTurn; close(): void }): VNode {
  const { say } = useContext(Desk);
  const [target, setTarget] = useState(turn.sources[0]?.entry_id ?? NEW);
  const [entry, setEntry] = useState<Entry>();
  const [question, setQuestion] = useState('');
  const [answer, setAnswer] = useState('');
  const [keptFrom, setKeptFrom] = useState(false);
  const [plan, setPlan] = useState<ImportPlan>();
  const { busy, problem, run, clear } = useAction();
  const asked = turn.query || turn.question;
  const typedIn = entry ? keptFrom || question !== entry.question || answer !== entry.answer : target === NEW && !!answer.trim();
  useUnsaved(typedIn && plan?.state !== 'applied');

  useEffect(() => {
    const still = { chosen: true };
    setEntry(undefined);
    setKeptFrom(false);
    clear();
    if (target === NEW) {
      setQuestion(asked);
      setAnswer('');
      return undefined;
    }
    void run(async () => {
      const entry = await call<Entry>('GET', `/knowledge/entries/${encodeURIComponent(target)}`);
      if (!still.chosen) return;
      setEntry(entry);
      setQuestion(entry.question);
      setAnswer(entry.answer);
    });
    return () => void (still.chosen = false);
  }, [target]);

  const look = () =>
    run(async () => {
      const row: Record<string, unknown> = entry
        ? { ...contentOf(typed(entry)), id: entry.id, source: entry.source, ...(keptFrom ? keptFromAsked(entry, asked) : { question, answer, ...answeringAsked(entry, question, asked) }) }
        : { question, answer, market: turn.market, source: 'console' };
      const form = new FormData();
      form.append('file', asFile(row));
      setPlan(await call<ImportPlan>('POST', '/knowledge/imports', form));
    });

  const back = () =>
    run(async () => {
      const path = `/knowledge/imports/${plan!.id}`;
      try {
        // It would wait for a day otherwise, and only so many may.
        await call('DELETE', path);
      } catch (error) {
        const { status } = known(error);
        // Writing it has begun, be it that the answer was lost: what came of it is shown, with the way back.
        if (status === 409) setPlan(await call<ImportPlan>('GET', path));
        if (status !== 404) throw error;
      }
      setPlan(undefined);
    });

  return (
    <section class="correct" aria-label={say.correct} data-testid="correcting">
      <h3>{say.correctTitle}</h3>
      {plan ? (
        plan.state === 'applied' ? (
          <Again turn={turn} plan={plan.id} close={close} />
        ) : (
          <>
            <Plan key={plan.id + plan.state} plan={plan} typed applied={setPlan} again={() => void look()} />
            <button type="button" class="plain" disabled={busy} onClick={() => void back()} data-testid="back-to-edit">{say.backToEdit}</button>
            {problem && <p class="wrong" role="alert">{problem}</p>}
          </>
        )
      ) : (
        <form class="form" onSubmit={(event) => (event.preventDefault(), void look())}>
          <Choice
            label={say.whereTo}
            value={target}
            options={[...turn.sources.map((source): [string, string] => [source.entry_id, `[${source.n}] ${source.title}`]), [NEW, say.newEntry]]}
            choose={setTarget}
            testid="target"
          />
          {entry && (
            <label class="check wide">
              <input type="checkbox" checked={keptFrom} onChange={(event) => setKeptFrom(event.currentTarget.checked)} data-testid="kept-from" />
              <span>{say.keptFrom}</span>
            </label>
          )}
          {!keptFrom && <Field label={say.fields.question} wide>
            {(id) => <textarea id={id} rows={2} value={question} onInput={(event) => setQuestion(event.currentTarget.value)} data-testid="right-question" />}
          </Field>}
          {!keptFrom && <Field label={say.rightAnswer} wide>
            {(id) => <textarea id={id} rows={6} required value={answer} onInput={(event) => setAnswer(event.currentTarget.value)} data-testid="right-answer" />}
          </Field>}
          {problem && <p class="wrong wide" role="alert">{problem}</p>}
          <div class="form-end wide">
            <button type="submit" class="primary" disabled={busy || (!keptFrom && !answer.trim())} data-testid="look">{say.seePlan}</button>
            <button type="button" class="plain" onClick={() => afterAsking(close)}>{say.cancel}</button>
          </div>
        </form>
      )}
    </section>
  );
}

/** A question as the server compares it: without case, width, signs and spaces. */
function bare(text: string): string {
  return text.normalize('NFKC').toLowerCase().replaceAll(/[\p{P}\p{S}\s]/gu, '');
}

/** What was asked becomes a further phrasing, so that it is found next time, and none that the entry is kept from. */
function answeringAsked(entry: Entry, question: string, asked: string): Partial<EntryContent> {
  const known = [question, ...entry.similar].includes(asked);
  return { similar: known ? entry.similar : [...entry.similar, asked], not: (entry.not ?? []).filter((phrasing) => bare(phrasing) !== bare(asked)) };
}

/** What was asked becomes a phrasing that it does not answer, and is no phrasing of it. */
function keptFromAsked(entry: Entry, asked: string): Partial<EntryContent> {
  return { not: [...new Set([...(entry.not ?? []), asked])], similar: entry.similar.filter((phrasing) => phrasing !== asked) };
}

/** What was written, with the way back, and the question again. */
function Again({ turn, plan, close }: { turn: StoredTurn; plan: string; close(): void }): VNode {
  const { say } = useContext(Desk);
  const [told, setTold] = useState<Told>();
  const [undone, setUndone] = useState<TakenBack>();
  const { busy, problem, wait, run } = useAction();
  const undo = () => run(async () => setUndone((await call<ImportPlan>('POST', `/knowledge/imports/${plan}/undo`)).undone!));
  const again = () =>
    run(async () => {
      const question = { text: turn.query || turn.question, model: turn.model ?? undefined, market: turn.market ?? undefined };
      await ask(question, setTold);
    });
  return (
    <div class="again">
      <p role="status">{undone ? correctionBack(undone, say) : say.corrected}</p>
      <p class="buttons">
        <Later name={say.askAgain} wait={wait} press={() => void again()} busy={busy} kind="primary" testid="ask-again" />
        {!undone && <button type="button" disabled={busy} onClick={() => void undo()} data-testid="undo-correction">{say.undo}</button>}
        <button type="button" class="plain" onClick={close}>{say.close}</button>
      </p>
      {problem && <p class="wrong" role="alert">{problem}</p>}
      {told && (
        <div class="two" aria-busy={busy}>
          <section>
            <h4>{say.then}</h4>
            {turn.answer ? <Answer text={turn.answer} of={turn} /> : <p>{say.noAnswer}</p>}
          </section>
          <section data-testid="new-answer" data-done={!!told.done}>
            <h4>{say.now}</h4>
            <Answer text={told.text} of={told} live={!told.done} />
            {told.sources.length > 0 && <p class="quiet small">{told.sources.map((source) => `[${source.n}] ${source.title}`).join('　')}</p>}
          </section>
        </div>
      )}
    </div>
  );
}
