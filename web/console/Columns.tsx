// A question under several settings side by side: what each finds, what a model would be asked and for how much,
// and what it answers. Nothing is put in force.

import type { VNode } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { ModelState, PromptPreview, PromptVersions, SearchAnswer, SearchSettings } from '../shared/wire';
import { query as address } from './api';
import { Dials, rounded, Set } from './Dials';
import { Verdict, round, usedFirst } from './Hits';
import { Desk, Later, Part, useLoad } from './load';
import { ModelAnswer } from './ModelAnswer';
import { label } from './PromptHistory';
import { otherwise } from './PromptTrial';
import { money } from './time';
import { Prompt, promptName } from './TurnView';
import { Choice } from './ui';
import { useWait } from './wait';

/** Hits in a column. */
const TOP = 10;
/** Settings beside those in force. */
const MOST = 3;

/** What is tried; an empty model is the default one, no version the one in force. */
interface Setting {
  search: SearchSettings;
  model: string;
  version: number | undefined;
}

interface Props {
  answer: SearchAnswer;
  market: string;
  models: ModelState[];
}

export function Columns({ answer, market, models }: Props): VNode | null {
  const { say } = useContext(Desk);
  const [others, setOthers] = useState<Setting[]>([]);
  const [template, setTemplate] = useState<string>();
  // Grows with each press of the button that asks in every column.
  const [all, setAll] = useState(0);
  const [until, setUntil] = useState(0);
  const wait = useWait(until);
  const versions = useLoad<PromptVersions>(template && `/prompts/${encodeURIComponent(template)}/versions`);
  if (!answer.settings) return null;
  const inForce: Setting = { search: rounded(answer.settings), model: '', version: undefined };
  const put = (place: number, changed: Setting) => setOthers(others.map((one, i) => (i === place ? changed : one)));
  const shared = { answer, market, models, all, refused: setUntil, template, versions: versions.loaded?.state === 'ready' ? versions.loaded.value : undefined };
  return (
    <section class="part">
      <h2>{say.compareTitle}</h2>
      <p class="quiet">{say.compareLead}</p>
      <div class="columns" data-testid="columns">
        <Column {...shared} name={say.inForce} setting={inForce} named={setTemplate} />
        {others.map((one, i) => (
          <Column key={i} {...shared} name={`${say.variant} ${i + 1}`} setting={one} put={(changed) => put(i, changed)} drop={() => setOthers(others.filter((_, j) => j !== i))} />
        ))}
      </div>
      <div class="buttons">
        {others.length < MOST && (
          <button type="button" onClick={() => setOthers([...others, others.at(-1) ?? inForce])} data-testid="compare">{say.compareAdd}</button>
        )}
        {others.length > 0 && <Later name={say.answerAll} wait={wait} press={() => setAll(all + 1)} testid="answer-all" />}
      </div>
    </section>
  );
}

interface ColumnProps extends Props {
  name: string;
  setting: Setting;
  all: number;
  /** Told until when a model, or the server, is to be left alone. */
  refused(until: number): void;
  template: string | undefined;
  versions: PromptVersions | undefined;
  /** None for what is in force: that is only read here. */
  put?: (setting: Setting) => void;
  drop?: () => void;
  /** Told which template the question is asked with. */
  named?: (template: string) => void;
}

