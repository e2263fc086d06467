// The demo page: two languages side by side in the markup, and questions that go to the widget.

import { chooseLang } from '../shared/i18n';
import type {} from '../widget/launcher';

const KEPT = 'harborlane:lang';
const root = document.documentElement;
const switches = document.querySelectorAll<HTMLButtonElement>('[data-lang]');

function speak(tag: string): void {
  root.lang = tag;
  for (const button of switches) button.setAttribute('aria-pressed', String(button.dataset.lang === tag));
  document.title = tag === 'en' ? 'Harborlane merchant centre' : '港巷 Harborlane 商家中心';
}

const wished = new URLSearchParams(location.search).get('lang') ?? localStorage.getItem(KEPT);
speak(chooseLang(wished, '', navigator.language) === 'en' ? 'en' : 'zh-CN');

for (const button of switches) {
  button.addEventListener('click', () => {
    speak(button.dataset.lang!);
    localStorage.setItem(KEPT, button.dataset.lang!);
  });
}

for (const button of document.querySelectorAll('[data-ask]')) {
  button.addEventListener('click', () => {
    const ask = () => window.MerchantCopilot?.ask(button.textContent ?? '');
    // The widget's script is asynchronous; an early click waits for it.
    if (window.MerchantCopilot) ask();
    else addEventListener('load', ask, { once: true });
  });
}
