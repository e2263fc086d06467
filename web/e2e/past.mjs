// Parts of the console's checks (workbench.mjs): a sign-in link in an open tab, imports that are over, and asking again
// only when it is of use.

import { readFileSync } from 'node:fs';
import { calm, check, go, must, reads, tally, until, visit } from './desk.mjs';

/** A link may be pasted where the console already stands: only the fragment of the address changes. */
export async function openTab(browser, base, key) {
  const page = await visit(browser, `${base}/console/`);
  const id = (name) => page.getByTestId(name);
  const paste = (token) => page.evaluate((token) => void (location.hash = `signin=${token}`), token);
  await check('a sign-in link pasted into an open tab signs in', async () => {
    await id('key').waitFor();
    await paste(key);
    await id('sign-out').waitFor();
    must(!page.url().includes('signin'), `the token stays in the address: ${page.url()}`);
  });
  await check('a link that is used up leaves an open page as it is, and says so', async () => {
    await go(page, `${base}/console/#/knowledge`, 'rows');
    await paste('in_used_up');
    const said = await reads(id('toast'), '用过');
    must(page.url().endsWith('#/knowledge') && (await id('rows').count()), `it left the page for ${page.url()}`);
    return said;
  });
  const comesBack = {
    'a tab that comes back': () => document.dispatchEvent(new Event('visibilitychange')),
    'a window beside another that comes back': () => window.dispatchEvent(new Event('focus')),
  };
  for (const [what, back] of Object.entries(comesBack)) {
    await check(`${what} shows the shop that the other has signed in to`, async () => {
      const other = { tenant: what.startsWith('a tab') ? 'other-shop' : 'third-shop', role: 'admin', link_hosts: null };
      await page.route(/\/api\/v1\/session$/, (route) => route.fulfill({ json: other }));
      await page.evaluate(back);
      await reads(page.locator('.shop'), other.tenant);
      const said = await reads(id('toast'), other.tenant);
      await page.unroute(/\/api\/v1\/session$/);
      return said;
    });
  }
  await page.context().close();
}

