// What models are told: edited and linted as it is typed, tried on a real question, published and rolled back.

import type { VNode } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { PromptFinding, PromptHead, PromptText, PromptVersions } from '../shared/wire';
import { call } from './api';
import { Desk, Part, useAction, useLoad } from './load';
import { PromptTrial } from './PromptTrial';
import { PromptHistory } from './PromptHistory';
import { address } from './route';
import { Field, Head } from './ui';
import { useUnsaved } from './unsaved';
import type { Words } from './words';

/** How long after the last key a text is looked at. */
const LINT_MS = 400;

export function Prompts({ values }: { values: URLSearchParams }): VNode {
  const { say } = useContext(Desk);
  const { loaded, reload } = useLoad<{ prompts: PromptHead[] }>('/prompts');
  const open = values.get('name');
  return (
    <>
      <Head title={say.prompts} lead={say.promptsLead} />
      {loaded && (
        <Part loaded={loaded} reload={reload}>
          {({ prompts }) => {
            const name = prompts.some((prompt) => prompt.name === open) ? open! : prompts[0]?.name;
            return (
              <>
                <nav class="chips" aria-label={say.prompts} data-testid="prompts">
                  {prompts.map((prompt) => (
                    <a key={prompt.name} href={address('prompts', { name: prompt.name })} aria-current={prompt.name === name ? 'true' : undefined}>
                      <code>{prompt.name}</code> <span class="quiet small">{prompt.published ? fill(say.ownVersion, { n: prompt.published }) : say.builtIn}</span>
                    </a>
                  ))}
                </nav>
                {name && <Editor key={name} name={name} changed={reload} />}
              </>
            );
          }}
        </Part>
      )}
    </>
  );
}

function Editor({ name, changed }: { name: string; changed(): void }): VNode {
  const prompt = useLoad<PromptText>(`/prompts/${encodeURIComponent(name)}`);
  const versions = useLoad<PromptVersions>(`/prompts/${encodeURIComponent(name)}/versions`);
  const again = () => (prompt.reload(), versions.reload(), changed());
  return (
    <>
      {prompt.loaded && (
        <Part loaded={prompt.loaded} reload={prompt.reload}>
          {(prompt) => (
            <>
              <Text key={prompt.digest} prompt={prompt} saved={again} />
              {versions.loaded && (
                <Part loaded={versions.loaded} reload={versions.reload}>
                  {(versions) => <PromptHistory name={name} now={prompt.text} versions={versions} changed={again} />}
                </Part>
              )}
            </>
          )}
        </Part>
      )}
    </>
  );
}

/** What is wrong, in the page's language where its code is known. */
export function findingOf({ code, details, message }: PromptFinding, say: Words): string {
  const words = say.lintProblems[code];
  return words ? fill(words, details as Record<string, string>) : message;
}

/** The variables that a text names, to tell those that it leaves unused. */
export function used(text: string, variable: string): boolean {
  const body = text.split(/^\+\+\+\s*$/m).slice(2).join('\n');
  return new RegExp(`\\b${variable}\\b`).test(body);
}

function Text({ prompt, saved }: { prompt: PromptText; saved(): void }): VNode {
  const { say, tell } = useContext(Desk);
  const [text, setText] = useState(prompt.text);
  const [note, setNote] = useState('');
  const [findings, setFindings] = useState<PromptFinding[]>([]);
  const linting = useAction();
  const saving = useAction();
  const path = `/prompts/${encodeURIComponent(prompt.name)}`;
  useUnsaved(text !== prompt.text);
  useEffect(() => {
    const still = { latest: true };
    const timer = setTimeout(() => {
      void linting.run(async () => {
        const found = await call<{ findings: PromptFinding[] }>('POST', `${path}/lint`, { text });
        if (still.latest) setFindings(found.findings);
      });
    }, LINT_MS);
    return () => {
      still.latest = false;
      clearTimeout(timer);
    };
  }, [text]);
  const wrong = !!linting.problem || findings.some((finding) => finding.level === 'error');
  const save = (publish: boolean) =>
    saving.run(async () => {
      const done = await call<{ version: number }>('POST', `${path}/versions`, { text, note, publish });
      const before = prompt.published ?? 0;
      const undo = () => call('POST', `${path}/publish`, { version: before, note: '' });
      tell(publish ? { text: fill(say.published, { n: done.version }), undo } : { text: fill(say.draftSaved, { n: done.version }) });
      saved();
    });
  return (
    <div class="two wide-two">
      <section>
        <p class="quiet">{prompt.description}</p>
        <Field label={say.promptText} hint={say.versionHint} wide>
          {(id, hint) => (
            <textarea
              id={id}
              class="code"
              rows={22}
              spellcheck={false}
              value={text}
              aria-invalid={wrong}
              aria-describedby={`findings ${hint}`}
              onInput={(event) => setText(event.currentTarget.value)}
              data-testid="prompt-text"
            />
          )}
        </Field>
        <div id="findings" role="status" data-testid="findings"><ul class="findings">
          {findings.map((finding) => (
            <li key={`${finding.line} ${finding.message}`} class={finding.level}>{fill(say.atLine, { line: finding.line })} {findingOf(finding, say)}</li>
          ))}
          {linting.problem && <li class="error">{linting.problem}</li>}
          {!findings.length && !linting.problem && <li class="quiet">{say.noFindings}</li>}
        </ul></div>
        <details class="variables">
          <summary>{say.variables}</summary>
          <ul>
            {prompt.variables.map((variable) => (
              <li key={variable.name}>
                <code>{`{{ ${variable.name} }}`}</code> <span class="quiet">{variable.kind}{variable.optional && ` · ${say.optional}`}{!used(text, variable.name) && ` · ${say.unused}`}</span>
              </li>
            ))}
          </ul>
        </details>
        <Field label={say.whyChanged} wide>{(id) => <input id={id} value={note} onInput={(event) => setNote(event.currentTarget.value)} />}</Field>
        {saving.problem && <p class="wrong" role="alert">{saving.problem}</p>}
        <p class="buttons">
          <button type="button" class="primary" disabled={saving.busy || wrong || text === prompt.text} onClick={() => void save(true)} data-testid="publish">{say.saveAndPublish}</button>
          <button type="button" disabled={saving.busy || wrong || text === prompt.text} onClick={() => void save(false)} data-testid="save-draft">{say.saveDraft}</button>
          <button type="button" class="plain" disabled={text === prompt.text} onClick={() => setText(prompt.text)}>{say.discard}</button>
        </p>
      </section>
      <PromptTrial path={path} text={text} wrong={wrong} />
    </div>
  );
}
