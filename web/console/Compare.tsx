// Two states of a row side by side: only the fields that differ, the differing characters marked.

import type { VNode } from 'preact';
import { useContext } from 'preact/hooks';
import type { EntryContent } from '../shared/wire';
import { diff, type Piece } from './diff';
import { Desk } from './load';
import type { Words } from './words';

export type Content = Partial<EntryContent>;

const FIELDS = ['question', 'answer', 'similar', 'not', 'category', 'tags', 'market', 'locale', 'valid_from', 'valid_to', 'source', 'url', 'direct'] as const;

/** A field's value as it is typed into a form. */
export function asText(value: unknown, say: Words): string {
  if (Array.isArray(value)) return value.join('\n');
  if (typeof value === 'boolean') return value ? say.yes : say.no;
  return value === null || value === undefined ? '' : String(value);
}

export function fieldName(field: string, say: Words): string {
  return say.fields[field as keyof Words['fields']] ?? field;
}

/** What is not there, not so and empty are one and the same. */
function blank(value: unknown): boolean {
  return value === null || value === undefined || value === '' || value === false || (Array.isArray(value) && !value.length);
}

export function differing(before: Content, after: Content): (typeof FIELDS)[number][] {
  return FIELDS.filter((field) => {
    const [a, b] = [before[field], after[field]];
    return !(blank(a) && blank(b)) && JSON.stringify(a) !== JSON.stringify(b);
  });
}

/** What a second row says otherwise than the first. What it does not say takes nothing away, and where it comes
 *  from stands beside it. */
export function contrary(there: Content, here: Content): (typeof FIELDS)[number][] {
  return differing(there, here).filter((field) => field !== 'source' && !blank(here[field]));
}

interface Props {
  before: Content;
  after: Content;
  names: [string, string];
  /** Both stay, one beside the other: nothing is struck out. */
  beside?: boolean;
}

export function Compare({ before, after, names, beside = false }: Props): VNode {
  const { say } = useContext(Desk);
  const fields = beside ? contrary(before, after) : differing(before, after);
  if (!fields.length) return <p class="quiet">{say.noDifference}</p>;
  return (
    <table class="compare">
      <thead>
        <tr>
          <th scope="col"><span class="hidden">{say.field}</span></th>
          <th scope="col">{names[0]}</th>
          <th scope="col">{names[1]}</th>
        </tr>
      </thead>
      <tbody>
        {fields.map((field) => {
          const both = diff(asText(before[field], say), asText(after[field], say));
          return (
            <tr key={field}>
              <th scope="row">{fieldName(field, say)}</th>
              <td data-side={names[0]}><Pieces pieces={both.before} as={beside ? 'mark' : 'del'} /></td>
              <td data-side={names[1]}><Pieces pieces={both.after} as={beside ? 'mark' : 'ins'} /></td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function Pieces({ pieces, as: Mark }: { pieces: Piece[]; as: 'del' | 'ins' | 'mark' }): VNode {
  const { say } = useContext(Desk);
  if (!pieces.length) return <span class="quiet">{say.empty}</span>;
  return <>{pieces.map((piece, i) => (piece.same ? piece.text : <Mark key={i}>{piece.text}</Mark>))}</>;
}

/** A row that is only there once: its question, answer and whatever else it says. */
export function Whole({ content }: { content: Content }): VNode {
  const { say } = useContext(Desk);
  const rest = FIELDS.filter((field) => field !== 'question' && field !== 'answer' && !blank(content[field]));
  return (
    <div class="whole">
      {content.question && <p class="question">{content.question}</p>}
      {content.answer && <p class="answer">{content.answer}</p>}
      {rest.length > 0 && (
        <dl class="meta">
          {rest.map((field) => (
            <div key={field}>
              <dt>{fieldName(field, say)}</dt>
              <dd>{asText(content[field], say)}</dd>
            </div>
          ))}
        </dl>
      )}
    </div>
  );
}
