// /widget/zh.js: hands its words to whoever loads it.

import type { WordsScript } from '../words';
import { zh } from './zh';

(document.currentScript as WordsScript | null)?.mc?.(zh);