function Column({ name, answer, market, models, setting, all, refused, template, versions, put, drop, named }: ColumnProps): VNode {
  const { say } = useContext(Desk);
  const search = rounded(setting.search);
  const found = useLoad<SearchAnswer>(put && `/knowledge/search${address({ q: answer.query, market, top: TOP, ...search })}`);
  const trial = {
    text: answer.query,
    ...(market && { market }),
    ...(setting.model && { model: setting.model }),
    ...(put && { settings: search }),
    ...(template && setting.version !== undefined && { template: { name: template, version: setting.version } }),
  };
  const preview = useLoad<PromptPreview>('/trials/preview', trial);
  const now = JSON.stringify(trial);
  const [asked, setAsked] = useState({ times: 0, trial: '' });
  // Under other settings another model may be free.
  const [until, setUntil] = useState({ at: 0, trial: '' });
  const wait = useWait(until.trial === now ? until.at : 0);
  const ask = () => setAsked({ times: asked.times + 1, trial: now });
  useEffect(() => {
    if (all) ask();
  }, [all]);
  const shown = preview.loaded?.state === 'ready' ? preview.loaded.value : undefined;
  useEffect(() => {
    if (shown) named?.(shown.template);
  }, [shown]);
  const model = models.find((one) => one.id === (setting.model || shown?.model)) ?? models.find((one) => one.default);
  return (
    <div class="column card" data-testid={put ? 'variant' : 'in-force'}>
      <h3>
        {name}
        {drop && <button type="button" class="plain" onClick={drop}>{say.remove}</button>}
      </h3>
      {put ? (
        <>
          <Choice label={say.model} value={setting.model} options={[['', say.modelDefault], ...models.map((one): [string, string] => [one.id, one.name])]} choose={(model) => put({ ...setting, model })} testid="set-model" />
          <Choice
            label={say.template}
            value={setting.version === undefined ? '' : String(setting.version)}
            options={[['', say.inForce], ...versionsOf(versions).map((version): [string, string] => [String(version), label(version, say.builtIn)])]}
            choose={(version) => put({ ...setting, version: version === '' ? undefined : Number(version) })}
            testid="set-template"
          />
          <Dials name={name} settings={setting.search} put={(search) => put({ ...setting, search })} />
        </>
      ) : (
        <Set settings={search} />
      )}
      {put ? found.loaded && <Part loaded={found.loaded} reload={found.reload}>{(found) => <Ranking answer={found} against={answer} />}</Part> : <Ranking answer={answer} />}
      {preview.loaded && <Part loaded={preview.loaded} reload={preview.reload}>{(preview) => <Asked preview={preview} model={model} />}</Part>}
      <div class="buttons">
        <Later name={asked.trial === now ? say.answerAgain : say.answerNow} wait={wait} press={ask} kind={put ? '' : 'primary'} testid="answer" />
      </div>
      {asked.trial === now && <ModelAnswer key={`${asked.times} ${now}`} trial={trial} model={model} refused={(at) => (setUntil({ at, trial: now }), refused(at))} />}
    </div>
  );
}

/** Every version there is, the file's last. */
function versionsOf(versions: PromptVersions | undefined): number[] {
  return versions ? [...versions.versions.map(({ version }) => version), 0] : [];
}

/** The very prompt, what it takes and what it costs. */
function Asked({ preview, model }: { preview: PromptPreview; model: ModelState | undefined }): VNode {
  const { say } = useContext(Desk);
  const { price } = preview;
  const facts = [
    model?.name ?? preview.model,
    fill(say.tokens, { n: preview.tokens.total.toLocaleString() }),
    price.priced ? money(price.prompt, price.currency) : preview.model === 'builtin' ? say.free : say.noPrice,
  ];
  return (
    <details>
      <summary data-testid="prompt">
        {promptName(preview, say)} <span class="quiet small">{facts.join(' · ')}</span>
      </summary>
      {otherwise(preview, say) && <p class="quiet small">{otherwise(preview, say)}</p>}
      <Prompt messages={preview.messages} />
    </details>
  );
}

/** The hits in short, those that are used first, and how their places differ from another ranking. */
function Ranking({ answer, against }: { answer: SearchAnswer; against?: SearchAnswer }): VNode {
  const { say } = useContext(Desk);
  return (
    <>
      <Verdict answer={answer} />
      <ol class="ranking">
        {usedFirst(answer.hits).map(([hit, place]) => {
          const before = against ? against.hits.findIndex((other) => other.id === hit.id) + 1 : place;
          const moved = !before ? say.fresh : before === place ? '' : before > place ? `↑${before - place}` : `↓${place - before}`;
          return (
            <li key={hit.id} value={place} class={hit.passed ? '' : 'out'}>
              <span class="figure">{round(hit.score, 2)}</span> {hit.question || hit.answer.slice(0, 40)} {moved && <span class="moved">{moved}</span>}
            </li>
          );
        })}
      </ol>
    </>
  );
}
