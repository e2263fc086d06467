// What was wrong with an answer: comes with the sheets, because few answers are rated down.

import type { VNode } from 'preact';
import type { Lang } from '../../shared/i18n';
import type { Feedback } from '../state';
import { sheetWords } from '../words/sheets';

interface Props {
  lang: Lang;
  said: Feedback;
  rate(feedback: Feedback): void;
}

/** Any of a few words, and one's own. */
export function Reasons({ lang, said, rate }: Props): VNode {
  const say = sheetWords[lang];
  const toggle = (reason: string) => {
    const reasons = said.reasons.includes(reason) ? said.reasons.filter((one) => one !== reason) : [...said.reasons, reason];
    rate({ ...said, reasons, sent: false });
  };
  return (
    <div class="reasons" role="group" aria-label={say.reasons} data-testid="reasons">
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
