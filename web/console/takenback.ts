// What taking back an import did, in words: never more than was done.

import { fill } from '../shared/i18n';
import type { TakenBack } from '../shared/wire';
import type { Words } from './words';

/** Of a whole import: its parts are sentences whether or not their words end as one. */
export function importBack(back: TakenBack, say: Words): string {
  const parts = [say.importUndone, fill(say.importUndoneLead, { ...back }), back.left ? fill(say.importKept, { ...back }) : ''];
  return parts.filter(Boolean).map((part) => part.replace(/[.。]$/, '') + say.fullStop).join('').trim();
}

/** Of a single row: somebody may have changed its entry since, and then it stays as it is. */
export function correctionBack(back: TakenBack, say: Words): string {
  return back.restored + back.deleted ? say.correctionUndone : say.correctionKept;
}
