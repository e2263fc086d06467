// What the guardrails did: which rule, at which point, in which answer; never the text.

import type { VNode } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import type { StoredTurn, Verdict } from '../shared/wire';
import { call, query } from './api';
import { Desk, Part, useAction, useLoad } from './load';
import { address } from './route';
import { when } from './time';
import { Head } from './ui';
import type { Words } from './words';

/** Verdicts loaded at a time. */
const LIMIT = 100;

/** `personal.phone` by its own name, a rule that is new here by its first word. */
export function ruleName(rule: string, say: Words): string {
  return say.rules[rule] ?? say.rules[rule.split('.')[0]!] ?? rule;
}

/** The verdicts so far and a further load: two of one moment may stand on both sides of the cut. */
export function joined(before: Verdict[], more: Verdict[]): Verdict[] {
  const known = new Set(before.map(({ id }) => id));
  return [...before, ...more.filter(({ id }) => !known.has(id))];
}

export function Safety(): VNode {
  const { say } = useContext(Desk);
  const [shown, setShown] = useState<Verdict[]>([]);
  const [before, setBefore] = useState<number>();
  const { loaded, busy, reload } = useLoad<{ verdicts: Verdict[] }>(`/safety/verdicts${query({ limit: LIMIT, before })}`);
  const came = loaded?.state === 'ready' ? loaded.value.verdicts : undefined;
  useEffect(() => {
    if (came) setShown((shown) => joined(before === undefined ? [] : shown, came));
  }, [came]);
  const more = came?.length === LIMIT && shown.length > 0;
  return (
    <>
      <Head title={say.safety} lead={say.safetyLead}>
        <a class="button" href={address('conversations')}>{say.toConversations}</a>
      </Head>
      {loaded && (
        <Part loaded={loaded} reload={reload}>
          {({ verdicts }) => (verdicts.length || shown.length ? <List verdicts={shown} busy={busy} /> : <Nothing />)}
        </Part>
      )}
      {more && <p class="buttons foot"><button type="button" disabled={busy} onClick={() => setBefore(shown.at(-1)!.created_ms + 1)} data-testid="more">{say.more}</button></p>}
    </>
  );
}

function List({ verdicts, busy }: { verdicts: Verdict[]; busy: boolean }): VNode {
  const { say, lang } = useContext(Desk);
  const { busy: going, problem, run } = useAction();
  const see = (id: string) =>
    run(async () => {
      const { conversation_id } = await call<StoredTurn>('GET', `/responses/${encodeURIComponent(id)}/trace`);
      location.hash = address('conversations', { id: conversation_id });
    });
  return (
    <>
      {problem && <p class="wrong" role="alert">{problem}</p>}
      <table class="rows stacked" aria-busy={busy} data-testid="verdicts">
        <thead>
          <tr>
            <th scope="col">{say.rule}</th>
            <th scope="col">{say.foundIn}</th>
            <th scope="col">{say.doneWithIt}</th>
            <th scope="col" class="number">{say.times}</th>
            <th scope="col" class="number">{say.whenIt}</th>
            <th scope="col"><span class="hidden">{say.conversation}</span></th>
          </tr>
        </thead>
        <tbody>
          {verdicts.map((one) => (
            <tr key={one.id}>
              <th scope="row" class="main">{ruleName(one.rule, say)}</th>
              <td data-name={say.foundIn}>{say.stages[one.stage]}</td>
              <td data-name={say.doneWithIt}><span class={`state ${one.action === 'refuse' ? 'open' : one.action === 'redact' ? 'failing' : 'unknown'}`}>{say.verdicts[one.action]}</span></td>
              <td data-name={say.times} class="number">{one.hits.toLocaleString()}</td>
              <td data-name={say.whenIt} class="number quiet">{when(one.created_ms, lang)}</td>
              <td><button type="button" class="plain" disabled={going} onClick={() => void see(one.response_id)}>{say.seeIt}</button></td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function Nothing(): VNode {
  const { say } = useContext(Desk);
  return (
    <div class="empty" data-testid="no-verdicts">
      <h2>{say.noVerdicts}</h2>
      <p>{say.noVerdictsLead}</p>
    </div>
  );
}
