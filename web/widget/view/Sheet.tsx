// The row behind a marker, over the conversation.

import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Lang } from '../../shared/i18n';
import type { Source, SourceRow } from '../../shared/wire';
import { Doors, type Place } from '../doors';
import { safeHref } from '../links';
import { quote } from '../quote';
import type { Words } from '../words';
import { sheetWords } from '../words/sheets';
import { Icon } from './icons';

interface Props {
  say: Words;
  lang: Lang;
  place: Place;
  responseId: string;
  source: Source;
  close(): void;
}

type All = Words & (typeof sheetWords)['zh'];

/** The very row an answer quotes, the quoted part marked. */
export function Sheet({ say: words, lang, place, responseId, source, close }: Props): VNode {
  const say = { ...words, ...sheetWords[lang] };
  const [row, setRow] = useState<SourceRow | 'loading' | 'failed'>('loading');
  const heading = useRef<HTMLHeadingElement>(null);

  const fetchRow = () => {
    setRow('loading');
    new Doors(place).source(responseId, source.n).then(setRow, () => setRow('failed'));
  };
  useEffect(() => {
    heading.current?.focus();
    fetchRow();
  }, []);

  const ready = typeof row === 'object' ? row : undefined;
  return (
    <>
      <div class="veil" onClick={close} />
      <section class="sheet" role="dialog" aria-modal="true" aria-labelledby="sheet-title" data-testid="source-sheet" data-state={ready ? 'ready' : row}>
        <div class="head">
          <span class="kind">[{source.n}] {say.sheetOf}</span>
          <button type="button" class="tool" aria-label={say.close} title={say.close} data-testid="sheet-close" onClick={close}>
            <Icon name="close" />
          </button>
        </div>
        <div class="page" tabIndex={0}>
          <h2 id="sheet-title" tabIndex={-1} ref={heading}>{ready?.question ?? source.title}</h2>
          {row === 'loading' && <p class="skeleton" aria-busy="true" />}
          {row === 'failed' && (
            <>
              <p class="outcome">
                <span>{say.sheetError}</span>
                <button type="button" class="plain" onClick={fetchRow}>{say.retry}</button>
              </p>
              <p class="row-text">{source.snippet}</p>
            </>
          )}
          {ready && <Row say={say} row={ready} snippet={ready.snippet ?? source.snippet} />}
        </div>
      </section>
    </>
  );
}

function Row({ say, row, snippet }: { say: All; row: SourceRow; snippet: string }): VNode {
  const [before, marked, after] = quote(row.answer, snippet);
  const whole = marked && !/[\p{L}\p{N}]/u.test(before + after);
  const state = validState(say, row);
  const facts: [string, string | null][] = [
    [say.category, row.category],
    [say.market, row.market],
    [say.validity, validity(row)],
  ];
  const href = row.url && safeHref(row.url);
  return (
    <>
      <p class="row-text">
        {whole ? (
          <mark class="whole">{row.answer}</mark>
        ) : (
          <>{before}{marked && <mark>{marked}</mark>}{after}</>
        )}
      </p>
      <dl>
        {facts.map(([name, value]) => value && (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              {value}
              {name === say.validity && state && <span class="warn">{state}</span>}
            </dd>
          </div>
        ))}
      </dl>
      {href && <a class="out" href={href} target="_blank" rel="noopener noreferrer">{say.sheetOpen}</a>}
    </>
  );
}

function validity({ valid_from, valid_to }: SourceRow): string | null {
  if (!valid_from && !valid_to) return null;
  return `${valid_from ? day(valid_from) : '…'} – ${valid_to ? day(valid_to) : '…'}`;
}

/** `2026-03-01` stays as it is; a time is shown in local time, and the bounds of a day as that day. */
function day(iso: string): string {
  if (iso.length <= 10) return iso;
  return new Date(iso).toLocaleString('sv').replace(/ (00:00|23:59).*|:\d\d$/, '');
}

function validState(say: All, { valid_from, valid_to }: SourceRow): string | undefined {
  const at = (iso: string, clock: string) => Date.parse(iso.length <= 10 ? iso + clock : iso);
  if (valid_to && at(valid_to, 'T23:59:59') < Date.now()) return say.expired;
  return valid_from && at(valid_from, 'T00:00') > Date.now() ? say.notYet : undefined;
}
