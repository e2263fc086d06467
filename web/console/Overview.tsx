// How it is going: figures of some days, small charts with their numbers as a table, what is asked most.

import type { VNode } from 'preact';
import { useContext } from 'preact/hooks';
import { fill, type Lang } from '../shared/i18n';
import type { Figures, Overview as Days, OverviewPart } from '../shared/wire';
import { query } from './api';
import { across, Bars, Lying } from './Bars';
import { channelName } from './Conversations';
import { Desk, Part, useLoad } from './load';
import { address, change } from './route';
import { money, span } from './time';
import { Choice, Head } from './ui';
import type { Words } from './words';

export function Overview({ values }: { values: URLSearchParams }): VNode {
  const { say } = useContext(Desk);
  const days = values.get('days') ?? '30';
  const channel = values.get('channel') ?? '';
  const { loaded, reload } = useLoad<Days>(`/overview${query({ days, channel })}`);
  const everywhere = useLoad<Days>(`/overview${query({ days })}`);
  const channels = everywhere.loaded?.state === 'ready' ? everywhere.loaded.value.channels.map((part) => part.name) : [];
  return (
    <>
      <Head title={say.overview} lead={say.overviewLead}>
        <Choice label={say.period} value={days} options={['7', '30', '90'].map((n) => [n, fill(say.lastDays, { n })])} choose={(days) => change({ days })} testid="days" />
        <Choice label={say.channel} value={channel} options={[['', say.all], ...channels.map((name): [string, string] => [name, channelName(name, say.channels)])]} choose={(channel) => change({ channel })} testid="channel" />
      </Head>
      {loaded && <Part loaded={loaded} reload={reload}>{(days) => (days.total.questions || channel ? <Shown days={days} channel={channel} /> : <Nothing />)}</Part>}
    </>
  );
}

function Nothing(): VNode {
  const { say } = useContext(Desk);
  return (
    <div class="empty" data-testid="figures">
      <h2>{say.nothingAsked}</h2>
      <p>{say.nothingAskedLead}</p>
      <p class="buttons">
        <a class="primary" href={address('access')}>{say.toSite}</a>
        <a class="button" href="/" target="_blank" rel="noreferrer">{say.openDemo}</a>
      </p>
    </div>
  );
}

function share(part: number, of: number): string {
  return of ? `${Math.round((part / of) * 100)}%` : '–';
}

function costs(cost: Record<string, number>): string {
  return Object.entries(cost).map(([currency, amount]) => money(amount, currency)).join(' + ') || '0';
}

type Column = [name: string, value: (figures: Figures) => number | null, show: (value: number) => string];

/** What is drawn and listed by day. Costs of several currencies are not added up: the dearest is drawn. */
function columns(total: Figures, say: Words, lang: Lang): Column[] {
  const count = (value: number) => value.toLocaleString();
  const time = (value: number) => span(value, lang);
  const currency = Object.entries(total.cost).sort(([, a], [, b]) => b - a)[0]?.[0];
  const all: (Column | false)[] = [
    [say.questions, (f) => f.questions, count],
    [say.answered, (f) => f.answered, count],
    [say.refusedCount, (f) => f.refused, count],
    [say.failedCount, (f) => f.failed, count],
    [say.ratedDown, (f) => f.down, count],
    [say.firstToken, (f) => f.first_token_p50, time],
    [say.totalTime, (f) => f.total_p50, time],
    [say.fromCacheCount, (f) => f.cached, count],
    !!currency && [`${say.cost} (${currency})`, (f) => f.cost[currency] ?? 0, (value) => money(value, '').trim()],
  ];
  return all.filter((column): column is Column => !!column);
}

