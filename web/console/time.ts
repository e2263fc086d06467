// Times and amounts as people say them.

import type { Lang } from '../shared/i18n';

const tag = (lang: Lang) => (lang === 'zh' ? 'zh-CN' : 'en-GB');

/** Relative within a day, absolute beyond. */
export function when(ms: number, lang: Lang, now = Date.now()): string {
  const minutes = Math.round((ms - now) / 60_000);
  if (minutes === 0 && ms <= now) return lang === 'zh' ? '刚刚' : 'just now';
  if (Math.abs(minutes) < 24 * 60) {
    const relative = new Intl.RelativeTimeFormat(tag(lang), { numeric: 'auto' });
    return Math.abs(minutes) < 60 ? relative.format(minutes, 'minute') : relative.format(Math.round(minutes / 60), 'hour');
  }
  return moment(ms, lang);
}

export function moment(ms: number, lang: Lang): string {
  return new Date(ms).toLocaleString(tag(lang), { dateStyle: 'medium', timeStyle: 'short' });
}

/** 850 → 850 ms, 1850 → 1.9 s. */
export function span(ms: number, lang: Lang): string {
  const [few, many] = lang === 'zh' ? ['毫秒', '秒'] : ['ms', 's'];
  return ms < 1000 ? `${Math.round(ms)} ${few}` : `${(ms / 1000).toFixed(1)} ${many}`;
}

export function money(amount: number, currency: string): string {
  return `${currency} ${amount === 0 ? '0' : amount < 0.01 ? amount.toPrecision(2) : amount.toFixed(2)}`;
}