/** `desk`: the server's address, a call of its API, a name for what this run makes, and what judges a state. */
export async function pastImports(page, { base, key, api, RUN, judge, shot }) {
  const id = (name) => page.getByTestId(name);
  const entry = async () => (await (await api('GET', `/knowledge/entries/${RUN}-sun`)).json()).answer;
  let plan;
  await check('a conflicting row replaces the entry that it conflicts with, and what was left out is still there', async () => {
    await api('POST', '/knowledge/entries', { id: `${RUN}-sun`, question: `太阳仓 ${RUN} 几点关门？`, answer: `18 点关门 ${RUN}。` });
    const form = new FormData();
    form.append('file', new Blob([`question,answer\n太阳仓 ${RUN} 几点关门？,20 点关门 ${RUN}。\n彗星仓 ${RUN} 在哪里？,在北边 ${RUN}。\n没有答案的太阳 ${RUN}？,\n`]), `past-${RUN}.csv`);
    ({ id: plan } = await (await fetch(`${base}/api/v1/knowledge/imports`, { method: 'POST', headers: { authorization: `Bearer ${key}` }, body: form })).json());
    await go(page, `${base}/console/#/import?plan=${plan}`, 'plan');
    await id('tab-conflicting').click();
    await id('planned-conflicting').getByTestId('way-out').focus();
    await page.keyboard.press('ArrowDown');
    must(await id('planned-conflicting').getByTestId('way-write').isChecked(), 'an arrow does not choose the next way');
    await page.keyboard.press('ArrowDown');
    must(await id('planned-conflicting').getByTestId('way-replace').isChecked(), 'an arrow does not choose to replace');
    must(!(await id('planned-conflicting').getByTestId('way-write').isChecked()), 'it is kept beside as well');
    const goes = await id('planned-conflicting').innerText();
    must([`${RUN}-sun`, `太阳仓 ${RUN} 几点关门？`].every((part) => goes.includes(part)), `it does not say which entry goes: ${goes}`);
    must((await id('planned-conflicting').locator('del').innerText()).includes('18'), 'its answer is not struck out');
    await judge(page, 'a row that replaces an entry');
    await reads(id('apply'), /^确认：替换 1 条、新增 1 条$/);
    await id('apply').click();
    await id('outcome').getByTestId('tab-failed').waitFor();
    await reads(id('planned-failed'), '缺少答案');
    must((await entry()).startsWith('20 点'), `the entry says ${await entry()}`);
    await judge(page, 'an import that left a row out');
    await shot(page, 'import-outcome');
    const [report] = await Promise.all([page.waitForEvent('download'), id('report').click()]);
    must(readFileSync(await report.path(), 'utf8').includes(`没有答案的太阳 ${RUN}`), 'the report does not have the row that failed');
  });
  await check('it stands in the list of past imports and opens with its report again', async () => {
    await go(page, `${base}/console/#/import`, 'past-imports');
    await calm(page);
    const row = id('past-import').filter({ hasText: `past-${RUN}.csv` });
    must((await row.getAttribute('data-state')) === 'applied', await row.innerText());
    const told = (await row.innerText()).replaceAll(/\s+/g, ' ');
    must(['修改 1 条', '新增 1 条', '未写入 1 条'].every((part) => told.includes(part)), told);
    await judge(page, 'the list of past imports');
    await shot(page, 'import-past');
    await row.getByRole('link').click();
    await reads(id('planned-failed'), '缺少答案');
    return told;
  });
  await check('a plan that waits stays when other files are opened, and is discarded on purpose', async () => {
    const name = `waits-${RUN}.csv`;
    await go(page, `${base}/console/#/import`, 'files');
    await id('files').setInputFiles({ name, mimeType: 'text/csv', buffer: Buffer.from(`question,answer\n月亮仓 ${RUN} 在哪里？,在东边 ${RUN}。\n`) });
    await id('plan').waitFor();
    await id('other-files').click();
    const row = id('past-import').filter({ hasText: name });
    await row.waitFor();
    must((await row.getAttribute('data-state')) === 'planned', await row.innerText());
    // As a server leaves it that ended in the middle.
    const stands = /\/imports\/im_\w+$/;
    await page.route(stands, async (route) => {
      const answer = await route.fetch();
      await route.fulfill({ response: answer, json: { ...(await answer.json()), state: 'applying' } });
    });
    await row.getByRole('link').click();
    await reads(id('apply'), /^继续写入$/);
    await judge(page, 'a plan whose writing has begun');
    await page.unroute(stands);
    await id('other-files').click();
    await row.getByTestId('ask-first').click();
    await judge(page, 'a plan about to be discarded');
    await row.getByTestId('sure').click();
    await reads(id('toast'), name);
    await row.waitFor({ state: 'detached' });
    must((await (await api('GET', `/knowledge/entries?q=${encodeURIComponent(`月亮仓 ${RUN}`)}`)).json()).total === 0, 'it was written');
  });
  await check('it is taken back from the list', async () => {
    await go(page, `${base}/console/#/import`, 'past-imports');
    const row = id('past-import').filter({ hasText: `past-${RUN}.csv` });
    await row.getByTestId('ask-first').click();
    await row.getByTestId('sure').click();
    await page.locator('[data-testid=past-import][data-state=undone]').filter({ hasText: `past-${RUN}.csv` }).waitFor();
    must((await entry()).startsWith('18 点') && !(await row.getByTestId('ask-first').count()), `the entry says ${await entry()}`);
  });
}

/** One that is told when to come back does not ask before. */
export async function askingAgain(page, { base }) {
  const id = (name) => page.getByTestId(name);
  const broken = { type: 'response.done', status: 'failed', error: { code: 'model_rate_limited', message: '', retryable: true, retry_after_ms: 2000 }, usage: { prompt_tokens: 0, completion_tokens: 0, cost: 0, currency: '' }, timings_ms: { first_token: 0, total: 0 } };
  const refusals = {
    'a call refused for a while': { status: 429, headers: { 'Retry-After': '2' }, contentType: 'application/json', body: '{"error":{"code":"rate_limited","message":""}}' },
    'an answer that failed for a while': { status: 200, contentType: 'text/event-stream', body: `data: ${JSON.stringify(broken)}\n\n` },
  };
  for (const [what, refusal] of Object.entries(refusals)) {
    await check(`${what} is asked again only when it is of use`, async () => {
      let asked = 0;
      await page.route(/\/api\/v1\/trials$/, (route) => (asked++ ? route.continue() : route.fulfill(refusal)));
      await go(page, `${base}/console/#/try?q=${encodeURIComponent('保证金怎么退？')}`, 'in-force');
      const button = id('in-force').getByTestId('answer');
      await button.click();
      const told = await reads(button, /（\d+ 秒后）$/);
      must(await button.isDisabled(), 'it can be pressed meanwhile');
      await id('model-answer').getByRole('alert').waitFor();
      await until(() => button.isEnabled(), 'it never comes back');
      must(asked === 1, `it was asked ${asked} times meanwhile`);
      await button.click();
      await page.locator('[data-testid=model-answer][data-done=true] .answered').waitFor();
      await page.unroute(/\/api\/v1\/trials$/);
      return told;
    });
  }
  // The browser writes down a status that was made up here.
  tally.complaints = tally.complaints.filter((one) => !one.includes('429'));
}
