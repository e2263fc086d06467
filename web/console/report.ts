// The failed and the conflicting rows of a plan as a table for a spreadsheet, to be corrected and imported again.

import type { ImportPlan, PlannedRow } from '../shared/wire';
import { call, query } from './api';
import { reasonOf } from './reasons';
import type { Words } from './words';

const AT_ONCE = 500;

// As `kb import --report` names them: by these the table is read again.
const PLACE = ['file', 'sheet', 'row', 'status', 'code', 'message'];
const FIELDS = ['id', 'question', 'similar', 'not', 'answer', 'category', 'tags', 'market', 'locale', 'valid_from', 'valid_to', 'source', 'url', 'direct'];

const quoted = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** A cell. What a spreadsheet would run as a formula gets an apostrophe before it, as in every table the server writes;
 *  the import takes it off (`src/knowledge/read/apostrophe.rs`), so the row's own cells come back as they were read. */
export function cell(value: string | number | undefined): string {
  return quoted(typeof value === 'string' && /^'*[=+\-@＝＋－＠\t\r\n]/.test(value) ? `'${value}` : String(value ?? ''));
}

export function line(row: PlannedRow, say: Words): string {
  const place = [row.file, row.sheet, row.row, row.fate, row.code, reasonOf(row, say)].map(cell);
  return [...place, ...FIELDS.map((field) => cell(row.cells?.[field]))].join(',');
}

export async function saveReport(plan: ImportPlan, say: Words): Promise<void> {
  const lines = [[...PLACE, ...FIELDS].join(',')];
  for (let after: number | null = 0; after !== null; ) {
    const page: ImportPlan = await call('GET', `/knowledge/imports/${plan.id}${query({ after, limit: AT_ONCE })}`);
    lines.push(...page.rows.filter((row) => row.cells).map((row) => line(row, say)));
    after = page.next;
  }
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([`\ufeff${lines.join('\r\n')}\r\n`], { type: 'text/csv' }));
  link.download = `${plan.files[0]?.replace(/\.[^.]*$/, '') ?? 'import'}-report.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
