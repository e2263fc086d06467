// One entry: changed in a form, deleted, its history and the way back.

import type { VNode } from 'preact';
import { useContext, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { Entry, EntryContent, EntryVersion, KnowledgeStats } from '../shared/wire';
import { call, query } from './api';
import { Compare, type Content } from './Compare';
import { Desk, Part, useAction, useLoad } from './load';
import { short } from './plain';
import { address } from './route';
import { when } from './time';
import { Field } from './ui';
import { settled, useUnsaved } from './unsaved';

interface Props {
  id: string;
  stats: KnowledgeStats | undefined;
  changed(): void;
  close(): void;
}

/** Takes the last change of an entry back, with `revision` only that very one: others may have changed it since. */
export function takeBack(id: string, revision?: number): Promise<Entry> {
  return call('POST', `/knowledge/entries/${encodeURIComponent(id)}/undo${query({ revision })}`);
}

/** What an entry is called where it is not seen. */
export function nameOf({ question, answer }: Pick<Entry, 'question' | 'answer'>): string {
  return short(question || answer);
}

export function EntrySide({ id, stats, changed, close }: Props): VNode {
  const fresh = id === 'new';
  const entry = useLoad<Entry>(fresh ? undefined : `/knowledge/entries/${encodeURIComponent(id)}`);
  const history = useLoad<{ versions: EntryVersion[] }>(fresh ? undefined : `/knowledge/entries/${encodeURIComponent(id)}/versions`);
  const { say, tell } = useContext(Desk);
  const last = useAction();
  const again = () => (entry.reload(), history.reload(), changed());
  const undo = async () => {
    await takeBack(id);
    tell({ text: say.undone });
    again();
  };

  const add = async (content: Content) => {
    const added = await call<Entry>('POST', '/knowledge/entries', content);
    tell({ text: fill(say.added, { name: nameOf(added) }), undo: () => call('DELETE', `/knowledge/entries/${encodeURIComponent(added.id)}`) });
    settled();
    changed();
    close();
  };
  const save = async (content: Content, revision: number) => {
    const saved = await call<Entry>('PUT', `/knowledge/entries/${encodeURIComponent(id)}`, { ...content, revision });
    tell({ text: fill(say.saved, { name: nameOf(saved) }), undo: () => takeBack(id, saved.revision) });
    again();
  };
  const remove = async (entry: Entry) => {
    const { revision } = await call<{ revision: number }>('DELETE', `/knowledge/entries/${encodeURIComponent(id)}`);
    tell({ text: fill(say.deleted, { name: nameOf(entry) }), undo: () => takeBack(id, revision) });
    settled();
    changed();
    close();
  };

  if (fresh) return <Form stats={stats} save={add} name={say.add} />;
  return (
    <>
      {entry.loaded && (
        <Part loaded={entry.loaded} reload={entry.reload}>
          {(entry) => (
            <>
              <Form key={entry.revision} entry={entry} stats={stats} save={(content) => save(content, entry.revision)} remove={() => remove(entry)} name={say.save} />
              {history.loaded && (
                <Part loaded={history.loaded} reload={history.reload}>
                  {({ versions }) => <History entry={entry} versions={versions} undo={() => last.run(undo)} busy={last.busy} problem={last.problem} />}
                </Part>
              )}
              <p class="quiet small foot">
                <code>{entry.id}</code> · {say.revision} {entry.revision} · <a href={address('try', { q: entry.question })}>{say.tryThis}</a>
              </p>
            </>
          )}
        </Part>
      )}
    </>
  );
}

/** What a form holds: every field as it is typed. */
export type Typed = Record<'question' | 'answer' | 'similar' | 'not' | 'category' | 'tags' | 'market' | 'locale' | 'valid_from' | 'valid_to' | 'url', string> & { direct: boolean };

const lines = (text: string) => text.split('\n').map((line) => line.trim()).filter(Boolean);

export function typed(content: Content): Typed {
  const list = (value: string[] | undefined) => (value ?? []).join('\n');
  return {
    question: content.question ?? '',
    answer: content.answer ?? '',
    similar: list(content.similar),
    not: list(content.not),
    category: content.category ?? '',
    tags: (content.tags ?? []).join(', '),
    market: content.market ?? '',
    locale: content.locale ?? '',
    valid_from: content.valid_from ?? '',
    valid_to: content.valid_to ?? '',
    url: content.url ?? '',
    direct: content.direct ?? false,
  };
}

export function contentOf(form: Typed): Content {
  const given = (text: string) => text.trim() || null;
  return {
    question: form.question.trim(),
    answer: form.answer.trim(),
    similar: lines(form.similar),
    not: lines(form.not),
    category: given(form.category),
    tags: form.tags.split(/[,，]/).map((tag) => tag.trim()).filter(Boolean),
    market: given(form.market),
    locale: given(form.locale),
    valid_from: given(form.valid_from),
    valid_to: given(form.valid_to),
    url: given(form.url),
    direct: form.direct,
  } satisfies Partial<EntryContent>;
}

interface FormProps {
  entry?: Entry;
  stats: KnowledgeStats | undefined;
  save(content: Content): Promise<void>;
  remove?: () => Promise<void>;
  name: string;
}

function Form({ entry, stats, save, remove, name }: FormProps): VNode {
  const { say } = useContext(Desk);
  const before = typed(entry ?? {});
  const [form, setForm] = useState(before);
  const { busy, problem, run } = useAction();
  const same = JSON.stringify(form) === JSON.stringify(before);
  useUnsaved(!same);
  const put = (field: keyof Typed) => (event: { currentTarget: { value: string } }) => setForm({ ...form, [field]: event.currentTarget.value });
  const submit = () => void (!busy && !same && form.answer.trim() && run(() => save(contentOf(form))));
  const known = (counts: Record<string, number> | undefined, id: string) => (
    <datalist id={id}>{Object.keys(counts ?? {}).filter(Boolean).map((name) => <option key={name} value={name} />)}</datalist>
  );
  return (
    <form
      class="form"
      onSubmit={(event) => (event.preventDefault(), submit())}
      onKeyDown={(event) => event.key === 'Enter' && (event.ctrlKey || event.metaKey) && !event.isComposing && submit()}
    >
      <Field label={say.fields.question} wide>
        {(id) => <textarea id={id} rows={2} value={form.question} onInput={put('question')} data-testid="question" />}
      </Field>
      <Field label={say.fields.answer} wide>
        {(id) => <textarea id={id} rows={7} required value={form.answer} onInput={put('answer')} data-testid="answer" />}
      </Field>
      <Field label={say.fields.similar} hint={say.onePerLine} wide>
        {(id, hint) => <textarea id={id} aria-describedby={hint} rows={3} value={form.similar} onInput={put('similar')} />}
      </Field>
      <Field label={say.fields.not} hint={say.notHint} wide>
        {(id, hint) => <textarea id={id} aria-describedby={hint} rows={2} value={form.not} onInput={put('not')} />}
      </Field>
      <Field label={say.fields.category}>{(id) => <input id={id} list="categories" value={form.category} onInput={put('category')} />}</Field>
      <Field label={say.fields.market}>{(id) => <input id={id} list="markets" value={form.market} placeholder={say.allMarkets} onInput={put('market')} />}</Field>
      <Field label={say.fields.valid_from}>{(id) => <input id={id} inputMode="numeric" placeholder={say.always} value={form.valid_from} onInput={put('valid_from')} />}</Field>
      <Field label={say.fields.valid_to} hint={say.dayIncluded}>
        {(id, hint) => <input id={id} aria-describedby={hint} inputMode="numeric" placeholder={say.always} value={form.valid_to} onInput={put('valid_to')} />}
      </Field>
      <Field label={say.fields.locale}>{(id) => <input id={id} list="locales" value={form.locale} onInput={put('locale')} />}</Field>
      <Field label={say.fields.tags}>{(id) => <input id={id} value={form.tags} onInput={put('tags')} />}</Field>
      <Field label={say.fields.url} wide>{(id) => <input id={id} type="url" value={form.url} onInput={put('url')} />}</Field>
      <label class="check wide">
        <input type="checkbox" checked={form.direct} onChange={(event) => setForm({ ...form, direct: event.currentTarget.checked })} />
        <span>{say.directHint}</span>
      </label>
      {known(stats?.by_category, 'categories')}
      {known(stats?.by_market, 'markets')}
      {known(stats?.by_locale, 'locales')}
      {problem && <p class="wrong wide" role="alert" data-testid="form-problem">{problem}</p>}
      <div class="form-end wide">
        <button type="submit" class="primary" disabled={busy || same || !form.answer.trim()} data-testid="save">{name}</button>
        <button type="button" class="plain" disabled={same} onClick={() => setForm(before)}>{say.discard}</button>
        {remove && <button type="button" class="danger" disabled={busy} onClick={() => void run(remove)} data-testid="delete">{say.delete}</button>}
      </div>
    </form>
  );
}

/** Each change as what it was made from and into, the newest first. */
function History({ entry, versions, undo, busy, problem }: { entry: Entry; versions: EntryVersion[]; undo(): Promise<unknown>; busy: boolean; problem: string }): VNode {
  const { say, lang } = useContext(Desk);
  if (!versions.length) return <p class="quiet small">{say.noHistory}</p>;
  return (
    <section class="history" data-testid="history">
      <header>
        <h3>{say.history}</h3>
        <button type="button" disabled={busy} onClick={() => void undo()} data-testid="undo-last">{say.undoLast}</button>
      </header>
      {problem && <p class="wrong" role="alert">{problem}</p>}
      <ol>
        {versions.map((version, i) => {
          const after: Content = i === 0 ? entry : versions[i - 1]!.before;
          return (
            <li key={version.revision}>
              <details open={i === 0}>
                <summary>
                  {say.actions[version.action]} · {when(version.at_ms, lang)} <span class="quiet">{version.by.startsWith('session_') ? say.byConsole : version.by}</span>
                </summary>
                <Compare before={version.before} after={after} names={[say.before, say.after]} />
              </details>
            </li>
          );
        })}
      </ol>
    </section>
  );
}
