// What was typed into the console goes through the same plan as a file; pages do not call it one.

import type { ImportPlan } from '../shared/wire';
import type { Words } from './words';

/** What the console names the file of a row that was typed into it; the server keeps such imports apart by it. */
export const TYPED = 'console.jsonl';

export function fileOf(file: string, say: Words): string {
  return file === TYPED ? say.typedImport : file;
}

/** What an import came of, in words. */
export function filesOf({ files }: Pick<ImportPlan, 'files'>, say: Words): string {
  return files.map((file) => fileOf(file, say)).join(say.comma);
}

/** Whether there is no file to name, to correct or to report about. */
export function isTyped({ files }: Pick<ImportPlan, 'files'>): boolean {
  return files.every((file) => file === TYPED);
}
