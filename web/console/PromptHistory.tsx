// Versions of a prompt: what each changed, which is in force, and the way back to any of them.

import type { VNode } from 'preact';
import { useContext, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { PromptVersions } from '../shared/wire';
import { call } from './api';
import { diff } from './diff';
import { Desk, Part, useAction, useLoad } from './load';
import { when } from './time';

interface Props {
  name: string;
  /** The text in force. */
  now: string;
  versions: PromptVersions;
  changed(): void;
}

export function PromptHistory({ name, now, versions, changed }: Props): VNode {
  const { say, lang, tell } = useContext(Desk);
  const { busy, problem, run } = useAction();
  const path = `/prompts/${encodeURIComponent(name)}`;
  const put = (version: number) =>
    run(async () => {
      const before = versions.in_force;
      const publish = (version: number) => call('POST', `${path}/publish`, { version, note: '' });
      await publish(version);
      tell({ text: fill(say.rolledBack, { name: label(version, say.builtIn) }), undo: () => publish(before) });
      changed();
    });
  const all = [...versions.versions, { version: 0, author: '', note: '', created_ms: 0 }];
  return (
    <section class="part" data-testid="prompt-versions">
      <h2>{say.versions}</h2>
      {problem && <p class="wrong" role="alert">{problem}</p>}
      <ol class="versions">
        {all.map((version) => (
          <li key={version.version} class="planned-row">
            <header>
              <span>
                <strong>{label(version.version, say.builtIn)}</strong>
                {version.version === versions.in_force && <span class="tag">{say.inForce}</span>}
                {version.note && ` ${version.note}`}
              </span>
              <span class="quiet small">{version.created_ms > 0 && when(version.created_ms, lang)}</span>
            </header>
            {version.version !== versions.in_force && (
              <>
                <Difference path={path} version={version.version} now={now} />
                <button type="button" disabled={busy} onClick={() => void put(version.version)} data-testid={`publish-${version.version}`}>{say.putInForce}</button>
              </>
            )}
          </li>
        ))}
      </ol>
    </section>
  );
}

/** What a version is called. */
export function label(version: number, builtIn: string): string {
  return version === 0 ? builtIn : `v${version}`;
}

/** Only lines that differ, from what is in force to this version. */
function Difference({ path, version, now }: { path: string; version: number; now: string }): VNode {
  const { say } = useContext(Desk);
  const [open, setOpen] = useState(false);
  const { loaded, reload } = useLoad<{ text: string }>(open ? `${path}/versions/${version}` : undefined);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{say.compareInForce}</summary>
      {open && loaded && <Part loaded={loaded} reload={reload}>{({ text }) => <Lines before={now} after={text} />}</Part>}
    </details>
  );
}

/** Lines of one side that the other does not have, in the order they stand. */
export function changedLines(before: string, after: string): { gone: string[]; come: string[] } {
  const count = (text: string) => text.split('\n').reduce((lines, line) => lines.set(line, (lines.get(line) ?? 0) + 1), new Map<string, number>());
  const only = (text: string, other: Map<string, number>) => text.split('\n').filter((line) => {
    const left = other.get(line) ?? 0;
    other.set(line, left - 1);
    return left <= 0;
  });
  return { gone: only(before, count(after)), come: only(after, count(before)) };
}

function Lines({ before, after }: { before: string; after: string }): VNode {
  const { say } = useContext(Desk);
  const { gone, come } = changedLines(before, after);
  if (!gone.length && !come.length) return <p class="quiet">{say.noDifference}</p>;
  const both = diff(gone.join('\n'), come.join('\n'));
  return (
    <div class="two">
      <pre class="side-text"><strong class="quiet">{say.inForce}</strong>{'\n'}{both.before.map((piece, i) => (piece.same ? piece.text : <del key={i}>{piece.text}</del>))}</pre>
      <pre class="side-text"><strong class="quiet">{say.thisVersion}</strong>{'\n'}{both.after.map((piece, i) => (piece.same ? piece.text : <ins key={i}>{piece.text}</ins>))}</pre>
    </div>
  );
}
