// /widget/en.js: hands its words to whoever loads it.

import type { WordsScript } from '../words';
import { en } from './en';

(document.currentScript as WordsScript | null)?.mc?.(en);
