// What the panel says. Each language is a file of its own, loaded when it is wanted: a visitor needs one.

import type { Lang } from '../shared/i18n';
import type { Host } from './host';
import type { zh } from './words/zh';

export type Words = typeof zh;

const known: Partial<Record<Lang, Promise<Words>>> = {};

/** The words of a language; a failure is forgotten, so that the next wish tries again. */
export function wordsOf(host: Host, lang: Lang): Promise<Words> {
  return (known[lang] ??= (host.words?.[lang] ?? host.load<Words>(lang, (done) => done)).catch((error: unknown) => {
    delete host.words;
    delete known[lang];
    throw error;
  }));
}

/** What to tell the merchant about an error: our words where waiting helps, else the server's sentence. */
export function why(say: Words, error: { code: string; message: string; retryable?: boolean } | undefined): string {
  if (/rate_limited$/.test(error?.code ?? '')) return say.busy;
  // The model's own limit, not a service that is away: the server says what helps.
  if (error?.code === 'model_unfinished') return error.message;
  return error?.retryable || !error?.message ? say.unavailable : error.message;
}
