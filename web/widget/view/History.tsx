// The list of earlier conversations, over the conversation.

import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Lang } from '../../shared/i18n';
import { chatOf, type Summary } from '../archive';
import { Doors, type Place } from '../doors';
import type { Chat } from '../state';
import type { Words } from '../words';
import { sheetWords } from '../words/sheets';
import { Icon } from './icons';

export interface Props {
  say: Words;
  lang: Lang;
  /** The conversation on the screen. */
  current: string | undefined;
  place: Place;
  choose(chat: Chat): void;
  removed(id: string): void;
  close(): void;
}

export function History({ say: words, lang, current, place, choose, removed, close }: Props): VNode {
  const say = { ...words, ...sheetWords[lang] };
  const [list, setList] = useState<Summary[] | 'loading' | 'failed'>('loading');
  /** Where the older ones begin. */
  const [next, setNext] = useState<string | null>(null);
  const [older, setOlder] = useState<'loading' | 'failed'>();
  /** The conversation that is asked about once more before it goes. */
  const [doomed, setDoomed] = useState<string>();
  const [busy, setBusy] = useState<string>();
  const heading = useRef<HTMLHeadingElement>(null);
  const lines = useRef<HTMLUListElement>(null);
  const doors = new Doors(place);

  const fetchList = () => {
    setList('loading');
    doors.conversations().then(
      ({ conversations, next }) => (setList(conversations), setNext(next)),
      () => setList('failed'),
    );
  };
  const fetchOlder = (list: Summary[]) => {
    setOlder('loading');
    doors.conversations(next!).then(
      ({ conversations, next }) => {
        const known = new Set(list.map(({ id }) => id));
        setList([...list, ...conversations.filter(({ id }) => !known.has(id))]);
        setNext(next);
        setOlder(undefined);
        // The button may be gone, so the focus goes on with the list.
        requestAnimationFrame(() => lines.current?.querySelectorAll<HTMLElement>('.row')[list.length]?.focus());
      },
      () => setOlder('failed'),
    );
  };
  useEffect(() => {
    heading.current?.focus();
    fetchList();
  }, []);

  const pick = (id: string) => {
    setBusy(id);
    const shown = doors.turns(id).then((turns) => choose(chatOf(id, turns, lang)));
    shown.then(close, () => setList('failed')).finally(() => setBusy(undefined));
  };
  const drop = (id: string) => {
    if (doomed !== id) return setDoomed(id);
    heading.current?.focus(); // the row with the button goes away
    const gone = doors.remove(id).then(() => removed(id));
    gone.then(() => setList((list) => (Array.isArray(list) ? list.filter((one) => one.id !== id) : list)), () => setList('failed'));
  };

  return (
    <>
      <div class="veil" onClick={close} />
      <section class="sheet" role="dialog" aria-modal="true" aria-labelledby="history-title" data-testid="history-sheet" data-state={Array.isArray(list) ? 'ready' : list}>
        <div class="head">
          <h2 id="history-title" class="kind" tabIndex={-1} ref={heading}>{say.earlier}</h2>
          <button type="button" class="tool" aria-label={say.close} title={say.close} data-testid="history-close" onClick={close}>
            <Icon name="close" />
          </button>
        </div>
        <div class="page" tabIndex={0}>
          {list === 'loading' && <p class="skeleton" aria-busy="true" />}
          {list === 'failed' && (
            <p class="outcome" role="alert">
              <span>{say.earlierError}</span>
              <button type="button" class="plain" onClick={fetchList}>{say.retry}</button>
            </p>
          )}
          {Array.isArray(list) && !list.length && next === null && <p class="none">{say.earlierNone}</p>}
          {Array.isArray(list) && (
            <ul class="earlier" ref={lines}>
              {list.map(({ id, title, updated_ms }) => (
                <li key={id}>
                  <button type="button" class="row" data-testid="conversation" aria-current={id === current ? 'true' : undefined} disabled={busy !== undefined} onClick={() => pick(id)}>
                    <span>{title}</span>
                    <time dateTime={new Date(updated_ms).toISOString()}>{when(updated_ms, lang)}</time>
                  </button>
                  <button
                    type="button"
                    class={doomed === id ? 'plain danger' : 'plain'}
                    data-testid="remove"
                    aria-label={doomed === id ? `${say.removeSure} ${title}` : `${say.remove} ${title}`}
                    onClick={() => drop(id)}
                    onBlur={() => setDoomed(undefined)}
                  >
                    {doomed === id ? say.removeSure : say.remove}
                  </button>
                </li>
              ))}
            </ul>
          )}
          {Array.isArray(list) && next !== null && (
            <p class="older">
              {older === 'failed' && <span role="alert">{say.moreError}</span>}
              <button type="button" class="plain" data-testid="older" disabled={older === 'loading'} onClick={() => fetchOlder(list)}>{say.more}</button>
            </p>
          )}
        </div>
      </section>
    </>
  );
}

/** Within a day how long ago, beyond it the day. */
export function when(at: number, lang: Lang, now = Date.now()): string {
  const tag = lang === 'zh' ? 'zh-CN' : 'en-GB';
  const minutes = Math.round((at - now) / 60_000);
  const ago = new Intl.RelativeTimeFormat(tag, { numeric: 'auto' });
  if (minutes > -1) return lang === 'zh' ? '刚刚' : 'just now';
  if (minutes > -60) return ago.format(minutes, 'minute');
  if (minutes > -24 * 60) return ago.format(Math.round(minutes / 60), 'hour');
  return new Date(at).toLocaleDateString(tag, { year: 'numeric', month: 'short', day: 'numeric' });
}
