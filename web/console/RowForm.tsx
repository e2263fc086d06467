// An entry changed in its row of the table: what is changed most often, by keyboard alone; the rest is beside.

import type { VNode } from 'preact';
import { useContext, useEffect, useRef, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { Entry, KnowledgeStats } from '../shared/wire';
import { call } from './api';
import { contentOf, nameOf, takeBack, typed, type Typed } from './EntrySide';
import { Desk, useAction } from './load';
import { afterAsking, change } from './route';
import { Field } from './ui';
import { settled, useUnsaved } from './unsaved';

interface Props {
  entry: Entry;
  stats: KnowledgeStats | undefined;
  /** Told what the entry says now. */
  put(entry: Entry): void;
  close(): void;
}

export function RowForm({ entry, stats, put, close }: Props): VNode {
  const { say, tell } = useContext(Desk);
  const before = typed(entry);
  const [form, setForm] = useState(before);
  const { busy, problem, run } = useAction();
  const first = useRef<HTMLTextAreaElement>(null);
  const same = JSON.stringify(form) === JSON.stringify(before);
  useUnsaved(!same);
  useEffect(() => first.current?.focus(), []);
  // The focus goes back to the row when it is drawn again.
  const end = () => {
    close();
    requestAnimationFrame(() => document.querySelector<HTMLElement>(`[data-row="${CSS.escape(entry.id)}"]`)?.focus());
  };
  const save = () =>
    run(async () => {
      const saved = await call<Entry>('PUT', `/knowledge/entries/${encodeURIComponent(entry.id)}`, { ...contentOf(form), revision: entry.revision });
      put(saved);
      tell({ text: fill(say.saved, { name: nameOf(saved) }), undo: () => takeBack(entry.id, saved.revision) });
      settled();
      end();
    });
  const submit = () => void (!busy && !same && form.answer.trim() && save());
  const text = (field: keyof Typed) => ({ value: form[field] as string, onInput: (event: { currentTarget: { value: string } }) => setForm({ ...form, [field]: event.currentTarget.value }) });
  const known = (counts: Record<string, number> | undefined, id: string) => (
    <datalist id={id}>{Object.keys(counts ?? {}).filter(Boolean).map((name) => <option key={name} value={name} />)}</datalist>
  );
  return (
    <tr class="editing" data-testid="row-form">
      <td colSpan={5}>
        <form
          class="row-form"
          aria-label={say.edit}
          onSubmit={(event) => (event.preventDefault(), submit())}
          onKeyDown={(event) => {
            if (event.isComposing) return;
            if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) submit();
            // Not what the browser does: that would put the question away as it comes.
            if (event.key === 'Escape') event.preventDefault(), afterAsking(end);
          }}
        >
          <Field label={say.fields.question} wide>{(id) => <textarea id={id} ref={first} rows={1} {...text('question')} data-testid="row-question" />}</Field>
          <Field label={say.fields.answer} wide>{(id) => <textarea id={id} rows={4} required {...text('answer')} data-testid="row-answer" />}</Field>
          <Field label={say.fields.category}>{(id) => <input id={id} list="row-categories" {...text('category')} data-testid="row-category" />}</Field>
          <Field label={say.fields.market}>{(id) => <input id={id} list="row-markets" placeholder={say.allMarkets} {...text('market')} data-testid="row-market" />}</Field>
          <Field label={say.fields.valid_from}>{(id) => <input id={id} inputMode="numeric" placeholder={say.always} {...text('valid_from')} data-testid="row-from" />}</Field>
          <Field label={say.fields.valid_to}>{(id) => <input id={id} inputMode="numeric" placeholder={say.always} {...text('valid_to')} data-testid="row-to" />}</Field>
          <label class="check wide">
            <input type="checkbox" checked={form.direct} onChange={(event) => setForm({ ...form, direct: event.currentTarget.checked })} data-testid="row-direct" />
            <span>{say.directHint}</span>
          </label>
          {known(stats?.by_category, 'row-categories')}
          {known(stats?.by_market, 'row-markets')}
          {problem && <p class="wrong wide" role="alert" data-testid="row-problem">{problem}</p>}
          <div class="form-end wide">
            <button type="submit" class="primary" disabled={busy || same || !form.answer.trim()} data-testid="row-save">{say.save}</button>
            <button type="button" onClick={() => (settled(), end())} data-testid="row-cancel">{say.cancel}</button>
            <span class="quiet small">{say.editKeys}</span>
            <button type="button" class="plain aside" onClick={() => afterAsking(() => (close(), change({ id: entry.id })))} data-testid="row-all">{say.allFields}</button>
          </div>
        </form>
      </td>
    </tr>
  );
}
