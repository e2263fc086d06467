// The console: a session, a left rail, and pages chosen by the address's fragment.

import { render, type VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { chooseLang, fill, type Lang } from '../shared/i18n';
import type { SessionInfo } from '../shared/wire';
import { ApiError, call } from './api';
import { Access } from './Access';
import { Channels } from './Channels';
import { Conversations } from './Conversations';
import { Dictionary } from './Dictionary';
import { Import } from './Import';
import { Knowledge } from './Knowledge';
import { Desk, known, type Note } from './load';
import { Overview } from './Overview';
import { Prompts } from './Prompts';
import { address, afterAsking, useRoute } from './route';
import { Safety } from './Safety';
import { problemOf, SignIn, signInBy } from './SignIn';
import { TryIt } from './TryIt';
import { anyUnsaved, Leaving, settled } from './unsaved';
import { Toast } from './ui';
import { words, type Words } from './words';

const LANG = 'mc:console:lang';
/** The page when the address names none. */
const FIRST = 'overview';
/** Pages that are reached from another one, and not from the rail. */
const BELOW: Record<string, string> = { import: 'knowledge', words: 'knowledge', safety: 'conversations' };

/** A sign-in token is taken out of the address before anything else can see it; `before` is what was open. */
function takeToken(before = location.pathname + location.search): string | undefined {
  const token = new URLSearchParams(location.hash.slice(1)).get('signin');
  if (token !== null) history.replaceState(null, '', before);
  return token || undefined;
}

const token = takeToken();

/** Told of the token of a link that is opened where the console already stands: only the fragment changes then. */
let tokenCame: (token: string) => void = () => undefined;
// Before any page listens: to them nothing has changed.
addEventListener('hashchange', (event) => {
  const token = takeToken(event.oldURL);
  if (!token) return;
  event.stopImmediatePropagation();
  tokenCame(token);
});

function App(): VNode | null {
  const [lang, setLang] = useState<Lang>(() => chooseLang(localStorage.getItem(LANG), '', navigator.language));
  const [session, setSession] = useState<SessionInfo | 'unknown' | 'none'>(token ? 'none' : 'unknown');
  const [note, setNote] = useState<keyof Words>();
  const [pending, setPending] = useState(token);
  // The session ended while something was typed: that stays, out of sight, until somebody signs in.
  const [held, setHeld] = useState(false);
  const [done, setDone] = useState<Note>();
  const [undone, setUndone] = useState(0);
  const say = words[lang];

  useEffect(() => {
    document.documentElement.lang = lang === 'zh' ? 'zh-CN' : 'en';
    // A page that is open has a title of its own.
    if (typeof session === 'string') document.title = `${say.product} · ${say.console}`;
  }, [lang, session]);
  useEffect(() => {
    if (session !== 'unknown') return;
    call<SessionInfo>('GET', '/session').then(setSession, (error: unknown) => {
      if (error instanceof ApiError && error.status === 0) setNote('offline');
      setSession('none');
    });
  }, []);

  const again = (next: SessionInfo) => {
    // Another shop's admin gets nothing of it.
    if (typeof session === 'object' && next.tenant !== session.tenant) settled();
    if (typeof session !== 'object' || next.tenant !== session.tenant) setDone(undefined);
    setSession(next);
    setHeld(false);
    setPending(undefined);
  };
  const leave = (note?: keyof Words) => {
    setNote(note);
    setDone(undefined);
    setSession('none');
  };
  const expired = () => (anyUnsaved() ? setHeld(true) : leave('signedOut'));
  // Another tab or window may have signed in to another shop, or out: the cookie is one. Looked at as soon as one comes
  // back here; what is done before the answer has come goes to the cookie's shop.
  useEffect(() => {
    if (typeof session === 'string' || held) return undefined;
    const stop = new AbortController();
    const look = () => {
      if (document.hidden) return;
      const seen = (next: SessionInfo) => {
        if (stop.signal.aborted || next.tenant === session.tenant) return;
        again(next);
        setDone({ text: fill(say.otherShop, { tenant: next.tenant }) });
      };
      call<SessionInfo>('GET', '/session', undefined, stop.signal).then(seen, (error: unknown) => {
        if (!stop.signal.aborted && known(error).status === 401) expired();
      });
    };
    document.addEventListener('visibilitychange', look);
    // Of two windows side by side neither is ever hidden.
    addEventListener('focus', look);
    return () => {
      stop.abort();
      document.removeEventListener('visibilitychange', look);
      removeEventListener('focus', look);
    };
  }, [session, held, say]);
  tokenCame = (token) => {
    if (session === 'unknown') setSession('none');
    if (typeof session === 'string' || held) return setPending(token);
    // Who is signed in stays so when the link is no good; it may lead to another shop, so what is typed is asked about.
    afterAsking(() => void signInBy(token).then((next) => (again(next), setDone({ text: say.signedIn })), (error: unknown) => setDone({ text: problemOf(error, say) })));
  };

  const speak = (lang: Lang) => {
    localStorage.setItem(LANG, lang);
    setLang(lang);
  };
  const switcher = <Languages say={say} lang={lang} speak={speak} />;
  if (session === 'unknown') return null;
  if (session === 'none') {
    return (
      <>
        <SignIn key={pending} say={say} token={pending} note={note} signedIn={again} />
        <header class="corner">{switcher}</header>
      </>
    );
  }
  const signOut = () => afterAsking(() => void call('DELETE', '/session').then(() => leave(), () => leave()));
  return (
    <Desk.Provider value={{ say, lang, linkHosts: session.link_hosts, expired, tell: setDone, undone }}>
      {held && <SignIn key={pending} say={say} token={pending} note="signedOutTyped" signedIn={again} />}
      <div key={session.tenant} hidden={held}>
        <Workbench say={say} session={session} signOut={signOut} lang={lang} opened={() => setDone((note) => (note?.undo ? note : undefined))}>{switcher}</Workbench>
        <Leaving />
        <Toast note={done} dismiss={() => setDone(undefined)} undone={() => (setUndone(undone + 1), setDone({ text: say.undone }))} />
      </div>
    </Desk.Provider>
  );
}

interface WorkbenchProps {
  say: Words;
  session: SessionInfo;
  lang: Lang;
  signOut(): void;
  /** Another page is open: what was done on the one before is said no longer, unless it can be taken back. */
  opened(): void;
  children: VNode;
}

function Workbench({ say, session, lang, signOut, opened, children }: WorkbenchProps): VNode {
  const { page, values } = useRoute();
  const pages: Record<string, [string, VNode]> = {
    overview: [say.overview, <Overview values={values} />],
    knowledge: [say.knowledge, <Knowledge values={values} />],
    import: [say.import, <Import values={values} />],
    words: [say.dictionary, <Dictionary />],
    safety: [say.safety, <Safety />],
    try: [say.tryIt, <TryIt values={values} />],
    prompts: [say.prompts, <Prompts values={values} />],
    conversations: [say.conversations, <Conversations values={values} />],
    channels: [say.channelsPage, <Channels values={values} />],
    access: [say.access, <Access />],
  };
  const open = page in pages ? page : FIRST;
  const [title, shown] = pages[open]!;
  const before = useRef(open);
  useEffect(() => {
    // Not when it begins: what is said then is of how it came to be.
    if (before.current !== open) opened();
    before.current = open;
  }, [open]);
  useEffect(() => {
    document.title = `${title} · ${say.product}`;
    document.querySelector('.rail [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  }, [title]);
  const { expires_at } = session;
  const until = expires_at && new Date(expires_at).toLocaleString(lang === 'zh' ? 'zh-CN' : 'en-GB', { dateStyle: 'medium', timeStyle: 'short' });
  return (
    <div class="desk">
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), document.getElementById('main')?.focus())}>{say.skip}</a>
      <nav class="rail" aria-label={say.console}>
        <p class="product">{say.product}</p>
        <p class="shop" title={until ? fill(say.until, { time: until }) : undefined}>{say.tenant} <strong>{session.tenant}</strong></p>
        <ul>
          {Object.entries(pages).filter(([path]) => !(path in BELOW)).map(([path, [name]]) => (
            <li key={path}>
              <a href={address(path)} aria-current={(BELOW[open] ?? open) === path ? 'page' : undefined}>{name}</a>
            </li>
          ))}
        </ul>
        <div class="rail-foot">
          {children}
          <button type="button" class="plain" onClick={signOut} data-testid="sign-out">{say.signOut}</button>
        </div>
      </nav>
      <main id="main" tabIndex={-1} key={open}>{shown}</main>
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

render(<App />, document.getElementById('app')!);
