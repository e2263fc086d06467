// Small parts that several pages are made of.

import type { ComponentChildren, VNode } from 'preact';
import { useContext, useEffect, useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import { Desk, said, useAction, type Note } from './load';
import { when } from './time';

export function Head({ title, lead, children }: { title: string; lead: string; children?: ComponentChildren }): VNode {
  return (
    <header class="page-head">
      <div>
        <h1>{title}</h1>
        <p class="lead">{lead}</p>
      </div>
      {children && <div class="actions">{children}</div>}
    </header>
  );
}

/** What went wrong last. Behind the words for it is what was said in full, which may have a platform's own name for it. */
export function Fault({ error }: { error: { code: string; message: string; at_ms: number } }): VNode {
  const { say, lang } = useContext(Desk);
  const words = said(error, say);
  const line = <>{fill(say.lastError, { time: when(error.at_ms, lang), why: words })} <code>{error.code}</code></>;
  if (words === error.message) return <p class="small breakable">{line}</p>;
  return (
    <details class="fault small breakable" data-testid="fault">
      <summary>{line}</summary>
      <p class="quiet" lang="en">{error.message}</p>
    </details>
  );
}

/** Where what is open covers the screen. */
const COVERS = '(max-width: 760px)';

/** Beside the list, so that the list stays; over it on a small screen. Escape closes it, focus goes back. */
export function Side({ title, close, children }: { title: string; close(): void; children: ComponentChildren }): VNode {
  const { say } = useContext(Desk);
  const heading = useRef<HTMLHeadingElement>(null);
  const id = useId();
  const place = useRef<HTMLElement>(null);
  const [covers, setCovers] = useState(() => matchMedia(COVERS).matches);
  // Taken before anything is inert, which would take the focus away.
  const [before] = useState(() => document.activeElement);
  useEffect(() => {
    const screen = matchMedia(COVERS);
    const changed = () => setCovers(screen.matches);
    screen.addEventListener('change', changed);
    return () => screen.removeEventListener('change', changed);
  }, []);
  // What is covered cannot be reached either; what is said at the foot of the page stays.
  useLayoutEffect(() => {
    const behind: HTMLElement[] = [];
    for (let one: Element | null = covers ? place.current : null; one && one !== document.body; one = one.parentElement) {
      for (const other of one.parentElement?.children ?? []) {
        if (other !== one && other instanceof HTMLElement && !other.inert && !other.matches('.toast-place, dialog, script')) behind.push(other);
      }
    }
    for (const one of behind) one.inert = true;
    return () => behind.forEach((one) => (one.inert = false));
  }, [covers]);
  // After the one above: the focus goes back to what is no longer inert. With the drawing, or a key pressed at once is lost.
  useLayoutEffect(() => {
    heading.current?.focus();
    return () => before instanceof HTMLElement && before.isConnected && before.focus();
  }, []);
  return (
    <section
      ref={place}
      class="side"
      role={covers ? 'dialog' : 'complementary'}
      aria-modal={covers || undefined}
      aria-labelledby={id}
      data-testid="side"
      onKeyDown={(event) => {
        if (event.key !== 'Escape' || event.isComposing) return;
        event.stopPropagation();
        close();
      }}
    >
      <header class="side-head">
        <h2 id={id} ref={heading} tabIndex={-1}>{title}</h2>
        <button type="button" class="plain" onClick={close} data-testid="close">{say.close}</button>
      </header>
      <div class="side-body">{children}</div>
    </section>
  );
}

/** Brings the row that is open into sight: once something is open beside them, rows are laid out anew. */
export function useInSight(open: string | null): void {
  useEffect(() => {
    if (open) document.querySelector('.rows tr.open')?.scrollIntoView({ block: 'nearest' });
  }, [open]);
}

interface FieldProps {
  label: string;
  hint?: string;
  wide?: boolean;
  children(id: string, hint: string | undefined): ComponentChildren;
}

export function Field({ label, hint, wide, children }: FieldProps): VNode {
  const id = useId();
  return (
    <div class={wide ? 'field wide' : 'field'}>
      <label for={id}>{label}</label>
      {children(id, hint && `${id}-hint`)}
      {hint && <p class="quiet small" id={`${id}-hint`}>{hint}</p>}
    </div>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  options: [value: string, name: string][];
  choose(value: string): void;
  testid?: string;
}

/** A labelled choice of one, in a row of filters. */
export function Choice({ label, value, options, choose, testid }: ChoiceProps): VNode {
  const id = useId();
  return (
    <div class="choice">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => choose(event.currentTarget.value)} data-testid={testid}>
        {options.map(([value, name]) => (
          <option key={value} value={value}>{name}</option>
        ))}
      </select>
    </div>
  );
}

/** What narrows a list down. On a small screen only the search shows until the rest is asked for. */
export function Filters({ active, children }: { active: boolean; children: ComponentChildren }): VNode {
  const { say } = useContext(Desk);
  const [open, setOpen] = useState(active);
  return (
    <div class={open ? 'filters' : 'filters closed'}>
      {children}
      <button type="button" class="narrow-only" aria-expanded={open} onClick={() => setOpen(!open)} data-testid="more-filters">{say.filters}</button>
    </div>
  );
}

/** Pages of a list; nothing when there is only one. */
export function Pager({ first, next, busy, turn, children }: { first: boolean; next: boolean; busy: boolean; turn(by: 1 | -1): void; children?: ComponentChildren }): VNode | null {
  const { say } = useContext(Desk);
  if (first && !next && !children) return null;
  return (
    <nav class="pager" aria-label={say.pages}>
      {children}
      {!(first && !next) && (
        <>
          <button type="button" disabled={first || busy} onClick={() => turn(-1)} data-testid="previous">{say.previous}</button>
          <button type="button" disabled={!next || busy} onClick={() => turn(1)} data-testid="next">{say.next}</button>
        </>
      )}
    </nav>
  );
}

/** Searches a moment after the last key, and at once on Enter. */
export function SearchBox({ label, value, search, testid }: { label: string; value: string; search(text: string): void; testid?: string }): VNode {
  const [text, setText] = useState(value);
  const id = useId();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => setText(value), [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const later = (text: string) => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => search(text.trim()), 300);
  };
  return (
    <form
      class="choice grow"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        clearTimeout(timer.current);
        search(text.trim());
      }}
    >
      <label for={id}>{label}</label>
      <input
        id={id}
        type="search"
        value={text}
        enterkeyhint="search"
        data-testid={testid}
        onInput={(event) => {
          setText(event.currentTarget.value);
          if (!event.isComposing) later(event.currentTarget.value);
        }}
        onCompositionEnd={(event) => later(event.currentTarget.value)}
      />
    </form>
  );
}

