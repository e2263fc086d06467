// Files come in by drag and drop, a plan comes back, and only what was looked at is written.

import type { VNode } from 'preact';
import { useContext, useEffect, useRef, useState } from 'preact/hooks';
import type { ImportPlan } from '../shared/wire';
import { call } from './api';
import { Desk, Part, useAction, useLoad } from './load';
import { Applied } from './Applied';
import { PastImports } from './PastImports';
import { Plan } from './Plan';
import { address, afterAsking, change } from './route';
import { filesOf, isTyped } from './typed';
import { Choice, Field, Head } from './ui';
import { settled } from './unsaved';

interface Wish {
  encoding: string;
  source: string;
  replace: boolean;
}

/** The plan's name stands in the address, so that one can come back to it for a day. */
export function Import({ values }: { values: URLSearchParams }): VNode {
  const { say } = useContext(Desk);
  const [files, setFiles] = useState<File[]>([]);
  const [wish, setWish] = useState<Wish>({ encoding: '', source: '', replace: false });
  const [fresh, setFresh] = useState<ImportPlan>();
  const { busy, problem, run, clear } = useAction();
  const id = values.get('plan') ?? '';
  const stored = useLoad<ImportPlan>(id && fresh?.id !== id ? `/knowledge/imports/${encodeURIComponent(id)}` : undefined);
  const plan = !id ? undefined : fresh?.id === id ? fresh : stored.loaded?.state === 'ready' && stored.loaded.value.id === id ? stored.loaded.value : undefined;

  // What was seen of a plan is good only while it is open: it may be taken back from the list, or in another tab.
  useEffect(() => {
    if (fresh?.id !== id) setFresh(undefined);
  }, [id]);

  const upload = (files: File[]) => {
    if (!files.length) return;
    setFiles(files);
    void run(async () => {
      const form = new FormData();
      if (wish.encoding) form.append('encoding', wish.encoding);
      if (wish.source.trim()) form.append('source', wish.source.trim());
      if (wish.replace) form.append('replace_source', 'true');
      for (const file of files) form.append('file', file, file.name);
      const plan = await call<ImportPlan>('POST', '/knowledge/imports', form);
      settled();
      setFresh(plan);
      change({ plan: plan.id });
    });
  };
  // The plan waits on in the list, where it is discarded on purpose: somebody else may have made it.
  const leave = () =>
    afterAsking(() => {
      change({ plan: '' });
      clear();
    });
  const applied = (plan: ImportPlan) => {
    settled();
    setFresh(plan);
  };

  return (
    <>
      <Head title={say.importTitle} lead={plan?.state === 'planned' ? say.planLead : say.importLead} />
      {id && !plan ? (
        <>
          {stored.loaded && <Part loaded={stored.loaded} reload={stored.reload}>{() => null}</Part>}
          {stored.loaded?.state === 'failed' && <p class="buttons"><a class="button" href={address('import')}>{say.otherFiles}</a></p>}
        </>
      ) : plan?.state === 'applied' ? (
        <Applied key={plan.id} plan={plan} undone={setFresh} more={() => change({ plan: '' })} />
      ) : plan ? (
        <>
          <p class="crumb">
            <strong>{filesOf(plan, say)}</strong>
            <button type="button" class="plain" onClick={leave} data-testid="other-files">{say.otherFiles}</button>
          </p>
          <Plan key={plan.id} plan={plan} typed={isTyped(plan)} applied={applied} again={plan === fresh && files.length ? () => upload(files) : undefined} />
          {problem && <p class="wrong" role="alert">{problem}</p>}
        </>
      ) : (
        <>
          <Drop busy={busy} take={upload} />
          {problem && <p class="wrong" role="alert" data-testid="import-problem">{problem}</p>}
          <details class="options">
            <summary>{say.importOptions}</summary>
            <div class="form">
              <Choice
                label={say.encoding}
                value={wish.encoding}
                options={[['', say.encodingGuess], ['utf-8', 'UTF-8'], ['gb18030', 'GBK / GB18030'], ['utf-16le', 'UTF-16']]}
                choose={(encoding) => setWish({ ...wish, encoding })}
              />
              <Field label={say.fields.source} hint={say.sourceHint}>
                {(id, hint) => <input id={id} aria-describedby={hint} value={wish.source} onInput={(event) => setWish({ ...wish, source: event.currentTarget.value })} />}
              </Field>
              <label class="check wide">
                <input type="checkbox" checked={wish.replace} onChange={(event) => setWish({ ...wish, replace: event.currentTarget.checked })} />
                <span>{say.replaceSource}</span>
              </label>
            </div>
          </details>
          <PastImports />
          <Columns />
        </>
      )}
    </>
  );
}

/** The whole page takes files, so that nobody misses the box and loses the page to a file. */
function Drop({ busy, take }: { busy: boolean; take(files: File[]): void }): VNode {
  const { say } = useContext(Desk);
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  useEffect(() => {
    const stop = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes('Files')) return;
      event.preventDefault();
      setOver(event.type === 'dragover');
    };
    const drop = (event: DragEvent) => {
      stop(event);
      take([...(event.dataTransfer?.files ?? [])]);
    };
    addEventListener('dragover', stop);
    addEventListener('dragleave', stop);
    addEventListener('drop', drop);
    return () => {
      removeEventListener('dragover', stop);
      removeEventListener('dragleave', stop);
      removeEventListener('drop', drop);
    };
  });
  return (
    <div class={over ? 'drop over' : 'drop'} aria-busy={busy}>
      <p class="drop-title" role="status">{busy ? say.planning : say.drop}</p>
      <p class="quiet">{say.dropFormats}</p>
      <input
        ref={input}
        class="hidden"
        type="file"
        multiple
        tabIndex={-1}
        aria-label={say.chooseFiles}
        data-testid="files"
        onChange={(event) => {
          take([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = '';
        }}
      />
      <button type="button" class="primary" disabled={busy} onClick={() => input.current?.click()}>{say.chooseFiles}</button>
    </div>
  );
}

/** What a table's columns may be called. */
function Columns(): VNode {
  const { say } = useContext(Desk);
  return (
    <section class="note-card">
      <h2>{say.columnsTitle}</h2>
      <p>{say.columnsLead}</p>
      <p class="quiet">{say.columnsMore}</p>
    </section>
  );
}
