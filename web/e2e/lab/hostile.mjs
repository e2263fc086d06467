// Texts that attack a page, in the console: as rows of a file with a name of that kind, in its plan and in the table, as
// questions, answers, comments, words and names of keys. All of it has to stay text, on every page that shows it.

import { calm, check, go, must, overflow, resize, signIn, until } from '../desk.mjs';
import { hostile } from '../embed/corpus.mjs';
import { HOSTILE_MODEL } from '../embed/provider.mjs';

const NAME = '<img src=x onerror=window.hit=1>.jsonl';
/** Names of files with markup, with words of the page's own, that turn around what follows, without end, on two lines. */
const NAMES = [
  '<img src=x onerror=window.hit=1>名字.csv',
  '<b>{files}"\'`&lt;.csv',
  '规则\u202evsc.exe\u2066.csv',
  `${'很长的名字'.repeat(80)}${'w'.repeat(300)}.csv`,
  '第一行\n第二行.csv',
];
/** Texts in a row. */
const SIZE = 6;
const short = hostile.filter((text) => text.length < 200);

/** Elements and attributes that only an attack can have brought. */
export const strangers = () => {
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const tag = element.localName;
    if (/^(script|img|image|iframe|object|embed|base|meta|link|style|video|audio|source|marquee|math|template|noscript|slot|animate|x-evil|merchant-copilot|b)$/.test(tag)) found.push(tag);
    if (tag === 'svg' && !element.matches('.chart svg')) found.push('svg');
    for (const { name, value } of element.attributes) {
      if (/^on|^srcdoc$|^formaction$/.test(name) || (name === 'style' && !element.matches('.bar, .charts'))) found.push(`${tag} ${name}`);
      if (name !== 'href') continue;
      const own = /^(#|\/(?!\/))/.test(value);
      const away = /^https?:\/\//.test(value) && element.target === '_blank' && element.rel.includes('noopener');
      if (!own && !away) found.push(`${tag} ${value}`);
    }
  }
  if (window.hit !== undefined) found.push('it ran');
  return found;
};

function rows() {
  return Array.from({ length: Math.ceil(short.length / SIZE) }, (_, at) => {
    const texts = short.slice(at * SIZE, (at + 1) * SIZE);
    const [first, second = first, third = first] = texts;
    return { question: `第${at}号攻击是什么 ${first}`, similar: [`攻击${at} ${second}`], answer: `第${at}号攻击。\n\n${texts.join('\n\n')}`, category: second, market: 'CN', tags: [third], url: 'javascript:window.hit=1' };
  });
}

/** Names of files in the list of imports, over a plan, in an outcome, and in what is said of them. */
async function fileNames({ page, base, key, harmless }) {
  const id = (name) => page.getByTestId(name);
  for (const [n, name] of NAMES.entries()) {
    const form = new FormData();
    form.append('file', new Blob([`question,answer\n第 ${n} 份文件在哪里？,在第 ${n} 个架子上。\n`]), name);
    const sent = await fetch(`${base}/api/v1/knowledge/imports`, { method: 'POST', headers: { authorization: `Bearer ${key}` }, body: form });
    must(sent.status === 201, `a file was not taken: ${await sent.text()}`);
  }
  const list = () => go(page, `${base}/console/#/import`, 'past-imports');
  const waiting = page.locator('[data-testid=past-import][data-state=planned]');
  await list();
  must((await waiting.count()) === NAMES.length, `${await waiting.count()} of ${NAMES.length} plans wait`);
  await harmless('the list of past imports');
  const listed = (await waiting.locator('th').allInnerTexts()).join(' ');
  must(listed.includes('onerror') && listed.includes('{files}') && !/[\u202a-\u202e\u2066-\u2069]/.test(listed), `the names are listed as ${listed}`);
  for (const width of [360, 1280]) {
    await resize(page, width, 860);
    must(!(await overflow(page)), `the list at ${width}: ${await overflow(page)}`);
  }
  for (const n of NAMES.keys()) {
    await list();
    await waiting.nth(n).getByRole('link').click();
    await id('plan').waitFor();
    await harmless(`the plan of file ${n}`);
    must(!(await overflow(page)), `the plan of file ${n}: ${await overflow(page)}`);
  }
  await list();
  await page.locator('[data-testid=past-import][data-state=applied]').getByRole('link').click();
  await id('outcome').waitFor();
  await harmless('an outcome');
  for (const name of [/onerror/, /很长/]) {
    await list();
    const row = waiting.filter({ hasText: name });
    await row.getByTestId('ask-first').click();
    await row.getByTestId('sure').click();
    await id('toast').waitFor();
    await row.waitFor({ state: 'detached' });
    await harmless('what is said of a plan that was discarded');
    must(!(await overflow(page)), `what is said of it: ${await overflow(page)}`);
  }
}

