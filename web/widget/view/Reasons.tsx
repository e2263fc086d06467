// What was wrong with an answer: comes with the sheets, because few answers are rated down.

import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { Lang } from '../../shared/i18n';
import type { Feedback } from '../state';
import { sheetWords } from '../words/sheets';

interface Props {
  lang: Lang;
  said: Feedback;
  rate(feedback: Feedback): void;
}

/** Any of a few words, and one's own. Escape anywhere in the answer puts it away and leaves the rating. */
export function Reasons({ lang, said, rate }: Props): VNode | null {
  const say = sheetWords[lang];
  const [open, setOpen] = useState(true);
  if (!open) return null;
  // With the drawing and no later, as an effect would be: a key pressed at once would close the panel.
  const hear = (group: HTMLElement | null) => {
    const answer = group?.closest('article');
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key !== 'Escape' || event.isComposing || event.keyCode === 229) return;
      event.stopPropagation();
      // Leaving the field first sends what stands in it, as leaving it in any other way does.
      answer?.querySelector<HTMLElement>('.thumb[aria-pressed="true"]')?.focus();
      setOpen(false);
    };
    answer?.addEventListener('keydown', onKeyDown);
    return () => answer?.removeEventListener('keydown', onKeyDown);
  };
  const toggle = (reason: string) => {
    const reasons = said.reasons.includes(reason) ? said.reasons.filter((one) => one !== reason) : [...said.reasons, reason];
    rate({ ...said, reasons, sent: false });
  };
  return (
    <div class="reasons" ref={hear} role="group" aria-label={say.reasons} data-testid="reasons">
      {(['wrong', 'incomplete', 'outdated', 'unclear'] as const).map((reason) => (
        <button key={reason} type="button" class="chip" aria-pressed={said.reasons.includes(reason)} onClick={() => toggle(reason)}>
          {say[`reason_${reason}`]}
        </button>
      ))}
      <input
        aria-label={say.comment}
        placeholder={say.comment}
        maxLength={500}
        defaultValue={said.comment}
        onChange={(event) => rate({ ...said, comment: event.currentTarget.value, sent: false })}
      />
    </div>
  );
}
