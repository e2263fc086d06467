// The script a shop puts on its page: a button, and the panel's code when it is first wanted.

import { chooseLang, type Lang } from '../shared/i18n';
import type { Host, Panel, PanelScript } from './host';
import css from './launcher.css?inline';

interface Api {
  open(): void;
  close(): void;
  ask(text: string): void;
}

declare global {
  interface Window {
    MerchantCopilot?: Api;
  }
}

// The few words the launcher needs before the panel's own words are there.
const words: Record<Lang, [open: string, unread: string, failed: string]> = {
  zh: ['打开商家助手', '有新回答', '没有加载成功。请检查网络，再点一次。'],
  en: ['Open the merchant assistant', 'new answer', 'This did not load. Check your connection and click again.'],
};

const TAG = 'merchant-copilot';
const WIDE = '(min-width: 1024px)';

function start(script: HTMLScriptElement): void {
  const { key = '', lang: wish, position, accent, greeting = '', open: opens, server } = script.dataset;
  const origin = (server || new URL(script.src).origin).replace(/\/+$/, '');
  const memory = `mc:${key}:open`;

  customElements.define(TAG, class extends HTMLElement {});
  const element = document.createElement(TAG);
  const root = element.attachShadow({ mode: 'open' });
  if (position === 'left') element.dataset.position = 'left';
  if (accent) {
    element.dataset.accent = '';
    element.style.setProperty('--mc-brand', accent);
  }

  const button = document.createElement('button');
  button.className = 'launcher';
  button.type = 'button';
  button.dataset.testid = 'launcher';
  button.append(icon(), Object.assign(document.createElement('i'), { className: 'badge', hidden: true }));
  const note = Object.assign(document.createElement('p'), { className: 'launcher-note', hidden: true, role: 'alert' });
  const style = new CSSStyleSheet();
  style.replaceSync(css);
  root.adoptedStyleSheets = [style];
  root.append(note, button);

  let panel: Promise<Panel> | undefined;
  let unread = 0;
  const lang = () => chooseLang(wish, document.documentElement.lang, navigator.language);
  const host: Host = {
    root,
    siteKey: key,
    server: origin,
    lang: lang(),
    greeting,
    closed(focus) {
      remember('0');
      button.hidden = false;
      if (focus) button.focus();
    },
    unread(count) {
      unread = count;
      label();
    },
  };

  const api: Api = {
    open: () => void show(true),
    close: () => void panel?.then((panel) => panel.hide()),
    ask: (text) => void show(true).then((panel) => panel?.ask(String(text))),
  };
  button.onclick = () => void show(true);
  window.MerchantCopilot = api;

  function label(): void {
    const [open, more] = words[host.lang];
    button.setAttribute('aria-label', unread ? `${open} (${unread} ${more})` : open);
    button.title = open;
    const badge = button.lastElementChild as HTMLElement;
    badge.hidden = !unread;
    badge.textContent = String(unread);
  }

  function show(focus: boolean): Promise<Panel | void> {
    note.hidden = true;
    button.setAttribute('aria-busy', 'true');
    panel ??= load();
    return panel
      .then((panel) => {
        remember('1');
        button.hidden = true;
        panel.show(focus);
        return panel;
      })
      .catch(() => {
        panel = undefined;
        note.textContent = words[host.lang][2];
        note.hidden = false;
      })
      .finally(() => button.removeAttribute('aria-busy'));
  }

  // A classic script, not import(): it works across origins without CORS.
  function load(): Promise<Panel> {
    return new Promise((mounted, onerror) => {
      const panelScript: PanelScript = document.createElement('script');
      Object.assign(panelScript, { src: `${origin}/widget/panel.js`, mc: { host, mounted }, onerror });
      document.head.append(panelScript);
    });
  }

  function remember(open: string): void {
    try {
      sessionStorage.setItem(memory, open);
    } catch {
      // a browser without storage starts closed
    }
  }

  function remembered(): string | null {
    try {
      return sessionStorage.getItem(memory);
    } catch {
      return null;
    }
  }

  new MutationObserver(() => {
    if (lang() === host.lang) return;
    host.lang = lang();
    label();
    void panel?.then((panel) => panel.speak(host.lang));
  }).observe(document.documentElement, { attributes: true, attributeFilter: ['lang'] });

  label();
  document.body.append(element);
  const kept = remembered();
  const wanted = kept ? kept === '1' : opens !== undefined && opens !== 'false';
  if (wanted && matchMedia(WIDE).matches) void show(false);
}

function icon(): SVGElement {
  const ns = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(ns, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(ns, 'path');
  path.setAttribute('d', 'M5 4.5h14A1.5 1.5 0 0 1 20.5 6v9.5a1.5 1.5 0 0 1-1.5 1.5h-7.5L7 20.5V17H5a1.5 1.5 0 0 1-1.5-1.5V6A1.5 1.5 0 0 1 5 4.5ZM8 9h8M8 12.5h5');
  svg.append(path);
  return svg;
}

const script = (document.currentScript ?? document.querySelector('script[data-key][src*="widget.js"]')) as HTMLScriptElement | null;
if (script && !window.MerchantCopilot && !customElements.get(TAG)) {
  if (document.body) start(script);
  else addEventListener('DOMContentLoaded', () => start(script));
}