/** How long a word stays that has no way back. */
const SAID_MS = 6000;

/** What was just done, and the way back. With one it stays, from page to page, until something else is done or it is
 *  put away: it may be the only one. */
export function Toast({ note, dismiss, undone }: { note: Note | undefined; dismiss(): void; undone(): void }): VNode {
  const { say } = useContext(Desk);
  const { busy, problem, run, clear } = useAction();
  const undo = note?.undo;
  useEffect(() => {
    clear();
    if (!note || undo) return undefined;
    const timer = setTimeout(dismiss, SAID_MS);
    return () => clearTimeout(timer);
  }, [note]);
  return (
    <div class="toast-place" role="status">
      {note && (
        <div class="toast" data-testid="toast">
          <span>{problem || note.text}</span>
          <span class="answers">
            {undo && <button type="button" disabled={busy} data-testid="undo" onClick={() => void run(async () => (await undo(), undone()))}>{say.undo}</button>}
            <button type="button" class="plain" onClick={dismiss}>{say.dismiss}</button>
          </span>
        </div>
      )}
    </div>
  );
}

/** A button that asks before it does what cannot be undone; `calm` when that is no loss. */
export function Asking({ ask, name, sure, run, disabled, calm }: { ask: string; name: string; sure: string; run(): void; disabled?: boolean; calm?: boolean }): VNode {
  const { say } = useContext(Desk);
  // Undefined until it was pressed for the first time: the focus stays where it is.
  const [asked, setAsked] = useState<boolean>();
  const button = useRef<HTMLButtonElement>(null);
  // With the drawing that swaps the buttons, or a key pressed at once is lost.
  useLayoutEffect(() => {
    if (asked !== undefined) button.current?.focus();
  }, [asked]);
  if (!asked) {
    return <button key="ask" type="button" class={calm ? '' : 'danger'} ref={button} disabled={disabled} onClick={() => setAsked(true)} data-testid="ask-first">{name}</button>;
  }
  return (
    <span class="asking" role="group" aria-label={ask}>
      <span>{ask}</span>
      <button type="button" class={calm ? 'primary' : 'danger'} ref={button} onClick={() => (setAsked(false), run())} data-testid="sure">{sure}</button>
      <button type="button" class="plain" onClick={() => setAsked(false)}>{say.cancel}</button>
    </span>
  );
}

/** Copies, and says so for a moment. */
export function Copy({ text, name }: { text: string; name: string }): VNode {
  const { say } = useContext(Desk);
  const [said, setSaid] = useState('');
  const copy = async () => {
    setSaid((await copied(text)) ? say.copied : say.notCopied);
    setTimeout(() => setSaid(''), 3000);
  };
  return <button type="button" onClick={() => void copy()}>{said || name}</button>;
}

/** Without https a browser has no clipboard for pages; the old command still works there. */
async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const place = document.createElement('textarea');
    place.value = text;
    place.className = 'hidden';
    document.body.append(place);
    place.select();
    const done = document.execCommand('copy');
    place.remove();
    return done;
  }
}

/** Tabs with counts; arrows move between them. */
export function Tabs<K extends string>({ name, tabs, open, choose }: { name: string; tabs: [K, string, number][]; open: K; choose(key: K): void }): VNode {
  const step = (event: KeyboardEvent) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const place = tabs.findIndex(([key]) => key === open);
    const [next] = tabs[(place + by + tabs.length) % tabs.length]!;
    choose(next);
    (event.currentTarget as HTMLElement).querySelector<HTMLElement>(`[data-tab="${next}"]`)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label={name} onKeyDown={step}>
      {tabs.map(([key, label, count]) => (
        <button
          key={key}
          type="button"
          role="tab"
          data-tab={key}
          data-testid={`tab-${key}`}
          aria-selected={key === open}
          tabIndex={key === open ? 0 : -1}
          onClick={() => choose(key)}
        >
          {label} <span class="count">{count.toLocaleString()}</span>
        </button>
      ))}
    </div>
  );
}
