import type { ComponentChildren, VNode } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import { createContext } from 'preact';
import { fill } from '../shared/i18n';
import { ApiError, call } from './api';
import type { Words } from './words';

/** What every page gets: its words, and a way to say that the session is gone. */
export const Desk = createContext<{ say: Words; expired(): void }>(undefined as never);

type Loaded<T> = { state: 'loading' } | { state: 'ready'; value: T } | { state: 'failed'; error: ApiError };

/** Loads one path; nothing when the path is empty. */
export function useLoad<T>(path: string | undefined): { loaded: Loaded<T> | undefined; reload(): void } {
  const { expired } = useContext(Desk);
  const [loaded, setLoaded] = useState<Loaded<T>>();
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (!path) return setLoaded(undefined);
    const stop = new AbortController();
    setLoaded({ state: 'loading' });
    call<T>('GET', path, undefined, stop.signal).then(
      (value) => setLoaded({ state: 'ready', value }),
      (error: unknown) => {
        if (stop.signal.aborted) return;
        const known = error instanceof ApiError ? error : new ApiError(-1, 'internal', String(error));
        if (known.status === 401) expired();
        else setLoaded({ state: 'failed', error: known });
      },
    );
    return () => stop.abort();
  }, [path, round]);
  return { loaded, reload: () => setRound(round + 1) };
}

interface Props<T> {
  loaded: Loaded<T>;
  reload(): void;
  children(value: T): ComponentChildren;
}

/** The states every loaded part has; the skeleton only shows when it takes a while. */
export function Part<T>({ loaded, reload, children }: Props<T>): VNode {
  const { say } = useContext(Desk);
  if (loaded.state === 'ready') return <>{children(loaded.value)}</>;
  if (loaded.state === 'loading') {
    return (
      <div class="skeleton" aria-busy="true">
        <span class="hidden">{say.loading}</span>
      </div>
    );
  }
  const { status, message } = loaded.error;
  const text = status === 0 ? say.offline : status === 403 ? say.forbidden : fill(say.failed, { why: message });
  return (
    <div class="problem" role="alert">
      <p>{text}</p>
      <button type="button" onClick={reload}>{say.retry}</button>
    </div>
  );
}
