// Why a row of a plan is not written, and what a plan notes, in the page's language: by code, with what the
// server gives along. What has no words here is shown as the server says it.

import { fill } from '../shared/i18n';
import type { PlannedRow } from '../shared/wire';
import { fileOf } from './typed';
import type { Words } from './words';

interface Clash {
  row?: number;
  file?: string;
  entry?: string;
  source?: string | null;
  here?: string[];
  there?: string[];
  near?: boolean;
}

export function reasonOf(row: Pick<PlannedRow, 'code' | 'message' | 'details' | 'instead'>, say: Words): string {
  const near = (row.details as Clash | undefined)?.near ? '_nearly' : '';
  const words = say.rowProblems[`${row.code ?? ''}${near}`];
  if (!row.details || !words) return words ?? row.message ?? '';
  const { row: line, file, entry, source, here = [], there = [] } = row.details as Clash;
  const other = entry ? fill(source ? say.otherEntryFrom : say.otherEntry, { entry, source: source ?? '' }) : fill(file ? say.place : say.otherRow, { row: line ?? '', file: file ?? '' });
  const numbers = [here.length && fill(say.onlyHere, { numbers: here.join(say.comma) }), there.length && fill(say.onlyThere, { numbers: there.join(say.comma) })].filter(Boolean).join(say.comma);
  // Only an entry that the row may stand instead of can be replaced, and no other row of the file.
  return fill(words, { other, ways: row.instead ? say.waysOver : say.waysBeside, numbers: numbers && fill(say.differs, { numbers }) });
}

const NOTES: [RegExp, keyof Words['notes']][] = [
  [/^(?<file>.*?): columns not used: (?<columns>.*)$/, 'unused'],
  [/^(?<file>.*?): market `(?<market>.*?)` \((?:row |\d+ rows, the first is )(?<row>\d+)\) is no country/, 'market'],
  [/^nothing was deleted from the replaced sources/, 'keptAll'],
  [/^many rows share their question with another/, 'manyConflicts'],
];

/** A note is a sentence of the server's; those that everybody meets are known by how they begin. */
export function noteOf(note: string, say: Words): string {
  for (const [pattern, name] of NOTES) {
    const found = pattern.exec(note);
    if (found) return fill(say.notes[name], { ...found.groups, file: fileOf(found.groups?.file ?? '', say) });
  }
  return note;
}