export async function hostility({ browser, base, server, shot }) {
  await check(`${short.length} texts that attack stay text on every page of the console`, async () => {
    await server.run('tenant', 'add', 'attacked');
    const key = await server.issue('--role', 'admin', '--tenant', 'attacked');
    const api = async (method, path, body) => {
      const reply = await fetch(`${base}/api/v1${path}`, { method, headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: body && JSON.stringify(body) });
      return reply.text();
    };
    const page = await signIn(browser, base, key);
    const id = (name) => page.getByTestId(name);
    const dialogs = [];
    page.on('dialog', (dialog) => (dialogs.push(dialog.message()), dialog.dismiss()));
    await page.evaluate(() => (window.alert = () => (window.hit = 1)));
    let looked = 0;
    const harmless = async (where) => {
      await calm(page);
      const found = await page.evaluate(strangers);
      must(!found.length && !dialogs.length, `${where}: ${[...new Set(found)].slice(0, 4).join(', ')} ${dialogs}`);
      must(page.url().startsWith(`${base}/console/`), `${where} led to ${page.url()}`);
      looked++;
    };
    const file = rows();
    await go(page, `${base}/console/#/import`, 'files');
    // Some are nearly the same to who compares rows: those are in the plan as conflicts, and written as well.
    await id('files').setInputFiles({ name: NAME, mimeType: 'application/x-ndjson', buffer: Buffer.from(file.map((row) => JSON.stringify(row)).join('\n')) });
    await id('plan').waitFor();
    for (const tab of await page.getByRole('tab').all()) {
      await tab.click();
      await harmless(`the plan, ${await tab.innerText()}`);
    }
    await shot(page, 'hostile-plan');
    await id('apply').click();
    await id('applied').waitFor();
    await harmless('the plan, written');
    await fileNames({ page, base, key, harmless });

    await go(page, `${base}/console/#/knowledge`, 'rows');
    await harmless('the table');
    const links = page.locator('[data-testid=rows] tbody a');
    const count = await links.count();
    must(count >= file.length / 2, `only ${count} of ${file.length} rows were written`);
    for (let n = 0; n < count; n++) {
      await links.nth(n).click();
      await page.waitForFunction((id) => document.querySelector('.side code')?.textContent === id, await links.nth(n).getAttribute('data-row'));
      await harmless(`entry ${n}`);
    }
    await id('close').click();
    await links.first().focus();
    await page.keyboard.press('F2');
    await id('row-form').waitFor();
    await harmless('a row being changed');
    await id('row-cancel').click();

    // A provider that repeats whatever it is told; a comment; words; the name of a key.
    for (const [n, { question }] of file.entries()) {
      const said = await api('POST', '/chat', { text: question, client_msg_id: crypto.randomUUID() });
      const response = /"response_id":"([^"]+)"/.exec(said)?.[1];
      await api('POST', '/feedback', { response_id: response, rating: 'down', reasons: ['wrong'], comment: short[n] });
      await api('POST', '/knowledge/cases', { cases: [{ query: question, relevant: [] }] });
    }
    await api('POST', '/chat', { text: `${short[0]} 我的手机是 13800138000`, client_msg_id: crypto.randomUUID() }); // for the safety log
    for (const text of short) await api('POST', '/keys', { role: 'member', label: text.slice(0, 150) });
    const { text } = JSON.parse(await api('GET', '/prompts/answer.zh'));
    await api('POST', '/prompts/answer.zh/versions', { text: `${text}\n${short[2]}`, note: short[0] });

    await go(page, `${base}/console/#/overview`, 'top');
    await harmless('the overview');
    await go(page, `${base}/console/#/conversations`, 'rows');
    await harmless('the list of conversations');
    const talks = page.locator('[data-testid=rows] tbody a');
    for (let n = 0; n < Math.min(12, await talks.count()); n++) {
      await talks.nth(n).click();
      await until(async () => (await id('turns').count()) === 1, 'the conversation is not shown');
      await id('trace').first().click();
      await id('trace-body').first().waitFor();
      await harmless(`conversation ${n}`);
      await id('close').click();
      await id('turns').waitFor({ state: 'detached' });
    }
    await go(page, `${base}/console/#/try?${new URLSearchParams({ q: file[0].question })}`, 'hits');
    await id('answer').first().click();
    await page.locator('[data-testid=model-answer][data-done=true]').first().waitFor();
    for (const part of await page.locator('.found details summary, [data-testid=cases] summary').all()) await part.click();
    await harmless('a question tried');
    await id('run').click();
    await id('result').waitFor();
    await harmless('the evaluation set');
    await go(page, `${base}/console/#/access`, 'more-keys');
    const listed = () => id('keys').locator('tbody tr').count();
    while (await id('more-keys').count()) {
      const before = await listed();
      await id('more-keys').click();
      await until(async () => (await listed()) > before, 'no more keys are shown');
    }
    must((await listed()) > short.length, 'not every key is shown');
    await harmless('the names of keys');
    await shot(page, 'hostile-keys');
    await id('models').getByText(HOSTILE_MODEL).first().waitFor();
    await go(page, `${base}/console/#/prompts?name=answer.zh`, 'prompt-text');
    const versions = page.locator('.versions details summary');
    await until(async () => (await versions.count()) > 0, 'there is no other version');
    for (const version of await versions.all()) await version.click();
    await page.locator('.versions :is(ins, del)').filter({ hasText: short[2].slice(0, 8) }).first().waitFor();
    await harmless('a prompt, its versions, and what differs');
    const words = short.map((text) => text.replaceAll(/[\s,，、=;；#]+/g, '').slice(0, 40)).filter((word) => (word.match(/[\p{L}\p{N}]/gu) ?? []).length > 1);
    must(words.length > 10, `only ${words.length} words`);
    const kept = await api('PUT', '/knowledge/words', { words: [...new Set(words)], synonyms: [] });
    await go(page, `${base}/console/#/words`, 'word-lines');
    await until(async () => (await id('word-lines').inputValue()).includes(words[0]), `the words are not shown: ${kept.slice(0, 200)}`);
    await harmless('the dictionary');
    for (const [path, marker] of [['safety', 'verdicts'], ['channels', 'no-bots']]) {
      await go(page, `${base}/console/#/${path}`, marker);
      await harmless(path);
    }
    await page.context().close();
    return `${looked} times looked at`;
  });
}
