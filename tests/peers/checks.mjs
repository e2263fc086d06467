// One line per check, as run.sh counts them: `ok    name — remark` or `FAIL  name — why`.

import { createRequire } from 'node:module';
import { join } from 'node:path';

/** The third-party packages that scripts/test-tools.sh installed. */
export const peer = createRequire(join(process.env.PEERS, 'package.json'));

let failures = 0;

export async function check(name, action) {
  const start = Date.now();
  try {
    const remark = await action();
    console.log(`ok    ${name}${remark ? ` — ${remark}` : ''} (${Date.now() - start} ms)`);
  } catch (error) {
    failures++;
    console.log(`FAIL  ${name} — ${String(error?.message ?? error).replaceAll('\n', ' ').slice(0, 600)}`);
  }
}

export function must(fact, otherwise) {
  if (!fact) throw new Error(otherwise);
}

export function end() {
  process.exit(failures ? 1 : 0);
}
