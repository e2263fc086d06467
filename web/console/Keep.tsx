// The question on the page kept as a labelled one: which of the rows found answer it, or that none can.

import type { VNode } from 'preact';
import { useContext, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { Case, SearchAnswer } from '../shared/wire';
import { call } from './api';
import { usedFirst } from './Hits';
import { Desk, useAction } from './load';
import { plain, short } from './plain';

/** So much of an answer tells two that have the same question apart. */
function beginning(answer: string): string {
  const text = plain(answer);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

export function Keep({ answer, market, kept }: { answer: SearchAnswer; market: string; kept(): void }): VNode {
  const { say, tell } = useContext(Desk);
  const { busy, problem, run } = useAction();
  const hits = usedFirst(answer.hits).map(([hit]) => hit);
  const [open, setOpen] = useState(false);
  const [right, setRight] = useState<string[]>(() => (answer.decision === 'none' ? [] : hits.slice(0, 1).map((hit) => hit.id)));
  const toggle = (id: string) => setRight(right.includes(id) ? right.filter((one) => one !== id) : [...right, id]);
  const keep = () =>
    run(async () => {
      const body = { cases: [{ query: answer.query, relevant: right, market: market || null }] };
      const [saved] = (await call<{ cases: Case[] }>('POST', '/knowledge/cases', body)).cases;
      const undo = () => call('DELETE', `/knowledge/cases/${encodeURIComponent(saved!.id)}`);
      setOpen(false);
      tell({ text: fill(say.caseKept, { name: short(answer.query) }), undo });
      kept();
    });
  if (!open) return <button type="button" class="keep" onClick={() => setOpen(true)} data-testid="keep">{say.keepCase}</button>;
  return (
    <div class="card labels" role="group" aria-labelledby="which-answers" data-testid="labels">
      <p class="question" id="which-answers">{say.whichAnswers}</p>
      {hits.map((hit) => (
        <label key={hit.id} class="check">
          <input type="checkbox" checked={right.includes(hit.id)} onChange={() => toggle(hit.id)} />
          <span>
            {hit.question || hit.answer.slice(0, 80)}
            {hit.market && <span class="tag">{hit.market}</span>}
            {hits.some((other) => other !== hit && other.question === hit.question) && (
              <span class="quiet small twin">{hit.market ? '' : `${say.allMarkets} · `}{beginning(hit.answer)}</span>
            )}
          </span>
        </label>
      ))}
      {!right.length && <p class="quiet small">{say.noneAnswers}</p>}
      {problem && <p class="wrong" role="alert">{problem}</p>}
      <div class="buttons">
        <button type="button" class="primary" disabled={busy} onClick={() => void keep()} data-testid="keep-it">{say.keepIt}</button>
        <button type="button" onClick={() => setOpen(false)}>{say.cancel}</button>
      </div>
    </div>
  );
}
