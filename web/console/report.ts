// What a plan says of each row, as a table for a spreadsheet.

import type { ImportPlan, PlannedRow } from '../shared/wire';
import { call, query } from './api';
import { reasonOf } from './reasons';
import type { Words } from './words';

const AT_ONCE = 500;

/** A cell; what a spreadsheet would take for a formula is marked as text. */
export function cell(value: string | number | undefined): string {
  const text = typeof value === 'string' && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value ?? '');
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function line(row: PlannedRow, say: Words): string {
  const content = row.new ?? row.old;
  const why = reasonOf(row, say);
  return [say.fates[row.fate], row.file, row.sheet, row.row, row.id, why, content?.question, content?.answer].map(cell).join(',');
}

export async function saveReport(plan: ImportPlan, say: Words): Promise<void> {
  const lines = [say.reportHead.map(cell).join(',')];
  for (let after: number | null = 0; after !== null; ) {
    const page: ImportPlan = await call('GET', `/knowledge/imports/${plan.id}${query({ after, limit: AT_ONCE })}`);
    lines.push(...page.rows.filter((row) => row.fate !== 'unchanged').map((row) => line(row, say)));
    after = page.next;
  }
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([`\ufeff${lines.join('\r\n')}\r\n`], { type: 'text/csv' }));
  link.download = `${plan.files[0]?.replace(/\.[^.]*$/, '') ?? 'import'}-report.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
