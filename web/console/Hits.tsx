// What a search found and why: the decision, both legs, the confidence.

import type { VNode } from 'preact';
import { useContext } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { Decision, LegScore, SearchAnswer, SearchHit } from '../shared/wire';
import { Desk } from './load';
import { plain } from './plain';
import type { Words } from './words';

/** What would be done with the question. */
export function Verdict({ answer }: { answer: SearchAnswer }): VNode {
  const { say } = useContext(Desk);
  const { hits, decision } = answer;
  const used = hits.filter((hit) => hit.passed).length;
  const verdict: Record<Decision, [string, string]> = {
    direct: [say.direct, say.directLead],
    grounded: [say.grounded, fill(say.groundedLead, { n: used })],
    none: [say.notFound, say.notFoundLead],
  };
  const [name, lead] = verdict[decision];
  const total = answer.timings_ms?.total;
  return (
    <div class={`verdict ${decision}`} role="status" data-testid="decision" data-decision={decision}>
      <strong>{name}</strong>
      <span>{lead}</span>
      {total !== undefined && <span class="quiet">{fill(say.took, { ms: round(total, 1) })}</span>}
    </div>
  );
}

/** Every hit with both legs, what came of them, and where the threshold cut. */
export function Hits({ answer }: { answer: SearchAnswer }): VNode {
  const { say } = useContext(Desk);
  const { hits } = answer;
  const best = Math.max(1, ...hits.map((hit) => hit.score));
  return (
    <>
      <Verdict answer={answer} />
      {hits.length ? (
        <div class="hits-box"><div class="scroll" tabIndex={0}>
          <table class="hits" data-testid="hits">
            <thead>
              <tr>
                <th scope="col" rowSpan={2} class="number">{say.rankShort}</th>
                <th scope="col" rowSpan={2}>{say.hit}</th>
                <th scope="colgroup" colSpan={2}>{say.lexical}</th>
                <th scope="colgroup" colSpan={2}>{say.semantic}</th>
                <th scope="col" rowSpan={2} class="number">{say.rankScore}{answer.weights && answer.fusion === 'weighted' && <span class="weight">{fill(say.byWeight, { lexical: round(answer.weights.lexical, 2), semantic: round(1 - answer.weights.lexical, 2) })}</span>}</th>
                <th scope="col" rowSpan={2} class="fused">{say.fused}</th>
              </tr>
              <tr>
                <th scope="col" class="number">{say.rankShort}</th>
                <th scope="col" class="number">{say.score}</th>
                <th scope="col" class="number">{say.rankShort}</th>
                <th scope="col" class="number">{say.score}</th>
              </tr>
            </thead>
            <tbody>
              {usedFirst(hits).map(([hit, place], i, shown) => [
                !hit.passed && (i === 0 || shown[i - 1]![0].passed) && (
                  <tr key="cut" class="cut">
                    <td colSpan={8}>{hits.every((hit) => hit.passed || isBelow(hit.reason)) ? say.threshold : say.notPassed}</td>
                  </tr>
                ),
                <Hit key={hit.id} hit={hit} asked={answer.query} place={place} best={best} />,
              ])}
            </tbody>
          </table>
        </div></div>
      ) : (
        <p class="quiet">{say.noHits}</p>
      )}
    </>
  );
}

/** The used hits, then the others, each with its place in the ranking: ranks and confidence need not agree, and
 *  below the line there is nothing that is used. */
export function usedFirst<H extends Pick<SearchHit, 'passed'>>(hits: H[]): [H, number][] {
  const placed = hits.map((hit, i): [H, number] => [hit, i + 1]);
  return [...placed.filter(([hit]) => hit.passed), ...placed.filter(([hit]) => !hit.passed)];
}

/** Words are found by their stems: `penalti` is shown as the question has it, `penalty`. */
export function asAsked(found: string[], question: string): string[] {
  const words = question.toLowerCase().match(/[a-z]+/g) ?? [];
  const begins = (start: string) => words.find((word) => word.startsWith(start));
  return [...new Set(found.map((stem) => begins(stem) ?? (stem.length > 3 ? begins(stem.slice(0, -1)) : undefined) ?? stem))];
}

function Hit({ hit, asked, place, best }: { hit: SearchHit; asked: string; place: number; best: number }): VNode {
  const { say } = useContext(Desk);
  return (
    <tr class={hit.passed ? '' : 'out'}>
      <td class="number place">{place}</td>
      <td class="entry">
        <details>
          <summary>
            <strong>{hit.question || hit.answer}</strong>
            {hit.question && <span class="preview">{plain(hit.answer)}</span>}
          </summary>
          <p>{hit.answer}</p>
          <p class="quiet"><code>{hit.id}</code></p>
        </details>
        {hit.matched?.length > 0 && <p class="quiet small">{fill(say.matched, { words: asAsked(hit.matched, asked).join(say.comma) })}</p>}
      </td>
      <Leg name={say.lexical} leg={hit.lexical} digits={2} />
      <Leg name={say.semantic} leg={hit.semantic} digits={3} />
      <td class="number leg" data-name={say.rankScore}>{hit.fused === undefined ? '–' : hit.fused.toFixed(3)}</td>
      <td class="fused">
        <div class="track"><span class="bar" style={{ width: `${Math.max(0, (hit.score / best) * 100)}%` }} /></div>
        <span class="figure">{round(hit.score, 3)}</span>
        <span class="state">{hit.passed ? say.passed : say.notPassed}</span>
        {hit.reason && <span class="quiet">{whyNot(hit.reason, say)}</span>}
      </td>
    </tr>
  );
}

const BELOW = /^confidence ([\d.]+) is below ([\d.]+)$/;

function isBelow(reason: string | null | undefined): boolean {
  return !!reason && BELOW.test(reason);
}

/** The search says why in English; the two reasons there are have words of their own. */
export function whyNot(reason: string, say: Words): string {
  const below = BELOW.exec(reason);
  if (below) return fill(say.below, { score: below[1]!, threshold: below[2]! });
  return reason.includes('`not`') ? say.ruledOut : reason;
}

function Leg({ name, leg, digits }: { name: string; leg: LegScore | null; digits: number }): VNode {
  const { say } = useContext(Desk);
  if (!leg) return <td class="missing leg" data-name={name} colSpan={2}>{say.missing}</td>;
  return (
    <>
      <td class="number leg" data-name={`${name} · ${say.rankShort}`}>{leg.rank || '–'}</td>
      <td class="number leg" data-name={say.score}>{leg.score.toFixed(digits)}</td>
    </>
  );
}

export function round(value: number, digits: number): string {
  return String(Number(value.toFixed(digits)));
}
