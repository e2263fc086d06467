// The texts that attack, as the unit tests have them: a file of types less, so that Node reads it.

import { readFileSync } from 'node:fs';

const source = readFileSync(new URL('../../widget/hostile/corpus.ts', import.meta.url), 'utf8').replace('hostile: string[]', 'hostile');
export const { hostile } = await import(`data:text/javascript,${encodeURIComponent(source)}`);
