// /widget/en.js: hands its words to whoever loads it.

import type { LoadedScript } from '../host';
import type { Words } from '../words';
import { en } from './en';

(document.currentScript as LoadedScript<(words: Words) => void> | null)?.mc?.(en);
