// What was asked and answered: found, read with how each answer came about, corrected from where it went wrong.

import type { VNode } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { Conversation } from '../shared/wire';
import { call, query } from './api';
import { Desk, Part, useAction, useLoad } from './load';
import { address, change } from './route';
import { when } from './time';
import { Asking, Choice, Filters, Head, Pager, SearchBox, Side, useInSight } from './ui';
import { TurnView, type ReadTurn } from './TurnView';

const LIMIT = 50;
const NARROWS = ['q', 'rating', 'channel', 'decision', 'outcome'] as const;
/** How an answer went when it did not go well; the other kinds are decisions. */
const WENT = ['refused', 'unfinished', 'failed', 'incomplete', 'cancelled'] as const;

interface Page {
  conversations: Conversation[];
  next: string | null;
}

export function channelName(channel: string, names: Record<string, string>): string {
  return names[channel] ?? channel;
}

export function Conversations({ values }: { values: URLSearchParams }): VNode {
  const { say } = useContext(Desk);
  const wanted = Object.fromEntries(NARROWS.map((name) => [name, values.get(name) ?? '']));
  const [places, setPlaces] = useState<string[]>([]);
  const narrowed = JSON.stringify(wanted);
  useEffect(() => setPlaces([]), [narrowed]);
  const page = useLoad<Page>(`/conversations${query({ ...wanted, before: places.at(-1), limit: LIMIT })}`);
  const open = values.get('id');
  const any = NARROWS.some((name) => wanted[name]);
  // Those that have a name; another one is added when the address has it.
  const named = Object.keys(say.channels);
  const channels = !wanted.channel || named.includes(wanted.channel) ? named : [...named, wanted.channel];
  const choice = (name: string, label: string, options: [string, string][]) => (
    <Choice label={label} value={wanted[name] ?? ''} options={[['', say.all], ...options]} choose={(value) => change({ [name]: value })} testid={`filter-${name}`} />
  );

  return (
    <>
      <Head title={say.conversations} lead={say.conversationsLead}>
        <a class="button" href={address('safety')} data-testid="to-safety">{say.safety}</a>
        <a class="button" href={`/api/v1/conversations/export${query(wanted)}`} download>{say.export}</a>
      </Head>
      <div class={open ? 'with-side half' : ''}>
        <section class="list" aria-label={say.conversations}>
          <Filters active={any}>
            <SearchBox label={say.findWords} value={wanted.q ?? ''} search={(q) => change({ q }, true)} testid="find" />
            {choice('rating', say.rating, [['down', say.ratedDown], ['up', say.ratedUp]])}
            {choice('channel', say.channel, channels.map((channel) => [channel, channelName(channel, say.channels)]))}
            <Choice
              label={say.answerKind}
              value={wanted.outcome || wanted.decision || ''}
              options={[['', say.all], ...WENT.map((kind): [string, string] => [kind, say.went[kind]]), ['grounded', say.grounded], ['direct', say.direct], ...(wanted.decision === 'none' ? [['none', say.notFound] as [string, string]] : [])]}
              choose={(kind) => change(WENT.includes(kind as 'failed') ? { outcome: kind, decision: '' } : { outcome: '', decision: kind })}
              testid="filter-kind"
            />
            {any && <button type="button" class="plain" onClick={() => change(Object.fromEntries(NARROWS.map((name) => [name, ''])))}>{say.clear}</button>}
          </Filters>
          {page.loaded && (
            <Part loaded={page.loaded} reload={page.reload}>
              {(shown) => <List shown={shown} open={open} any={any} places={places} busy={page.busy} turn={setPlaces} />}
            </Part>
          )}
        </section>
        {open && (
          <Side key={open} title={say.conversation} close={() => change({ id: '' })}>
            <Reading id={open} gone={() => (page.reload(), change({ id: '' }))} />
          </Side>
        )}
      </div>
    </>
  );
}

interface ListProps {
  shown: Page;
  open: string | null;
  any: boolean;
  busy: boolean;
  places: string[];
  turn(places: string[]): void;
}

function List({ shown, open, any, busy, places, turn }: ListProps): VNode {
  const { say, lang } = useContext(Desk);
  useInSight(open);
  if (!shown.conversations.length && !any) {
    return (
      <div class="empty">
        <h2>{say.noConversations}</h2>
        <p>{say.noConversationsLead}</p>
        <a class="button" href="/" target="_blank" rel="noreferrer">{say.openDemo}</a>
      </div>
    );
  }
  if (!shown.conversations.length) return <p class="empty-row" data-testid="no-rows">{say.noneMatch}</p>;
  return (
    <>
      <table class="rows" aria-busy={busy} data-testid="rows">
        <thead>
          <tr>
            <th scope="col">{say.firstQuestion}</th>
            <th scope="col" class="wide-only">{say.channel}</th>
            <th scope="col" class="wide-only number">{say.turns}</th>
            <th scope="col" class="wide-only number">{say.lastTime}</th>
          </tr>
        </thead>
        <tbody>
          {shown.conversations.map((one) => (
            <tr key={one.id} class={open === one.id ? 'open' : ''} onClick={() => change({ id: one.id })}>
              <td class="main">
                <a href={address('conversations', { id: one.id })} aria-current={open === one.id ? 'true' : undefined} onClick={(event) => (event.preventDefault(), event.stopPropagation(), change({ id: one.id }))}>{one.title}</a>
                <p class="narrow-only quiet small">{channelName(one.channel, say.channels)} · {one.turns === 1 ? say.turnOne : fill(say.turnCount, { n: one.turns })} · {when(one.updated_ms, lang)}</p>
              </td>
              <td class="wide-only">{channelName(one.channel, say.channels)}</td>
              <td class="wide-only number">{one.turns}</td>
              <td class="wide-only number quiet">{when(one.updated_ms, lang)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <Pager first={!places.length} next={!!shown.next} busy={busy} turn={(by) => turn(by > 0 ? [...places, shown.next!] : places.slice(0, -1))} />
    </>
  );
}

function Reading({ id, gone }: { id: string; gone(): void }): VNode {
  const { say, lang, tell } = useContext(Desk);
  const { loaded, reload } = useLoad<{ conversation: Conversation; turns: ReadTurn[] }>(`/conversations/${encodeURIComponent(id)}`);
  const { busy, problem, run } = useAction();
  const remove = () =>
    run(async () => {
      await call('DELETE', `/conversations/${encodeURIComponent(id)}`);
      tell({ text: say.conversationDeleted });
      gone();
    });
  if (!loaded) return <></>;
  return (
    <Part loaded={loaded} reload={reload}>
      {({ conversation, turns }) => (
        <>
          <p class="quiet small">{channelName(conversation.channel, say.channels)} · {when(conversation.created_ms, lang)} · <code>{conversation.id}</code></p>
          <ol class="turns" data-testid="turns">
            {turns.map((turn) => <TurnView key={turn.id} turn={turn} />)}
          </ol>
          {problem && <p class="wrong" role="alert">{problem}</p>}
          <Asking ask={say.deleteForGood} name={say.deleteConversation} sure={say.delete} disabled={busy} run={() => void remove()} />
        </>
      )}
    </Part>
  );
}
