// Models as they are configured and doing, and the keys by which anybody gets in.

import type { VNode } from 'preact';
import { useContext, useEffect, useRef, useState } from 'preact/hooks';
import { fill } from '../shared/i18n';
import type { ApiKey, ModelState, Role } from '../shared/wire';
import { call } from './api';
import { Desk, Part, useAction, useLoad } from './load';
import { priceOf } from './price';
import { moment, when } from './time';
import { Asking, Choice, Copy, Fault, Field, Head } from './ui';

export function Access(): VNode {
  const { say } = useContext(Desk);
  const models = useLoad<ModelState[]>('/models');
  const keys = useLoad<{ keys: ApiKey[] }>('/keys');
  return (
    <>
      <Head title={say.access} lead={say.accessLead} />
      <section class="part first">
        <h2>{say.models}</h2>
        {models.loaded && <Part loaded={models.loaded} reload={models.reload}>{(models) => <Models models={models} />}</Part>}
      </section>
      <section class="part">
        <h2>{say.keys}</h2>
        <p class="quiet">{say.keysLead}</p>
        <Issue issued={keys.reload} />
        {keys.loaded && <Part loaded={keys.loaded} reload={keys.reload}>{({ keys: all }) => <Keys keys={all} changed={keys.reload} />}</Part>}
      </section>
    </>
  );
}

