// The shop's own words: those that are kept whole when texts are cut, and those that mean the same.

import type { VNode } from 'preact';
import { useContext, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { ShopWords } from '../shared/wire';
import { call } from './api';
import { read, write } from './lines';
import { Desk, Part, useAction, useLoad } from './load';
import { address } from './route';
import { when } from './time';
import { Field, Head } from './ui';
import { settled, useUnsaved } from './unsaved';

export function Dictionary(): VNode {
  const { say } = useContext(Desk);
  const { loaded, reload } = useLoad<ShopWords>('/knowledge/words');
  return (
    <>
      <Head title={say.dictionary} lead={say.dictionaryLead}>
        <a class="button" href={address('knowledge')}>{say.toKnowledge}</a>
      </Head>
      {loaded && <Part loaded={loaded} reload={reload}>{(words) => <Form key={words.revision} words={words} saved={reload} />}</Part>}
    </>
  );
}

function Form({ words, saved }: { words: ShopWords; saved(): void }): VNode {
  const { say, lang, tell } = useContext(Desk);
  const before = write(words);
  const [text, setText] = useState(before);
  const { busy, problem, run } = useAction();
  const same = text === before;
  useUnsaved(!same);
  const now = read(text);
  // In the place of those that were seen only: what somebody else wrote in the meantime stays.
  const put = ({ words, synonyms }: Pick<ShopWords, 'words' | 'synonyms'>, revision: number) => call<{ revision: number }>('PUT', '/knowledge/words', { words, synonyms, revision });
  const save = () =>
    run(async () => {
      const { revision } = await put(now, words.revision);
      settled();
      tell({ text: say.wordsSaved, undo: () => put(words, revision) });
      saved();
    });
  const counts = [fill(say.wordCount, { n: now.words.length.toLocaleString() }), fill(say.groupCount, { n: now.synonyms.length.toLocaleString() })];
  return (
    <form class="form words" onSubmit={(event) => (event.preventDefault(), void (!busy && !same && save()))}>
      {!before && <p class="quiet wide">{say.noWords}</p>}
      <Field label={say.wordLines} hint={say.wordLinesHint} wide>
        {(id, hint) => <textarea id={id} aria-describedby={hint} rows={16} spellcheck={false} value={text} onInput={(event) => setText(event.currentTarget.value)} data-testid="word-lines" />}
      </Field>
      <p class="quiet small wide" role="status" data-testid="word-counts">
        {[...counts, words.revision > 0 && words.updated_ms ? fill(say.wordsBy, { time: when(words.updated_ms, lang) }) : ''].filter(Boolean).join(' · ')}
      </p>
      {problem && <p class="wrong wide" role="alert" data-testid="word-problem">{problem}</p>}
      <div class="form-end wide">
        <button type="submit" class="primary" disabled={busy || same} data-testid="save-words">{say.save}</button>
        <button type="button" class="plain" disabled={same} onClick={() => setText(before)}>{say.discard}</button>
      </div>
    </form>
  );
}
