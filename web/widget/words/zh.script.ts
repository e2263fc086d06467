// /widget/zh.js: hands its words to whoever loads it.

import type { LoadedScript } from '../host';
import type { Words } from '../words';
import { zh } from './zh';

(document.currentScript as LoadedScript<(words: Words) => void> | null)?.mc?.(zh);
