// The list of earlier conversations: a script of its own, loaded when it is first wanted.

import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Lang } from '../../shared/i18n';
import type { Summary } from '../archive';
import type { Words } from '../words';
import { Icon } from './icons';

export interface Props {
  say: Words;
  lang: Lang;
  /** The conversation on the screen. */
  current: string | undefined;
  load(): Promise<Summary[]>;
  choose(id: string): Promise<void>;
  remove(id: string): Promise<void>;
  close(): void;
}

export function History({ say, lang, current, load, choose, remove, close }: Props): VNode {
  const [list, setList] = useState<Summary[] | 'loading' | 'failed'>('loading');
  /** The conversation that is asked about once more before it goes. */
  const [doomed, setDoomed] = useState<string>();
  const [busy, setBusy] = useState<string>();
  const heading = useRef<HTMLHeadingElement>(null);

  const fetchList = () => {
    setList('loading');
    load().then(setList, () => setList('failed'));
  };
  useEffect(() => {
    heading.current?.focus();
    fetchList();
  }, []);

  const pick = (id: string) => {
    setBusy(id);
    choose(id).then(close, () => setList('failed')).finally(() => setBusy(undefined));
  };
  const drop = (id: string) => {
    if (doomed !== id) return setDoomed(id);
    heading.current?.focus(); // the row with the button goes away
    remove(id).then(() => Array.isArray(list) && setList(list.filter((one) => one.id !== id)), () => setList('failed'));
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
          {Array.isArray(list) && !list.length && <p class="none">{say.earlierNone}</p>}
          {Array.isArray(list) && (
            <ul class="earlier">
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
  if (minutes > -60) return ago.format(Math.min(0, minutes), 'minute');
  if (minutes > -24 * 60) return ago.format(Math.round(minutes / 60), 'hour');
  return new Date(at).toLocaleDateString(tag, { year: 'numeric', month: 'short', day: 'numeric' });
}
