// The console: a session, a left rail, and pages chosen by the address's fragment.

import { render, type VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { chooseLang, fill, type Lang } from '../shared/i18n';
import type { SessionInfo } from '../shared/wire';
import { ApiError, call } from './api';
import { Knowledge } from './Knowledge';
import { Desk } from './load';
import { SignIn } from './SignIn';
import { TryIt } from './TryIt';
import { words, type Words } from './words';

const LANG = 'mc:console:lang';

/** A sign-in token is taken out of the address before anything else can see it. */
function takeToken(): string | undefined {
  const token = new URLSearchParams(location.hash.slice(1)).get('signin');
  if (token !== null) history.replaceState(null, '', location.pathname + location.search);
  return token || undefined;
}

const token = takeToken();

function App(): VNode | null {
  const [lang, setLang] = useState<Lang>(() => chooseLang(localStorage.getItem(LANG), '', navigator.language));
  const [session, setSession] = useState<SessionInfo | 'unknown' | 'none'>(token ? 'none' : 'unknown');
  const [note, setNote] = useState<keyof Words>();
  const [pending, setPending] = useState(token);
  const say = words[lang];

  useEffect(() => {
    document.documentElement.lang = lang === 'zh' ? 'zh-CN' : 'en';
    document.title = `${say.product} · ${say.console}`;
  }, [lang]);
  useEffect(() => {
    if (session !== 'unknown') return;
    call<SessionInfo>('GET', '/session').then(setSession, (error: unknown) => {
      if (error instanceof ApiError && error.status === 0) setNote('offline');
      setSession('none');
    });
  }, []);

  const speak = (lang: Lang) => {
    localStorage.setItem(LANG, lang);
    setLang(lang);
  };
  const switcher = <Languages say={say} lang={lang} speak={speak} />;
  if (session === 'unknown') return null;
  if (session === 'none') {
    return (
      <>
        <SignIn say={say} token={pending} note={note} signedIn={(session) => (setPending(undefined), setSession(session))} />
        <header class="corner">{switcher}</header>
      </>
    );
  }
  const leave = (note?: keyof Words) => {
    setNote(note);
    setSession('none');
  };
  const signOut = () => void call('DELETE', '/session').then(() => leave(), () => leave());
  return (
    <Desk.Provider value={{ say, expired: () => leave('signedOut') }}>
      <Workbench say={say} session={session} signOut={signOut} lang={lang}>{switcher}</Workbench>
    </Desk.Provider>
  );
}

interface WorkbenchProps {
  say: Words;
  session: SessionInfo;
  lang: Lang;
  signOut(): void;
  children: VNode;
}

function Workbench({ say, session, lang, signOut, children }: WorkbenchProps): VNode {
  const [route, query] = useRoute();
  const pages: [string, string][] = [
    ['knowledge', say.knowledge],
    ['try', say.tryIt],
  ];
  const { expires_at } = session;
  const until = expires_at && new Date(expires_at).toLocaleString(lang === 'zh' ? 'zh-CN' : 'en-GB', { dateStyle: 'medium', timeStyle: 'short' });
  return (
    <div class="desk">
      <nav class="rail" aria-label={say.console}>
        <p class="product">{say.product}</p>
        <p class="shop" title={until ? fill(say.until, { time: until }) : undefined}>{say.tenant} <strong>{session.tenant}</strong></p>
        <ul>
          {pages.map(([path, name]) => (
            <li key={path}>
              <a href={`#/${path}`} aria-current={route === path ? 'page' : undefined}>{name}</a>
            </li>
          ))}
        </ul>
        <div class="rail-foot">
          {children}
          <button type="button" class="plain" onClick={signOut} data-testid="sign-out">{say.signOut}</button>
        </div>
      </nav>
      <main>
        {route === 'try' ? (
          <TryIt query={query.get('q') ?? ''} search={(q) => (location.hash = `#/try?${new URLSearchParams({ q })}`)} />
        ) : (
          <Knowledge />
        )}
      </main>
    </div>
  );
}

function Languages({ say, lang, speak }: { say: Words; lang: Lang; speak(lang: Lang): void }): VNode {
  return (
    <p class="languages" role="group" aria-label={say.language}>
      <button type="button" lang="zh-CN" aria-pressed={lang === 'zh'} onClick={() => speak('zh')}>中文</button>
      <button type="button" lang="en" aria-pressed={lang === 'en'} onClick={() => speak('en')}>English</button>
    </p>
  );
}

/** `#/try?q=…` → page and parameters; anything unknown is the first page. */
function useRoute(): [string, URLSearchParams] {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  const [path = '', search = ''] = hash.replace(/^#\//, '').split('?');
  return [path === 'try' ? 'try' : 'knowledge', new URLSearchParams(search)];
}

render(<App />, document.getElementById('app')!);
