// Fails when a script that every shop page loads grows over its budget.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const budgets = { 'widget.js': 3, 'widget/panel.js': 30, 'widget/sheets.js': 4, 'widget/zh.js': 2, 'widget/en.js': 2 };

let over = false;
for (const [file, budget] of Object.entries(budgets)) {
  const size = gzipSync(readFileSync(new URL(`dist/${file}`, import.meta.url)), { level: 9 }).length / 1024;
  over ||= size > budget;
  console.log(`${file}: ${size.toFixed(2)} KB gzip of ${budget} KB${size > budget ? ' — over budget' : ''}`);
}
process.exit(over ? 1 : 0);
