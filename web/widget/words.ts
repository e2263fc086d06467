// What the panel says. Each language is a file of its own, loaded when it is wanted: a visitor needs one.

import type { Lang } from '../shared/i18n';
import type { zh } from './words/zh';

export type Words = typeof zh;

/** A language's script hands its words to the function that is left on its element. */
export interface WordsScript extends HTMLScriptElement {
  mc?(words: Words): void;
}

const known: Partial<Record<Lang, Promise<Words>>> = {};

/** The words of a language; a failure is forgotten, so that the next wish tries again. */
export function wordsOf(server: string, lang: Lang): Promise<Words> {
  return (known[lang] ??= new Promise<Words>((mc, onerror) => {
    const script: WordsScript = document.createElement('script');
    Object.assign(script, { src: `${server}/widget/${lang}.js`, mc, onerror });
    document.head.append(script);
  }).catch((error: unknown) => {
    delete known[lang];
    throw error;
  }));
}

/** What to tell the merchant about an error: our words where waiting helps, else the server's sentence. */
export function why(say: Words, error: { code: string; message: string; retryable?: boolean } | undefined): string {
  if (/rate_limited$/.test(error?.code ?? '')) return say.busy;
  return error?.retryable || !error?.message ? say.unavailable : error.message;
}