function Models({ models }: { models: ModelState[] }): VNode {
  const { say } = useContext(Desk);
  return (
    <>
      <table class="rows stacked" data-testid="models">
        <thead>
          <tr>
            <th scope="col">{say.model}</th>
            <th scope="col">{say.provider}</th>
            <th scope="col">{say.health}</th>
            <th scope="col" class="number">{say.priceIn}</th>
            <th scope="col" class="number">{say.priceOut}</th>
            <th scope="col">{say.fallback}</th>
          </tr>
        </thead>
        <tbody>
          {models.map((model) => (
            <tr key={model.id}>
              <th scope="row" class="main">
                {model.name}
                {model.default && <span class="tag">{say.isDefault}</span>}
                {model.name !== model.id && <p class="quiet small"><code>{model.id}</code></p>}
              </th>
              <td data-name={say.provider}>{model.provider}</td>
              <td data-name={say.health}>
                <div>
                  <span class={`state ${model.health}`}>{say.healths[model.health]}</span>
                  {model.last_error && <Fault error={model.last_error} />}
                </div>
              </td>
              <td data-name={say.priceIn} class="number">{priceOf(model, 'price_in', say)}</td>
              <td data-name={say.priceOut} class="number">{priceOf(model, 'price_out', say)}</td>
              <td data-name={say.fallback}>{model.fallback.join(say.comma) || <span class="quiet">{say.noFallback}</span>}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="quiet small foot">{say.modelsHint}</p>
    </>
  );
}

/** How a page embeds the widget with a key. */
export function snippet(server: string, key: string): string {
  return `<script src="${server}/widget.js" data-key="${key}" async></script>`;
}

function Issue({ issued }: { issued(): void }): VNode {
  const { say } = useContext(Desk);
  const [role, setRole] = useState<Role>('site');
  const [origins, setOrigins] = useState('');
  const [label, setLabel] = useState('');
  const [days, setDays] = useState('');
  const [secret, setSecret] = useState<ApiKey & { key: string }>();
  const { busy, problem, run } = useAction();
  const title = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    title.current?.focus();
    title.current?.parentElement?.scrollIntoView({ block: 'nearest' });
  }, [secret]);
  const listed = origins.split(/[\s,，]+/).filter(Boolean);
  const issue = () =>
    run(async () => {
      const wanted = { role, label, ...(role === 'site' ? { origins: listed } : {}), ...(days ? { days: Number(days) } : {}) };
      setSecret(await call('POST', '/keys', wanted));
      setLabel('');
      setOrigins('');
      issued();
    });
  return (
    <>
      <form class="form issue" onSubmit={(event) => (event.preventDefault(), void issue())}>
        <Choice label={say.role} value={role} options={(['site', 'member', 'admin', 'identity'] as const).map((role) => [role, say.roleNames[role]])} choose={(value) => setRole(value as Role)} testid="role" />
        <Field label={say.label}>{(id) => <input id={id} value={label} maxLength={200} placeholder={say.labelHint} onInput={(event) => setLabel(event.currentTarget.value)} data-testid="label" />}</Field>
        {role === 'site' && (
          <Field label={say.origins} hint={say.originsHint} wide>
            {(id, hint) => <textarea id={id} aria-describedby={hint} rows={2} value={origins} placeholder="https://shop.example.com" onInput={(event) => setOrigins(event.currentTarget.value)} data-testid="origins" />}
          </Field>
        )}
        <Choice label={say.expires} value={days} options={[['', say.never], ['30', fill(say.days, { n: 30 })], ['90', fill(say.days, { n: 90 })], ['365', fill(say.days, { n: 365 })]]} choose={setDays} />
        <p class="quiet small wide">{say.roleLeads[role]}</p>
        {problem && <p class="wrong wide" role="alert" data-testid="issue-problem">{problem}</p>}
        <div class="form-end wide">
          <button type="submit" class="primary" disabled={busy} data-testid="issue">{say.issue}</button>
        </div>
      </form>
      <div role="status">
        {secret && (
          <div class="secret" data-testid="secret">
            <h3 ref={title} tabIndex={-1}>{say.secretTitle}</h3>
            <p>{say.secretLead}</p>
            <p class="copy-line">
              <code>{secret.key}</code>
              <Copy text={secret.key} name={say.copy} />
            </p>
            {secret.role === 'site' && (
              <>
                <p>{say.snippetLead}</p>
                <p class="copy-line">
                  <code data-testid="snippet">{snippet(location.origin, secret.key)}</code>
                  <Copy text={snippet(location.origin, secret.key)} name={say.copy} />
                </p>
                <p class="quiet small">{say.snippetPolicy} <code>script-src {location.origin}; connect-src {location.origin} {location.origin.replace(/^http/, 'ws')}</code></p>
              </>
            )}
            <button type="button" onClick={() => setSecret(undefined)}>{say.secretKept}</button>
          </div>
        )}
      </div>
    </>
  );
}

/** Keys shown before more are asked for. */
const FEW = 50;

/** `ended` says so when it is; a key without an end has none. */
export function ended(key: ApiKey, now: number): boolean {
  return key.revoked_ms !== null || (key.expires_ms !== null && key.expires_ms <= now);
}

function Keys({ keys, changed }: { keys: ApiKey[]; changed(): void }): VNode {
  const { say, lang, tell } = useContext(Desk);
  const [all, setAll] = useState(false);
  const [most, setMost] = useState(FEW);
  const { busy, problem, run } = useAction();
  const now = Date.now();
  const dead = keys.filter((key) => ended(key, now)).length;
  const shown = keys.filter((key) => all || !ended(key, now)).reverse();
  const revoke = (key: ApiKey) =>
    run(async () => {
      await call('DELETE', `/keys/${encodeURIComponent(key.id)}`);
      tell({ text: say.revoked });
      changed();
    });
  return (
    <>
      {problem && <p class="wrong" role="alert">{problem}</p>}
      <table class="rows stacked" data-testid="keys">
        <thead>
          <tr>
            <th scope="col">{say.label}</th>
            <th scope="col">{say.role}</th>
            <th scope="col">{say.origins}</th>
            <th scope="col">{say.issuedAt}</th>
            <th scope="col">{say.expires}</th>
            <th scope="col"><span class="hidden">{say.revoke}</span></th>
          </tr>
        </thead>
        <tbody>
          {shown.slice(0, most).map((key) => (
            <tr key={key.id} class={ended(key, now) ? 'out' : ''}>
              <th scope="row" class="main">
                {key.label || <span class="quiet">{say.noLabel}</span>}
                <p class="quiet small"><code>{key.id}</code></p>
              </th>
              <td data-name={say.role}>{say.roleShort[key.role]}</td>
              <td data-name={say.origins}>{key.origins.length ? <span class="breakable">{key.origins.map((origin) => <div key={origin}>{origin}</div>)}</span> : <span class="quiet">–</span>}</td>
              <td data-name={say.issuedAt}>{when(key.created_ms, lang)}</td>
              <td data-name={say.expires}>{key.revoked_ms !== null ? fill(say.revokedAt, { time: moment(key.revoked_ms, lang) }) : key.expires_ms ? moment(key.expires_ms, lang) : say.never}</td>
              <td>{!ended(key, now) && <Asking ask={say.revokeSure} name={say.revoke} sure={say.revoke} disabled={busy} run={() => void revoke(key)} />}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {shown.length > most && <button type="button" onClick={() => setMost(most + FEW)} data-testid="more-keys">{say.more}</button>}
      {dead > 0 && <button type="button" class="plain" aria-pressed={all} onClick={() => setAll(!all)}>{all ? say.hideEnded : fill(say.showEnded, { n: dead })}</button>}
    </>
  );
}
