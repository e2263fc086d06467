// The script a shop puts on its page: a button, and the panel's code when it is first wanted.

import { chooseLang, type Lang } from '../shared/i18n';
import type { Events, Host, Identity, LoadedScript, Panel, Tell } from './host';
import css from './launcher.css?inline';
import type { Words } from './words';

interface Api {
  open(): void;
  close(): void;
  /** Opens the panel and asks. */
  ask(text: string): void;
  /** Who is in front of the page, as the shop's backend signed it; `null` when nobody is any more. */
  identify(identity: Identity): void;
  /** Listens; what comes back ends it. */
  on<T extends keyof Events>(type: T, listener: (detail: Events[T]) => void): () => void;
}

declare global {
  interface Window {
    MerchantCopilot?: Api;
    trustedTypes?: { createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string } };
  }
}

// The few words the launcher needs before the panel's own words are there.
const words: Record<Lang, [open: string, unread: string, failed: string]> = {
  zh: ['打开商家助手', '，新回答：', '没有加载成功。请检查网络，再点一次。'],
  en: ['Open the merchant assistant', ', new answers: ', 'This did not load. Check your connection and click again.'],
};

const TAG = 'merchant-copilot';
const WIDE = '(min-width: 1024px)';

function start(script: HTMLScriptElement): void {
  const options = script.dataset;
  const { key = '', position, accent, theme, mode, into, launcher } = options;
  const origin = (options.server || new URL(script.src).origin).replace(/\/+$/, '');
  const memory = `mc:${key}:open`;
  const whole = mode === 'page';

  customElements.define(TAG, class extends HTMLElement {});
  const element = document.createElement(TAG);
  const root = element.attachShadow({ mode: 'open' });
  Object.assign(element.dataset, position && { position }, whole && { mode: into ? 'into' : mode }, accent && { accent: '' });
  if (accent) element.style.setProperty('--mc-brand', accent);
  if (theme) element.style.colorScheme = theme;

  const button = Object.assign(document.createElement('button'), { className: 'launcher', type: 'button' });
  button.dataset.testid = 'launcher';
  button.append(icon());
  const note = Object.assign(document.createElement('p'), { className: 'launcher-note', hidden: true, role: 'alert' });
  const tell: Tell = (type, detail) => element.dispatchEvent(new CustomEvent(type, { detail }));

  let panel: Promise<Panel> | undefined;
  let unread = 0;
  /** The page's own element that had the focus before the panel took it. */
  let opener: HTMLElement | null = null;
  const lang = () => chooseLang(options.lang, document.documentElement.lang, navigator.language);
  const host: Host = {
    root,
    options,
    server: origin,
    lang: lang(),
    whole,
    tell,
    sheet(css) {
      const sheet = new CSSStyleSheet();
      const light = theme === 'dark' ? 'all' : theme === 'light' && 'not all';
      sheet.replaceSync(light ? css.replace(/\(prefers-color-scheme: ?dark\)/g, light) : css);
      return sheet;
    },
    // A classic script, not import(): it works across origins without CORS.
    load: (file, mc) =>
      new Promise((done, onerror) => {
        const src = trusted(`${origin}/widget/${file}.js`);
        const next: LoadedScript<unknown> = Object.assign(document.createElement('script'), { src, nonce: script.nonce, mc: mc(done), onerror });
        document.head.append(next);
      }),
    closed(focus) {
      remember('0');
      button.hidden = !!launcher;
      if (focus) (launcher ? opener : button)?.focus();
      tell('close');
    },
    unread(count) {
      if (count !== unread) tell('unread', { count });
      unread = count;
      label();
    },
  };
  root.adoptedStyleSheets = [host.sheet(css)];
  root.append(note, button);
  button.hidden = whole || !!launcher;

  const api: Api = {
    open: () => void show(true),
    close: () => void panel?.then((panel) => panel.hide()),
    ask: (text) => void show(true).then((panel) => panel?.ask(String(text))),
    identify(identity) {
      host.identity = identity;
      void panel?.then((panel) => panel.identify());
    },
    on(type, listener) {
      const heard = (event: Event) => listener((event as CustomEvent).detail);
      element.addEventListener(type, heard);
      return () => element.removeEventListener(type, heard);
    },
  };
  button.onclick = api.open;
  // Who points at it is about to press it.
  const ahead = () => void load().catch(forget);
  button.onpointerenter = ahead;
  window.MerchantCopilot = api;

  function forget(): void {
    panel = undefined;
  }

  function label(): void {
    const [open, more] = words[host.lang];
    button.setAttribute('aria-label', unread ? open + more + unread : open);
    button.title = open;
    // Drawn by the style sheet, because the label says it already.
    button.dataset.count = String(unread || '');
  }

  function load(): Promise<Panel> {
    if (panel) return panel;
    const words = host.load<Words>(host.lang, (done) => done);
    host.words = { [host.lang]: words };
    // The words come beside the panel, not after it.
    return (panel = Promise.all([host.load<Panel>('panel', (mounted) => ({ host, mounted })), words]).then(([panel]) => panel));
  }

  function show(focus: boolean): Promise<Panel | void> {
    note.hidden = true;
    opener = document.activeElement as HTMLElement | null;
    button.setAttribute('aria-busy', 'true');
    return load()
      .then((panel) => {
        remember('1');
        button.hidden = true;
        panel.show(focus);
        tell('open');
        return panel;
      })
      .catch(() => {
        forget();
        note.textContent = words[host.lang][2];
        note.hidden = false;
      })
      .finally(() => button.removeAttribute('aria-busy'));
  }

  /** Whether it was open; a browser without storage starts as the page wishes. */
  function remember(open?: string): string | null {
    try {
      if (open) sessionStorage.setItem(memory, open);
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
  ((into && document.querySelector(into)) || document.body).append(element);
  // The page's own button, wherever it is drawn and how often it is drawn again.
  if (launcher && launcher !== 'none') {
    document.addEventListener('click', ({ target }) => (target as Element).closest?.(launcher) && api.open());
  }
  dispatchEvent(new Event(TAG));
  const wanted = remember() ?? options.open ?? '0';
  if (whole || (!/^(0|false)$/.test(wanted) && matchMedia(WIDE).matches)) void show(false);
  // Else the panel comes once the page is done and has time, unless its reader pays for every byte.
  else if (!(navigator as { connection?: { saveData?: boolean } }).connection?.saveData) {
    const soon = () => (window.requestIdleCallback ?? setTimeout)(ahead);
    if (document.readyState === 'complete') soon();
    else addEventListener('load', soon);
  }
}

/** A page that enforces Trusted Types has to allow the policy of our name; elsewhere an address is just a text. */
let trusted = (url: string): string => url;
try {
  const policy = window.trustedTypes?.createPolicy(TAG, { createScriptURL: trusted });
  if (policy) trusted = (url) => policy.createScriptURL(url);
} catch {
  // it forbids ours: then the browser decides about the plain address
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
if (script && !customElements.get(TAG)) {
  if (document.body) start(script);
  else addEventListener('DOMContentLoaded', () => start(script));
}
