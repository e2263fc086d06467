import type { VNode } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { RefObject } from 'preact';
import { fill } from '../../shared/i18n';
import { points } from '../state';
import type { Words } from '../words';
import { Icon } from './icons';

interface Props {
  say: Words;
  box: RefObject<HTMLTextAreaElement | null>;
  /** A text given to the box, to be shown once; empty: what was typed before it comes back. */
  draft: string | undefined;
  /** An earlier question is being changed. */
  editing?: boolean;
  letBe?(): void;
  longest: number | undefined;
  busy: boolean;
  stopping: boolean;
  send(text: string): void;
  stop(): void;
  tookDraft(): void;
}

/** Enter sends, unless it only picks a word in an input method: keyCode 229 is how Safari says so. */
export function sends(event: Pick<KeyboardEvent, 'key' | 'shiftKey' | 'isComposing' | 'keyCode'>): boolean {
  return event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
}

export function Composer({ say, box, draft, editing, letBe, longest, busy, stopping, send, stop, tookDraft }: Props): VNode {
  const [text, setText] = useState('');
  /** What was being typed when another text took the box. */
  const aside = useRef('');
  const length = points(text.trim());
  const tooLong = longest !== undefined && length > longest;
  const ready = length > 0 && !tooLong && !busy;

  useLayoutEffect(() => {
    if (draft === undefined) return;
    if (draft) {
      aside.current ||= text.trim() && text !== draft ? text : '';
      setText(draft);
    } else giveBack();
    tookDraft();
  }, [draft]);

  useLayoutEffect(() => {
    const area = box.current;
    if (!area) return;
    area.style.height = 'auto';
    area.style.height = `${area.scrollHeight}px`;
  }, [text]);

  const giveBack = () => {
    setText(aside.current);
    aside.current = '';
  };
  const submit = () => {
    if (!ready) return;
    send(text);
    giveBack();
  };

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {editing && (
        <p class="editing" data-testid="editing">
          {say.editing}
          <button type="button" class="plain" onClick={letBe}>{say.letBe}</button>
        </p>
      )}
      <div class="field">
        <textarea
          ref={box}
          rows={1}
          data-testid="composer"
          aria-label={say.ask}
          aria-invalid={tooLong || undefined}
          placeholder={say.ask}
          value={text}
          enterkeyhint="send"
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (!sends(event)) return;
            event.preventDefault();
            submit();
          }}
        />
        {busy ? (
          <button type="button" class="round" data-testid="stop" aria-label={say.stop} title={say.stop} disabled={stopping} onClick={stop}>
            <Icon name="stop" />
          </button>
        ) : (
          <button type="submit" class="round" data-testid="send" aria-label={say.send} title={say.send} disabled={!ready}>
            <Icon name="send" />
          </button>
        )}
      </div>
      {tooLong && <p class="limit" role="alert">{fill(say.tooLong, { max: longest, n: length })}</p>}
    </form>
  );
}
