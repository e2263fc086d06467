// What every page stands on: its words, loading, doing, and what is said when either goes wrong.

import type { ComponentChildren, VNode } from 'preact';
import { createContext } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import { fill, type Lang } from '../shared/i18n';
import { ApiError, call } from './api';
import { useWait } from './wait';
import type { Words } from './words';

/** A line about what was just done, with a way back when there is one: what is shown is loaded again after it. */
export interface Note {
  text: string;
  undo?: () => Promise<unknown>;
}

/** What every page gets: its words, a way to say that the session is gone, and one to say what was done. */
export interface DeskValue {
  say: Words;
  lang: Lang;
  /** Where links in answers may lead besides what their sources name; null: anywhere. */
  linkHosts: string[] | null;
  expired(): void;
  tell(note: Note): void;
  /** Grows when something was taken back, be it from another page: what is shown may be out of date. */
  undone: number;
}

export const Desk = createContext<DeskValue>(undefined as never);

export type Loaded<T> = { state: 'loading' } | { state: 'ready'; value: T } | { state: 'failed'; error: ApiError };

/** What went wrong, in the page's language where it is known, else in the server's words. */
export function explain(error: ApiError, say: Words): string {
  if (error.status === 0) return say.offline;
  if (error.code === 'wrong_role') return say.forbidden;
  if (error.code === 'answer_broken') return say.answerBroken;
  // What is our own fault has many codes and one sentence.
  return said({ code: error.status === 500 ? 'internal' : error.code, message: error.message }, say);
}

/** What the server says about an error, in the page's language where there are words for its code. */
export function said({ code, message }: { code: string; message: string }, say: Words): string {
  return say.problems[code] ?? message;
}

/** Whatever was thrown, as an error of the server. */
export function known(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError(-1, 'internal', String(error));
}

/** Loads one path; nothing when the path is empty. What was loaded stays while it is loaded again. With a body it is asked for by POST. */
export function useLoad<T>(path: string | undefined, body?: unknown): { loaded: Loaded<T> | undefined; busy: boolean; reload(): void } {
  const { expired, undone } = useContext(Desk);
  const [loaded, setLoaded] = useState<Loaded<T>>();
  const [busy, setBusy] = useState(false);
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (!path) return setLoaded(undefined);
    const stop = new AbortController();
    setBusy(true);
    setLoaded((before) => (before?.state === 'ready' ? before : { state: 'loading' }));
    call<T>(body === undefined ? 'GET' : 'POST', path, body, stop.signal)
      .then(
        (value) => setLoaded({ state: 'ready', value }),
        (error: unknown) => {
          if (stop.signal.aborted) return;
          if (known(error).status === 401) expired();
          else setLoaded({ state: 'failed', error: known(error) });
        },
      )
      .finally(() => stop.signal.aborted || setBusy(false));
    return () => stop.abort();
  }, [path, JSON.stringify(body), round, undone]);
  return { loaded, busy, reload: () => setRound((round) => round + 1) };
}

/** Runs one thing at a time; `problem` is what the last one said when it failed, under its `code`, `wait` for how many
 *  seconds it is to be left alone. */
export function useAction(): { busy: boolean; problem: string; code: string | undefined; wait: number; run(action: () => Promise<void>): Promise<boolean>; clear(): void } {
  const { say, expired } = useContext(Desk);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError>();
  const wait = useWait(error?.retryAt);
  const run = async (action: () => Promise<void>) => {
    setBusy(true);
    setError(undefined);
    try {
      await action();
      return true;
    } catch (error) {
      if (known(error).status === 401) expired();
      else setError(known(error));
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { busy, problem: error ? explain(error, say) : '', code: error?.code, wait, run, clear: () => setError(undefined) };
}

interface LaterProps {
  name: string;
  /** For how many seconds pressing it is of no use. */
  wait: number;
  press(): void;
  busy?: boolean;
  kind?: string;
  testid?: string;
}

/** A button that says when it can be pressed again. Meanwhile it keeps the focus, and is not read out anew each second. */
export function Later({ name, wait, press, busy = false, kind = '', testid }: LaterProps): VNode {
  const { say } = useContext(Desk);
  return (
    <button type="button" class={kind} disabled={busy} aria-disabled={wait > 0} onClick={() => wait > 0 || press()} data-testid={testid}>
      {name}
      {wait > 0 && <span aria-hidden="true">{fill(say.inSeconds, { n: wait })}</span>}
    </button>
  );
}

interface Props<T> {
  loaded: Loaded<T>;
  reload(): void;
  children(value: T): ComponentChildren;
}

/** The states every loaded part has; the skeleton only shows when it takes a while. */
export function Part<T>({ loaded, reload, children }: Props<T>): VNode {
  const { say } = useContext(Desk);
  const wait = useWait(loaded.state === 'failed' ? loaded.error.retryAt : undefined);
  if (loaded.state === 'ready') return <>{children(loaded.value)}</>;
  if (loaded.state === 'loading') {
    return (
      <div class="skeleton" aria-busy="true">
        <span class="hidden">{say.loading}</span>
      </div>
    );
  }
  const { status } = loaded.error;
  const why = explain(loaded.error, say);
  return (
    <div class="problem" role="alert">
      <p>{status === 0 || status === 403 ? why : fill(say.failed, { why })}</p>
      <Later name={say.retry} wait={wait} press={reload} />
    </div>
  );
}
