// The questions of a run, a few at a time: the rank of what answers each, what would be done with it, and what
// other settings do to that.

import type { VNode } from 'preact';
import { useContext, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { Judged, Outcome } from '../shared/wire';
import { Desk } from './load';
import { address } from './route';

/** Questions shown before more are asked for. */
const FEW = 50;

export function Questions({ questions }: { questions: Judged[] }): VNode {
  const { say } = useContext(Desk);
  const [most, setMost] = useState(FEW);
  const tried = questions.some((one) => one.after);
  const shown = questions.slice(0, most);
  return (
    <>
      <table class="rows stacked" data-testid="questions">
        <thead>
          <tr>
            <th scope="col">{say.query}</th>
            <th scope="col" class="number">{say.rightRank}</th>
            <th scope="col">{say.outcome}</th>
            {tried && <th scope="col">{say.change}</th>}
          </tr>
        </thead>
        <tbody>
          {shown.map((one) => (
            <tr key={one.id} data-change={one.change ?? undefined}>
              <th scope="row" class="main">
                <a href={address('try', { q: one.query, market: one.market ?? '' })}>{one.query}</a>
                {one.market && <span class="tag">{one.market}</span>}
                {one.gone && <p class="small amber">{say.goneAnswers}</p>}
              </th>
              <td data-name={say.rightRank} class="number">{one.answerable ? <Moved before={rank(one.before)} after={one.after && rank(one.after)} /> : <span class="quiet">{say.cannotAnswer}</span>}</td>
              <td data-name={say.outcome}><Moved before={say.decisionShort[one.before.decision]} after={one.after && say.decisionShort[one.after.decision]} /></td>
              {tried && <td data-name={say.change}>{one.change && <span class={`state ${LOOKS[one.change]}`}>{say.changeNames[one.change]}</span>}</td>}
            </tr>
          ))}
        </tbody>
      </table>
      {questions.length > most && <button type="button" onClick={() => setMost(most + FEW)}>{fill(say.moreQuestions, { n: (questions.length - most).toLocaleString() })}</button>}
    </>
  );
}

const LOOKS = { better: '', worse: 'open', same: 'unknown' };

function Moved({ before, after }: { before: string; after: string | null | undefined }): VNode {
  if (!after || after === before) return <span>{before}</span>;
  return <span><span class="quiet">{before} →</span> {after}</span>;
}

export function rank(outcome: Pick<Outcome, 'rank'>): string {
  return outcome.rank === null ? '–' : String(outcome.rank);
}

