// Where merchants already are: the bots on chat platforms, and who is told what happens in the shop.

import type { VNode } from 'preact';
import { useContext, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { BotState, EndpointState } from '../shared/wire';
import { call } from './api';
import { Deliveries } from './Deliveries';
import { Desk, Part, said, useAction, useLoad } from './load';
import { when } from './time';
import { Asking, Copy, Fault, Head } from './ui';

export function Channels({ values }: { values: URLSearchParams }): VNode {
  const { say } = useContext(Desk);
  const bots = useLoad<{ bots: BotState[]; base: string }>('/bots');
  const endpoints = useLoad<{ endpoints: EndpointState[] }>('/webhooks');
  const [round, setRound] = useState(0);
  const refresh = () => (bots.reload(), endpoints.reload(), setRound(round + 1));
  return (
    <>
      <Head title={say.channelsPage} lead={say.channelsLead}>
        <button type="button" onClick={refresh} data-testid="refresh">{say.refresh}</button>
      </Head>
      <section class="part first">
        <h2>{say.bots}</h2>
        {bots.loaded && <Part loaded={bots.loaded} reload={bots.reload}>{({ bots: all, base }) => (all.length ? <Bots bots={all} base={base} tested={bots.reload} /> : <NoBots />)}</Part>}
      </section>
      <section class="part">
        <h2>{say.told}</h2>
        <p class="quiet">{say.toldLead}</p>
        {endpoints.loaded && (
          <Part loaded={endpoints.loaded} reload={endpoints.reload}>
            {({ endpoints: all }) => (all.length ? <Endpoints endpoints={all} /> : <p class="empty-row" data-testid="no-endpoints">{say.noEndpoints}</p>)}
          </Part>
        )}
      </section>
      {endpoints.loaded?.state === 'ready' && <Deliveries values={values} endpoints={endpoints.loaded.value.endpoints} round={round} changed={endpoints.reload} />}
    </>
  );
}

function NoBots(): VNode {
  const { say } = useContext(Desk);
  return (
    <div class="empty" data-testid="no-bots">
      <h2>{say.noBots}</h2>
      <p>{say.noBotsLead}</p>
      <p class="copy-line"><code>[channels.dingtalk.support]</code></p>
      <p>{say.noBotsTry}</p>
      <p class="copy-line"><code>merchant-copilot simulate dingtalk --text "保证金怎么退？"</code></p>
    </div>
  );
}

/** The class that colours a state. */
const LOOKS: Record<BotState['state'], string> = { connected: '', ready: '', connecting: 'probing', waiting: 'unknown', failing: 'open' };

function Bots({ bots, base, tested }: { bots: BotState[]; base: string; tested(): void }): VNode {
  const { say } = useContext(Desk);
  return (
    <>
      {isLoopback(base) && bots.some((bot) => bot.state === 'waiting') && <p class="note" data-testid="unreachable">{fill(say.unreachable, { base })}</p>}
      <table class="rows stacked bots" data-testid="bots">
        <thead>
          <tr>
            <th scope="col">{say.bot}</th>
            <th scope="col">{say.health}</th>
            <th scope="col">{say.lastMessage}</th>
            <th scope="col">{say.calls}</th>
            <th scope="col"><span class="hidden">{say.test}</span></th>
          </tr>
        </thead>
        <tbody>{bots.map((bot) => <Bot key={`${bot.platform}/${bot.name}`} bot={bot} base={base} tested={tested} />)}</tbody>
      </table>
    </>
  );
}

/** Whether only this very computer can call an address. */
export function isLoopback(address: string): boolean {
  return /^https?:\/\/(localhost|127\.[\d.]+|0\.0\.0\.0|\[::1?\])(:|\/|$)/i.test(address);
}

function Bot({ bot, base, tested }: { bot: BotState; base: string; tested(): void }): VNode {
  const { say, lang } = useContext(Desk);
  const callback = `${base}/webhooks/${bot.platform}/${encodeURIComponent(bot.name)}`;
  const { last_error: error, refused } = bot;
  return (
    <tr data-bot={`${bot.platform}/${bot.name}`}>
      <th scope="row" class="main">
        {bot.name}
        <p class="quiet small">{say.channels[bot.platform] ?? bot.platform} · {say.modes[bot.mode]}</p>
      </th>
      <td data-name={say.health} class="wrap">
        <div>
          <span class={`state ${LOOKS[bot.state]}`}>{say.botStates[bot.state]}</span>
          {bot.mode === 'webhook' && bot.seen_ms !== null && <p class="quiet small">{fill(say.seenAt, { time: when(bot.seen_ms, lang) })}</p>}
          {error && <Fault error={error} />}
          {refused && <p class="quiet small breakable">{fill(say.refusedAt, { time: when(refused.at_ms, lang), why: said(refused, say) })}</p>}
          {bot.state === 'waiting' && !isLoopback(base) && (
            <div class="small">
              <p class="quiet">{say.waitingLead}</p>
              <p class="copy-line"><code>{callback}</code><Copy text={callback} name={say.copy} /></p>
            </div>
          )}
        </div>
      </td>
      <td data-name={say.lastMessage}>
        <div>
          {bot.last_message_ms === null ? <span class="quiet">{say.noMessages}</span> : when(bot.last_message_ms, lang)}
          {bot.messages_7d > 0 && <p class="quiet small">{fill(say.messages7d, { n: bot.messages_7d.toLocaleString() })}</p>}
        </div>
      </td>
      <td data-name={say.calls}><Calls calls={bot.calls} /></td>
      <td><Test bot={bot} tested={tested} /></td>
    </tr>
  );
}

/** What a bot's calls come to; what is not counted is not shown. */
function Calls({ calls }: { calls: BotState['calls'] }): VNode {
  const { say } = useContext(Desk);
  const { month_used: used, month_limit: limit, per_second, open_cards, waiting } = calls;
  const left = used !== null && limit !== null ? Math.max(0, limit - used) : undefined;
  return (
    <div>
      {left !== undefined && <p class={left < limit! / 10 ? 'amber' : ''}>{fill(say.quotaLeft, { n: left.toLocaleString(), of: limit!.toLocaleString() })}</p>}
      {left === undefined && used !== null && <p>{fill(say.monthUsed, { n: used.toLocaleString() })}</p>}
      <p>{fill(say.sinceStart, { n: calls.since_start.toLocaleString() })}</p>
      {per_second !== null && <p class="quiet small">{fill(say.perSecond, { n: per_second })}</p>}
      {!!open_cards && <p class="quiet small">{fill(say.openCards, { n: open_cards })}</p>}
      {!!waiting && <p class="amber small">{fill(say.callsWaiting, { n: waiting })}</p>}
    </div>
  );
}

/** Asks before it writes to people; says why when there is nobody to write to. */
function Test({ bot, tested }: { bot: BotState; tested(): void }): VNode {
  const { say, tell } = useContext(Desk);
  const { busy, problem, run } = useAction();
  const whom = bot.tests_to.map((whom) => say.dutyNames[whom]).join(say.comma);
  if (!whom) return <p class="quiet small" data-testid="no-test">{say.noTest}</p>;
  const send = async () => {
    await run(async () => {
      await call('POST', `/bots/${bot.platform}/${encodeURIComponent(bot.name)}/test`);
      tell({ text: fill(say.testSent, { whom }) });
    });
    tested();
  };
  return (
    <div>
      <Asking ask={fill(say.testSure, { whom })} name={say.test} sure={say.testNow} disabled={busy} calm run={() => void send()} />
      {problem && <p class="wrong small breakable" role="alert" data-testid="test-problem">{problem}</p>}
    </div>
  );
}

function Endpoints({ endpoints }: { endpoints: EndpointState[] }): VNode {
  const { say, lang } = useContext(Desk);
  return (
    <table class="rows stacked" data-testid="endpoints">
      <thead>
        <tr>
          <th scope="col">{say.receiver}</th>
          <th scope="col">{say.events}</th>
          <th scope="col" class="number">{say.deliveryStates.delivered}</th>
          <th scope="col" class="number">{say.deliveryStates.waiting}</th>
          <th scope="col" class="number">{say.deliveryStates.failed}</th>
          <th scope="col">{say.lastDelivered}</th>
        </tr>
      </thead>
      <tbody>
        {endpoints.map((one) => (
          <tr key={one.name}>
            <th scope="row" class="main">
              {one.name}
              <p class="quiet small breakable">{say.receiverKinds[one.kind]} · {one.host}</p>
            </th>
            <td data-name={say.events}><span>{one.events.map((event) => eventName(event, say.eventNames)).join(say.comma)}</span></td>
            <td data-name={say.deliveryStates.delivered} class="number">{one.delivered.toLocaleString()}</td>
            <td data-name={say.deliveryStates.waiting} class={`number ${one.waiting ? 'amber' : ''}`}>{one.waiting.toLocaleString()}</td>
            <td data-name={say.deliveryStates.failed} class={`number ${one.failed ? 'red' : ''}`}>{one.failed.toLocaleString()}</td>
            <td data-name={say.lastDelivered}>{one.last_delivered_ms === null ? <span class="quiet">–</span> : when(one.last_delivered_ms, lang)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export function eventName(event: string, names: Record<string, string>): string {
  return names[event] ?? event;
}