function Shown({ days, channel }: { days: Days; channel: string }): VNode {
  const { say, lang } = useContext(Desk);
  const { total } = days;
  const shown = columns(total, say, lang);
  // What never happened needs no picture of it.
  const drawn = shown.filter(([, value]) => days.days.some((day) => value(day)));
  const channels = days.channels.map((part) => ({ ...part, name: channelName(part.name, say.channels) }));
  const figures: [name: string, value: string, small?: string, where?: Record<string, string>][] = [
    [say.questions, total.questions.toLocaleString()],
    [say.answered, share(total.answered, total.questions), total.answered.toLocaleString()],
    [say.refusedCount, share(total.refused, total.questions), total.refused.toLocaleString(), { outcome: 'refused' }],
    [say.failedCount, share(total.failed, total.questions), total.failed.toLocaleString(), { outcome: 'unfinished' }],
    [say.ratedDown, total.down.toLocaleString(), fill(say.upToo, { n: total.up.toLocaleString() }), { rating: 'down' }],
    [say.firstToken, total.first_token_p50 === null ? '–' : span(total.first_token_p50, lang), slow(total.first_token_p95, say, lang)],
    [say.totalTime, total.total_p50 === null ? '–' : span(total.total_p50, lang), slow(total.total_p95, say, lang)],
    [say.cost, costs(total.cost)],
    [say.fromCacheCount, share(total.cached, total.questions), total.cached.toLocaleString()],
  ];
  return (
    <>
      <dl class="figures nine" data-testid="figures">
        {figures.map(([name, value, small, where]) => (
          <div key={name}>
            <dt>{where ? <a href={address('conversations', channel ? { ...where, channel } : where)}>{name}</a> : name}</dt>
            <dd>{value}{small && <small>{small}</small>}</dd>
          </div>
        ))}
      </dl>
      <div class="charts" style={{ '--across': across(drawn.length) }} data-testid="charts">
        {drawn.map(([name, value, show]) => (
          <Bars key={name} name={name} points={days.days.map((day) => ({ name: day.name, value: value(day) }))} show={show} />
        ))}
      </div>
      <details class="numbers" data-testid="by-day">
        <summary data-testid="as-table">{say.asTable}</summary>
        <Numbers first={say.day} parts={[...days.days].reverse()} columns={shown} />
      </details>
      {days.channels.length > 1 && (
        <section class="part">
          <h2>{say.byChannel}</h2>
          <div class="charts" style={{ '--across': across(drawn.length) }} data-testid="channel-charts">
            {drawn.map(([name, value, show]) => (
              <Lying key={name} name={name} points={channels.map((part) => ({ name: part.name, value: value(part) }))} show={show} />
            ))}
          </div>
          <details class="numbers">
            <summary>{say.asTable}</summary>
            <Numbers first={say.channel} parts={channels} columns={shown} />
          </details>
        </section>
      )}
      <Top days={days} />
    </>
  );
}

function slow(ms: number | null, say: Words, lang: Lang): string | undefined {
  return ms === null ? undefined : fill(say.slowest, { time: span(ms, lang) });
}

function Numbers({ first, parts, columns }: { first: string; parts: OverviewPart[]; columns: Column[] }): VNode {
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label={first}>
      <table class="rows numbers-table">
        <thead>
          <tr>
            <th scope="col">{first}</th>
            {columns.map(([name]) => <th key={name} scope="col" class="number">{name}</th>)}
          </tr>
        </thead>
        <tbody>
          {parts.map((part) => (
            <tr key={part.name}>
              <th scope="row">{part.name}</th>
              {columns.map(([name, value, show]) => {
                const figure = value(part);
                return <td key={name} class="number">{figure === null ? '–' : show(figure)}</td>;
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Top({ days }: { days: Days }): VNode | null {
  const { say } = useContext(Desk);
  if (!days.questions.length) return null;
  return (
    <section class="part">
      <h2>{say.topQuestions}</h2>
      <table class="rows" data-testid="top">
        <thead>
          <tr>
            <th scope="col">{say.fields.question}</th>
            <th scope="col" class="number">{say.times}</th>
            <th scope="col" class="number">{say.refusedCount}</th>
            <th scope="col" class="number">{say.ratedDown}</th>
          </tr>
        </thead>
        <tbody>
          {days.questions.map((asked) => (
            <tr key={asked.question}>
              <td class="main"><a href={address('conversations', { id: asked.conversation_id })}>{asked.question}</a></td>
              <td class="number">{asked.count.toLocaleString()}</td>
              <td class={asked.refused ? 'number amber' : 'number quiet'}>{asked.refused.toLocaleString()}</td>
              <td class={asked.down ? 'number red' : 'number quiet'}>{asked.down.toLocaleString()}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
