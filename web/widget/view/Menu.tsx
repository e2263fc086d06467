// What is under “More”: the earlier conversations, and which model answers.

import type { VNode } from 'preact';
import type { Lang } from '../../shared/i18n';
import type { ModelInfo } from '../../shared/wire';
import { sheetWords } from '../words/sheets';

interface Props {
  lang: Lang;
  models: ModelInfo[];
  model: string;
  openHistory(): void;
  choose(model: string): void;
}

export function Menu({ lang, models, model, openHistory, choose }: Props): VNode {
  const say = sheetWords[lang];
  return (
    <div class="menu">
      <button type="button" class="plain" data-testid="open-history" onClick={openHistory}>{say.earlier}</button>
      {models.length > 1 && (
        <label>
          {say.model}
          <select data-testid="model-select" value={model} onChange={(event) => choose(event.currentTarget.value)}>
            <option value="">{say.modelAuto}</option>
            {models.map(({ id, name }) => <option key={id} value={id}>{name || id}</option>)}
          </select>
        </label>
      )}
    </div>
  );
}
