// Fails when what every shop page loads, or what it takes to open the panel, grows over its budget. A KB is 1,000 bytes.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const size = (file) => gzipSync(readFileSync(new URL(`dist/${file}`, import.meta.url)), { level: 9 }).length;
const words = size('widget/zh.js') > size('widget/en.js') ? 'widget/zh.js' : 'widget/en.js';
const budgets = [
  ['the launcher, on every page', 3_000, ['widget.js']],
  ['the panel, opened in its longer language', 30_000, ['widget/panel.js', words]],
  ['what comes with the first question', 6_000, ['widget/sheets.js']],
];

let over = false;
for (const [what, budget, files] of budgets) {
  const sizes = files.map(size);
  const sum = sizes.reduce((a, b) => a + b);
  over ||= sum > budget;
  const parts = files.map((file, i) => `${file} ${sizes[i]}`).join(' + ');
  console.log(`${what}: ${sum} bytes gzip of ${budget} (${parts})${sum > budget ? ' — over budget' : ''}`);
}
process.exit(over ? 1 : 0);
