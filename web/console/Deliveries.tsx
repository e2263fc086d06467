// The log of what was told: narrowed down by receiver and state, a page at a time, and told again on request.

import type { VNode } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { Delivery, EndpointState } from '../shared/wire';
import { call, query } from './api';
import { eventName } from './Channels';
import { Desk, Part, useAction, useLoad } from './load';
import { change } from './route';
import { when } from './time';
import { Choice, Filters, Pager } from './ui';

const LIMIT = 50;
/** A receiver that answers has done so by then. */
const SOON_MS = 1500;

interface Page {
  deliveries: Delivery[];
  next: string | null;
}

interface Props {
  values: URLSearchParams;
  endpoints: EndpointState[];
  /** Grows when the page is to be looked up again. */
  round: number;
  changed(): void;
}

export function Deliveries({ values, endpoints, round, changed }: Props): VNode {
  const { say } = useContext(Desk);
  const endpoint = values.get('endpoint') ?? '';
  const state = values.get('state') ?? '';
  const [places, setPlaces] = useState<string[]>([]);
  useEffect(() => setPlaces([]), [endpoint, state]);
  const page = useLoad<Page>(`/webhooks/deliveries${query({ endpoint, state, before: places.at(-1), limit: LIMIT })}`);
  useEffect(() => {
    if (round) page.reload();
  }, [round]);
  const names = endpoints.map((one): [string, string] => [one.name, one.name]);
  return (
    <section class="part">
      <h2>{say.deliveries}</h2>
      <p class="quiet">{say.deliveriesLead}</p>
      <Filters active={!!(endpoint || state)}>
        <Choice label={say.receiver} value={endpoint} options={[['', say.all], ...names]} choose={(endpoint) => change({ endpoint })} testid="filter-endpoint" />
        <Choice label={say.health} value={state} options={[['', say.all], ...(['waiting', 'delivered', 'failed'] as const).map((state): [string, string] => [state, say.deliveryStates[state]])]} choose={(state) => change({ state })} testid="filter-state" />
      </Filters>
      {page.loaded && (
        <Part loaded={page.loaded} reload={page.reload}>
          {({ deliveries, next }) =>
            deliveries.length ? (
              <>
                <Log deliveries={deliveries} busy={page.busy} changed={() => (page.reload(), changed())} />
                <Pager first={!places.length} next={!!next} busy={page.busy} turn={(by) => setPlaces(by > 0 ? [...places, next!] : places.slice(0, -1))} />
              </>
            ) : (
              <p class="empty-row" data-testid="no-deliveries">{say.noDeliveries}</p>
            )
          }
        </Part>
      )}
    </section>
  );
}

function Log({ deliveries, busy, changed }: { deliveries: Delivery[]; busy: boolean; changed(): void }): VNode {
  const { say, lang, tell } = useContext(Desk);
  const { busy: sending, problem, run } = useAction();
  const again = (one: Delivery) =>
    run(async () => {
      await call('POST', `/webhooks/deliveries/${encodeURIComponent(one.id)}/resend`);
      tell({ text: say.resent });
      changed();
      setTimeout(changed, SOON_MS);
    });
  return (
    <>
      {problem && <p class="wrong" role="alert">{problem}</p>}
      <table class="rows stacked" aria-busy={busy} data-testid="deliveries">
        <thead>
          <tr>
            <th scope="col">{say.event}</th>
            <th scope="col">{say.receiver}</th>
            <th scope="col">{say.health}</th>
            <th scope="col" class="number">{say.tries}</th>
            <th scope="col">{say.happened}</th>
            <th scope="col"><span class="hidden">{say.resend}</span></th>
          </tr>
        </thead>
        <tbody>
          {deliveries.map((one) => (
            <tr key={one.id} data-state={one.state}>
              <th scope="row" class="main">
                {eventName(one.event, say.eventNames)}
                <p class="quiet small"><code>{one.event_id}</code></p>
              </th>
              <td data-name={say.receiver} class="breakable">{one.endpoint}</td>
              <td data-name={say.health}>
                <div>
                  <span class={`state ${LOOKS[one.state]}`}>{say.deliveryStates[one.state]}</span>
                  {one.problem && <p class="quiet small breakable">{why(one.problem, say.deliveryProblems)}</p>}
                  {one.state === 'waiting' && one.attempts > 0 && <p class="quiet small">{fill(say.nextTry, { time: when(one.due_ms, lang) })}</p>}
                </div>
              </td>
              <td data-name={say.tries} class="number">{one.attempts}</td>
              <td data-name={say.happened}>{when(one.created_ms, lang)}</td>
              <td>{one.state !== 'waiting' && <button type="button" disabled={sending} onClick={() => void again(one)} data-testid="resend">{say.resend}</button>}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

const LOOKS: Record<Delivery['state'], string> = { delivered: '', waiting: 'probing', failed: 'open' };

/** `http_500` and the other words of the log. */
export function why(problem: string, names: Record<string, string>): string {
  const status = /^http_(\d{3})$/.exec(problem)?.[1];
  return status ? fill(names.http!, { status }) : (names[problem] ?? problem);
}
