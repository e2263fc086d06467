// The console's pages at work, in a real browser against a real server:
//   node e2e/workbench.mjs <base_url> <admin-key> [screenshot-dir]
// Knowledge is found, changed, undone; a spiteful sheet goes through the diff; a wrong answer is put right
// and asked again; keys are issued and ended. Then every page, in both languages, light and dark, on a phone
// and on a desktop: axe-core, and nothing wider than the screen. DIST=1 takes the pages from dist/.

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { broken, calm, check, finish, focused, go, launch, must, overflow, reads, resize, signIn, tally, until, violations } from './desk.mjs';
import { askingAgain, openTab, pastImports } from './past.mjs';

const [base, key, shots] = process.argv.slice(2);
const LIMIT = 1_500_000;
/** What a hostile row, file or question looks like; each has to stay text. */
const EVIL = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>';
// GBK for: 问题,答案,分类 and its rows; one row without an answer, one that is hostile.
/** So that the script can run again on the same data. */
const RUN = Date.now().toString(36).toUpperCase();
const gbk = (rows) => Buffer.concat(rows.map((row) => Buffer.concat([encodeGbk(row), Buffer.from('\r\n')])));

/** The few characters of the sheet in GBK: Node decodes it but does not encode it. */
function encodeGbk(text) {
  const bytes = [];
  for (const char of text) {
    if (char.charCodeAt(0) < 128) bytes.push(char.charCodeAt(0));
    else bytes.push(...gbkOf(char));
  }
  return Buffer.from(bytes);
}

const table = new Map();
function gbkOf(char) {
  if (!table.size) {
    const decoder = new TextDecoder('gbk');
    for (let high = 0x81; high <= 0xfe; high++) {
      for (let low = 0x40; low <= 0xfe; low++) {
        if (low !== 0x7f) table.set(decoder.decode(Uint8Array.of(high, low)), [high, low]);
      }
    }
  }
  return table.get(char);
}

const api = (method, path, body, token = key) =>
  fetch(`${base}/api/v1${path}`, { method, headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) }, body: body ? JSON.stringify(body) : undefined });

async function ask(text) {
  const reply = await api('POST', '/chat', { text, model: 'builtin', client_msg_id: crypto.randomUUID() });
  const frames = (await reply.text()).split('\n').filter((line) => line.startsWith('data:')).map((line) => JSON.parse(line.slice(5)));
  return frames.find((frame) => frame.type === 'response.done');
}

const shot = (page, name) => shots && page.screenshot({ path: join(shots, `console-${name}.png`) });
/** axe-core and the width in the state the page is in, light and dark; what is found is told at the end. */
const states = [];
async function judge(page, name) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await calm(page);
    states.push(...[...(await violations(page)), await overflow(page)].filter(Boolean).map((found) => `${name}, ${colorScheme}: ${found}`));
  }
  await page.emulateMedia({ colorScheme: 'light' });
}
const open = (page, path, marker) => go(page, `${base}/console/#/${path}`, marker);

async function knowledge(page) {
  const id = (name) => page.getByTestId(name);
  await check('knowledge is found by words', async () => {
    await open(page, 'knowledge', 'range');
    const { total } = await (await api('GET', `/knowledge/entries?q=${encodeURIComponent('保证金')}`)).json();
    must(total > 3, `there are ${total}`);
    await id('find').fill('保证金');
    await page.waitForURL(/q=/);
    await id('range').getByText(`共 ${total} 条`).waitFor();
    return id('range').innerText();
  });
  await check('and narrowed down by a filter that stays in the address', async () => {
    await id('filter-direct').selectOption('true');
    await page.waitForURL(/direct=true/);
    await page.reload();
    await id('rows').waitFor();
    await until(async () => (await id('filter-direct').inputValue()) === 'true', 'the filter is gone');
  });
  await check('an entry is changed by keyboard alone, and the change taken back', async () => {
    await page.locator('[data-testid=rows] tbody a').first().focus();
    await page.keyboard.press('Enter');
    await id('answer').waitFor();
    const before = await id('answer').inputValue();
    await id('answer').focus();
    await page.keyboard.press('Control+End');
    await page.keyboard.type(' 改过了');
    await page.keyboard.press('Control+Enter');
    await id('toast').waitFor();
    await id('history').getByText('改过了').first().waitFor();
    await shot(page, 'entry');
    await id('undo').focus();
    await page.keyboard.press('Enter');
    await page.waitForFunction((before) => document.querySelector('[data-testid=answer]')?.value === before, before);
  });
  await check('what was done is said in the rail or in a bar that everything makes room for; what cannot be taken back goes with its page', async () => {
    for (const [width, height] of [[1280, 860], [1280, 600], [1280, 420], [360, 740]]) {
      await open(page, 'knowledge', 'rows');
      await resize(page, width, height);
      await page.locator('[data-testid=rows] tbody a').first().click();
      await id('answer').fill(`${await id('answer').inputValue()} `.trimEnd() + '。。');
      await id('save').click();
      await id('toast').waitFor();
      await calm(page);
      // Whatever can be pressed can be brought out from under it.
      const { covered, foot } = await page.evaluate(() => {
        const toast = document.querySelector('[data-testid=toast]').getBoundingClientRect();
        const pressed = [...document.querySelectorAll('[data-testid=side] button, .rail a, .rail button')].filter((one) => !one.closest('[inert]'));
        const covered = pressed.filter((one) => {
          one.scrollIntoView({ block: 'nearest' });
          const box = one.getBoundingClientRect();
          return !box.width || box.top < 0 || box.bottom > innerHeight || (box.right > toast.left && box.left < toast.right && box.bottom > toast.top + 1 && box.top < toast.bottom - 1);
        });
        return { covered: covered.map((one) => one.textContent), foot: Math.round(toast.bottom) === innerHeight && toast.left === 0 };
      });
      must(!covered.length, `${covered.join(', ')} cannot be reached at ${width} × ${height}`);
      must(foot === (width < 761 || height < 661), `the word about it is ${foot ? '' : 'not '}at the foot at ${width} × ${height}`);
      const tall = await page.locator('.toast .answers').evaluate((answers) => answers.getBoundingClientRect().height);
      must(tall < 50, `the buttons take two lines at ${width}`);
      await shot(page, `toast-${width}-${height}`);
      await judge(page, `a change told at ${width} × ${height}`);
      await id('undo').click();
      await page.getByText('已撤销').waitFor();
      await id('close').click();
      await open(page, 'overview', 'figures');
      must(!(await id('toast').count()), 'it is still said on another page');
    }
    await resize(page, 1280, 860);
    await open(page, 'knowledge', 'rows');
    await page.locator('[data-testid=rows] tbody a').first().click();
    await id('answer').waitFor();
  });
  await check('Escape closes the entry, and the focus goes back to its row', async () => {
    await calm(page);
    await id('answer').focus();
    await page.keyboard.press('Escape');
    await id('side').waitFor({ state: 'detached' });
    await focused(page, 'rows');
  });
  await check('what is typed is not lost without a word: Escape, another row, another page, going back, signing out', async () => {
    await open(page, 'knowledge', 'rows');
    const rows = page.locator('[data-testid=rows] tbody a');
    await rows.first().click();
    await id('answer').waitFor();
    const before = await id('answer').inputValue();
    await id('answer').fill(`${before} 还没保存`);
    const ways = [() => page.goBack(), () => page.keyboard.press('Escape'), () => rows.nth(1).click(), () => page.locator('.rail a[href="#/overview"]').click(), () => id('sign-out').click()];
    for (const away of ways) {
      await calm(page);
      await id('answer').focus();
      await away();
      await id('leaving').waitFor();
      if (away === ways[0]) await judge(page, 'the question before leaving');
      await id('stay').click();
      await id('leaving').waitFor({ state: 'hidden' });
      must((await id('answer').inputValue()).endsWith('还没保存'), 'what was typed is gone');
    }
    await rows.nth(1).click();
    await id('leave').click();
    await page.waitForFunction((before) => !document.querySelector('[data-testid=answer]')?.value.includes('还没保存') && document.querySelector('[data-testid=answer]'), before);
    await focused(page, 'side');
    await page.keyboard.press('Escape');
    await id('side').waitFor({ state: 'detached' });
  });
  await check('what is typed outlives the session', async () => {
    await open(page, 'knowledge', 'rows');
    await page.locator('[data-testid=rows] tbody a').first().click();
    const before = await id('answer').inputValue();
    await id('answer').fill(`${before} 还没保存`);
    await page.evaluate(() => fetch('/api/v1/session', { method: 'DELETE' }));
    await id('save').click();
    await id('key').waitFor();
    await page.getByText('没保存的修改还在').waitFor();
    await judge(page, 'signing in again');
    await id('key').fill(key);
    await id('sign-in').click();
    await until(async () => (await id('answer').inputValue()).endsWith('还没保存'), 'what was typed is gone');
    await page.getByRole('button', { name: '放弃修改' }).click();
    await id('close').click();
    await id('side').waitFor({ state: 'detached' });
  });
  await check('an entry is added, deleted, and the deletion undone', async () => {
    await open(page, 'knowledge', 'rows');
    await id('add').click();
    await id('question').waitFor();
    await judge(page, 'an entry being added');
    await id('question').fill(`${EVIL} 测试问题 ${RUN}？`);
    await id('answer').fill(`${EVIL} 测试答案 ${RUN}。`);
    await id('save').click();
    await id('toast').waitFor();
    await page.locator('[data-testid=rows] tbody a').filter({ hasText: RUN }).first().click();
    await id('delete').click();
    await page.getByText('已删除，不再用于回答').waitFor();
    await id('undo').click();
    await page.getByText('已撤销').waitFor();
    await page.locator('[data-testid=rows] tbody').getByText('测试问题').first().waitFor();
    must(!(await page.evaluate(() => window.hit)), 'the hostile row ran');
  });
  await check('a deleted entry is listed and brought back', async () => {
    await page.locator('[data-testid=rows] tbody a').filter({ hasText: RUN }).first().click();
    await id('delete').click();
    await page.getByText('已删除，不再用于回答').waitFor();
    await open(page, `knowledge?validity=deleted&q=${RUN}`, 'restore');
    await judge(page, 'deleted entries');
    await id('restore').first().click();
    await page.getByText('已恢复').waitFor();
    const { total } = await (await api('GET', `/knowledge/entries?q=${RUN}`)).json();
    must(total === 1, `${total} are there`);
  });
  await check('a change is taken back from another page, but not what somebody else did since', async () => {
    await open(page, 'knowledge', 'rows');
    await page.locator('[data-testid=rows] tbody a').first().click();
    await id('answer').waitFor();
    const entry = async () => (await api('GET', `/knowledge/entries/${encodeURIComponent(there)}`)).json();
    const there = decodeURIComponent(new URLSearchParams(new URL(page.url()).hash.split('?')[1]).get('id'));
    const { answer } = await entry();
    for (const meanwhile of [false, true]) {
      await id('answer').fill(`${answer} 从别处撤销`);
      await id('save').click();
      await id('undo').waitFor();
      await page.locator('.rail a[href="#/overview"]').click();
      await page.locator('h1').getByText('总览').waitFor();
      const said = await id('toast').innerText();
      must(said.includes('已保存') && said.includes('“'), `what was done is not named: ${said}`);
      const { revision, ...now } = await entry();
      if (meanwhile) await api('PUT', `/knowledge/entries/${encodeURIComponent(there)}`, { ...now, answer: '别人的答案。', revision });
      await id('undo').click();
      await id('toast').getByText(meanwhile ? '别人刚刚改过' : '已撤销').waitFor();
      const after = (await entry()).answer;
      must(after === (meanwhile ? '别人的答案。' : answer), after);
      await open(page, `knowledge?${new URLSearchParams({ id: there })}`, 'answer');
    }
    await id('answer').fill(answer);
    await id('save').click();
    await id('toast').getByText('已保存').waitFor();
    await id('close').click();
    await id('side').waitFor({ state: 'detached' });
  });
  await check('pages turn', async () => {
    await open(page, 'knowledge', 'rows');
    const first = await page.locator('[data-testid=rows] tbody a').first().innerText();
    await id('next').click();
    await page.waitForFunction((first) => document.querySelector('[data-testid=rows] tbody a')?.textContent !== first, first);
    await id('previous').click();
    await page.waitForFunction((first) => document.querySelector('[data-testid=rows] tbody a')?.textContent === first, first);
  });
  await check('what is about to expire is one press away', async () => {
    const figure = page.getByRole('button', { name: /天内到期/ });
    const count = await figure.locator('strong').innerText();
    await figure.click();
    await page.waitForURL(/validity=expiring/);
    await (count === '0' ? id('no-rows') : id('range').getByText(`共 ${count} 条`)).waitFor();
    return `${count} expire`;
  });
  await check('figures and the note about new vectors stay when they cannot be asked for once', async () => {
    await page.goto('about:blank'); // a page that is there already asks for nothing
    // However often the page asks: ten are done until that was seen, then one answer fails, then it is thirty.
    let done = 10;
    await page.route('**/api/v1/knowledge/stats', async (route) => {
      if (done === 20) {
        done = 30;
        return route.fulfill({ status: 404, json: { error: { code: 'gone', message: 'no' } } });
      }
      const told = { embedder: 'neu', done, of: 90 };
      const reply = await route.fetch();
      return route.fulfill({ response: reply, json: { ...(await reply.json()), renewal: told } });
    });
    await open(page, 'knowledge', 'rows');
    await id('renewing').getByText('10').first().waitFor();
    await page.evaluate(() => {
      window.gone = [];
      const names = ['figures', 'renewing'];
      new MutationObserver(() => window.gone.push(...names.filter((name) => !document.querySelector(`[data-testid=${name}]`)))).observe(document.body, { subtree: true, childList: true });
    });
    done = 20;
    await id('renewing').getByText('30').first().waitFor();
    const gone = await page.evaluate(() => window.gone);
    await page.unroute('**/api/v1/knowledge/stats');
    must(!gone.length, `gone for a moment: ${gone.join(', ')}`);
  });
  await check('an export is a file', async () => {
    await page.locator('.menu summary').click();
    await judge(page, 'the kinds of export');
    const [download] = await Promise.all([page.waitForEvent('download'), id('export-csv').click()]);
    must(download.suggestedFilename().endsWith('.csv'), download.suggestedFilename());
    await open(page, `knowledge?q=${RUN}`, 'rows');
    await page.locator('.menu').evaluate((menu) => (menu.open = true));
    const [narrowed] = await Promise.all([page.waitForEvent('download'), id('export-jsonl').click()]);
    const rows = readFileSync(await narrowed.path(), 'utf8').trim().split('\n');
    must(rows.length === 1 && rows[0].includes(RUN), `${rows.length} rows in the export of one`);
  });
}

async function imports(page) {
  const id = (name) => page.getByTestId(name);
  const entries = await (await api('GET', `/knowledge/entries?limit=1&q=${RUN}`)).json();
  const known = entries.entries[0].id;
  const sheet = gbk([
    '编号,问题,答案,分类',
    `${known},测试问题 ${RUN}？,测试答案改了 ${RUN}：次日到账 20000 元。,测试`,
    `${RUN}-1,新表格第一问 ${RUN}？,"${RUN} 第一答，含逗号，和 ""引号""。",测试`,
    `${RUN}-2,新表格第二问 ${RUN}？,${RUN} 第二答。,测试`,
    `${RUN}-3,${EVIL}第三问 ${RUN}？,${RUN} 第三答。,测试`,
    `${RUN}-4,=没有答案的一行？,,测试`,
    `${RUN}-5,新表格第一问 ${RUN}？,完全不同的答案：30 天。,测试`,
  ]);
  await check('a spiteful GBK sheet dropped on the page becomes a plan', async () => {
    await open(page, 'import', 'files');
    await shot(page, 'import-empty');
    await page.locator('details.options summary').click();
    await judge(page, 'the options of an import');
    const dropped = await page.evaluateHandle((bytes) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], `<b onclick="x">${'很长的名字'.repeat(12)}表格.csv`, { type: 'text/csv' }));
      return data;
    }, [...sheet]);
    await page.dispatchEvent('.drop', 'dragover', { dataTransfer: dropped });
    await page.dispatchEvent('.drop', 'drop', { dataTransfer: dropped });
    await id('plan').waitFor();
    await calm(page);
    const counts = (await page.getByRole('tab').allInnerTexts()).join(' ').replaceAll(/\s+/g, ' ');
    must(['新增 3', '修改 1', '冲突 1', '读不出 1'].every((count) => counts.includes(count)), counts);
    must((await page.locator('b').count()) === 0 && !(await page.evaluate(() => window.hit)), 'markup of the file came alive');
    return counts;
  });
  await check('changed rows are told side by side with the difference marked', async () => {
    await id('tab-changed').click();
    await page.locator('[data-testid=planned-changed] ins').first().waitFor();
    await shot(page, 'import-changed');
  });
  await check('tabs are walked with the arrow keys', async () => {
    await id('tab-changed').focus();
    await page.keyboard.press('ArrowRight');
    await page.locator('[data-testid=planned-conflicting]').first().waitFor();
    await page.locator('[data-testid=planned-conflicting] input').check();
    const why = await page.locator('[data-testid=planned-conflicting] .why').innerText();
    must(why.includes('第 3 行') && !/--|[a-z]{4}/.test(why), why);
    await page.locator('[data-testid=planned-conflicting] input').uncheck();
    await judge(page, 'a plan with a conflict');
    await page.locator('[data-testid=planned-conflicting] input').check();
    return why;
  });
  await check('a failed row says why in the page’s language', async () => {
    await id('tab-failed').click();
    const why = await page.locator('[data-testid=planned-failed] .why').innerText();
    must(why.includes('缺少答案'), why);
    await judge(page, 'a plan with a failed row');
    return why;
  });
  await check('a row is left out, the report is a file, and the rest is written', async () => {
    await id('tab-added').click();
    await page.locator('[data-testid=planned-added] input').nth(1).uncheck();
    await judge(page, 'a plan with a row left out');
    for (const width of [1280, 360]) {
      await resize(page, width, 860);
      const two = await broken(page.locator('.meta dt'));
      must(!two.length, `squeezed by what stands beside them at ${width}: ${two.join(' ')}`);
    }
    await resize(page, 1280, 860);
    const label = await reads(id('apply'), /^确认：修改 1 条、新增 3 条$/);
    for (const away of [page.locator('.rail a[href="#/overview"]'), id('other-files')]) {
      await away.click();
      await id('stay').click();
    }
    const [report] = await Promise.all([page.waitForEvent('download'), id('report').click()]);
    must(report.suggestedFilename().endsWith('-report.csv'), report.suggestedFilename());
    const told = readFileSync(await report.path(), 'utf8');
    const failed = told.split('\r\n').find((row) => row.includes('没有答案的一行'));
    must(told.startsWith('\ufeff') && failed?.includes('缺少答案') && failed.includes('表格.csv') && failed.includes(",'=没有答案的一行") && /,6,/.test(failed), `the report says of the failed row: ${failed}`);
    must(!/(^|,)[=+@-]/m.test(told.replaceAll(/"[^"]*"/g, '')), 'a cell that a spreadsheet would run');
    const plan = new URLSearchParams(new URL(page.url()).hash.split('?')[1]).get('plan');
    must(plan?.startsWith('im_'), `the plan is not in the address: ${page.url()}`);
    await id('apply').click();
    await id('applied').waitFor();
    await judge(page, 'an import written');
    const there = await (await api('GET', `/knowledge/entries?q=${RUN}`)).json();
    must(there.total === 4, `${there.total} rows of the sheet are there`);
    return label;
  });
  await check('what would be deleted stands on the button, is asked about, and comes back as a whole', async () => {
    const source = `source-${RUN}`;
    for (const n of [1, 2, 3]) await api('POST', '/knowledge/entries', { id: `${RUN}-old-${n}`, question: `旧条目 ${n} ${RUN} 是什么？`, answer: `旧答案 ${n} ${RUN}。`, similar: [`另一种问法 ${n} ${RUN}`], source });
    const form = new FormData();
    form.append('source', source);
    form.append('replace_source', 'true');
    form.append('file', new Blob([`id,question,answer\n${RUN}-old-1,旧条目 1 ${RUN} 是什么？,新答案 ${RUN}。\n`]), 'new.csv');
    const { id: plan } = await (await fetch(`${base}/api/v1/knowledge/imports`, { method: 'POST', headers: { authorization: `Bearer ${key}` }, body: form })).json();
    await open(page, `import?plan=${plan}`, 'plan');
    await id('tab-deleted').click();
    const ask = id('plan').getByTestId('ask-first');
    const label = await ask.innerText();
    must(['删除 2 条', '修改 1 条'].every((part) => label.includes(part)), label);
    await ask.click();
    await judge(page, 'the question before deleting');
    const count = async () => (await (await api('GET', `/knowledge/entries?source=${source}`)).json()).total;
    must((await count()) === 3, 'it was written before the question was answered');
    await id('sure').click();
    await id('applied').waitFor();
    const said = await id('applied').innerText();
    must((await count()) === 1 && said.includes('删除 2 条'), said);
    const kept = await (await api('GET', `/knowledge/entries/${RUN}-old-1`)).json();
    must(kept.similar.length === 1 && kept.answer.startsWith('新答案'), 'the similar questions of a changed row are gone');
    await id('applied').getByTestId('ask-first').click();
    await id('sure').click();
    await page.getByText('已撤回这次导入').waitFor();
    must((await count()) === 3, `${await count()} are there after the undo`);
    await judge(page, 'an import taken back');
    return `${label} · ${(await id('applied').locator('p').first().innerText())}`;
  });
  await check('a row held back shows what it would be written over, before and after', async () => {
    const mine = { id: `${RUN}-mine`, question: `我自己的问题 ${RUN} 是什么？`, answer: `我的答案 ${RUN}。`, similar: [`我的另一种问法 ${RUN}`], category: '我的分类' };
    await api('POST', '/knowledge/entries', mine);
    await api('POST', '/knowledge/entries', { id: `${RUN}-moon`, question: `月亮多远 ${RUN}？`, answer: `38 万公里 ${RUN}。` });
    const form = new FormData();
    form.append('file', new Blob([`id,question,similar,answer,category\n${mine.id},月亮多远 ${RUN}？,,39 万公里 ${RUN}。,\n`]), 'over.csv');
    const { id: plan } = await (await fetch(`${base}/api/v1/knowledge/imports`, { method: 'POST', headers: { authorization: `Bearer ${key}` }, body: form })).json();
    await open(page, `import?plan=${plan}`, 'plan');
    await id('tab-conflicting').click();
    const row = page.getByTestId('planned-conflicting');
    await row.waitFor();
    const gone = (await row.locator('del').allInnerTexts()).join(' ');
    must([mine.similar[0], mine.category].every((text) => gone.includes(text)), `what is written over is not shown: ${await row.innerText()}`);
    must((await row.locator('table').count()) === 2 && (await row.innerText()).includes(mine.id), await row.innerText());
    await judge(page, 'a row that would be written over another');
    await shot(page, 'import-over');
    await row.locator('input').check();
    await reads(id('apply'), /^确认：修改 1 条$/);
    await id('apply').click();
    await id('applied').waitFor();
    const now = await (await api('GET', `/knowledge/entries/${mine.id}`)).json();
    must(now.similar.length === 0 && !now.category, 'what was shown is not what was written');
  });
  await check('a file that cannot be read is refused in words', async () => {
    await open(page, 'import', 'files');
    await id('files').setInputFiles({ name: 'picture.png', mimeType: 'image/png', buffer: Buffer.from([0x89, 0x50, 0x4e, 0x47]) });
    await page.locator('[data-testid=import-problem], [data-testid=plan]').first().waitFor();
    must((await id('import-problem').count()) || (await page.getByRole('tab', { name: /读不出/ }).count()), 'it was taken');
    await judge(page, 'a file refused');
  });
}

async function conversations(page) {
  const id = (name) => page.getByTestId(name);
  const question = `火星仓 ${RUN} 的入库预约要提前几天？`;
  await check('an answer with headings and code is read without a gap between its headings', async () => {
    await api('POST', '/knowledge/entries', { question: `土星仓 ${RUN} 怎么入库？`, answer: `土星仓 ${RUN} 这样入库。\n\n# 准备\n\n#### 单据\n\n\`\`\`\n箱单 ${RUN}\n\`\`\``, direct: true });
    await ask(`土星仓 ${RUN} 怎么入库？`);
    await open(page, `conversations?q=${encodeURIComponent(`土星仓 ${RUN}`)}`, 'rows');
    await page.locator('[data-testid=rows] a').first().click();
    await id('turn').first().waitFor();
    await until(async () => (await id('turn').locator('.md h3').allInnerTexts()).join() === '准备,单据', 'no headings');
    await judge(page, 'a conversation with headings and code');
    await id('close').click();
  });
  const done = await ask(question);
  await api('POST', '/feedback', { response_id: done.response_id, rating: 'down', reasons: ['wrong'], comment: `${EVIL} 不对` });
  await check('a conversation is found by rating and read with its comment', async () => {
    await open(page, 'conversations', 'rows');
    await id('filter-rating').selectOption('down');
    await page.waitForURL(/rating=down/);
    await page.locator('[data-testid=rows] a').filter({ hasText: RUN }).first().click();
    await id('turn').first().waitFor();
    must((await page.locator('[data-testid=rows] tr.open a[aria-current=true]').innerText()).includes(RUN), 'the open row is not marked');
    await page.getByText('不正确').first().waitFor();
    must(!(await page.evaluate(() => window.hit)), 'the hostile comment ran');
  });
  await check('a row far down the list stays in sight when it is opened', async () => {
    for (let n = 0; n < 24; n++) await ask(`火星仓 ${RUN} 的第 ${n} 个问题？`);
    await id('close').click();
    await open(page, `conversations?q=${RUN}`, 'rows');
    await calm(page);
    await page.locator('[data-testid=rows] tbody a').nth(20).scrollIntoViewIfNeeded();
    await page.locator('[data-testid=rows] tbody a').nth(20).click();
    await id('turn').first().waitFor();
    await calm(page);
    const box = await page.locator('[data-testid=rows] tr.open').boundingBox();
    must(box.y >= 0 && box.y + box.height <= 860, `the open row is at ${box.y}`);
    await shot(page, 'conversation-far');
    await open(page, 'conversations?rating=down', 'rows');
    await page.locator('[data-testid=rows] a').filter({ hasText: RUN }).first().click();
    await id('turn').first().waitFor();
  });
  await check('the trace shows what was searched and found', async () => {
    await id('trace').first().click();
    await id('trace-body').waitFor();
    await shot(page, 'conversation');
    for (const [width, height] of [[1440, 900], [320, 640], [1280, 860]]) {
      await resize(page, width, height);
      await page.locator(`[data-testid=side][role=${width <= 760 ? 'dialog' : 'complementary'}]`).waitFor();
      await calm(page);
      const out = await page.evaluate(() => {
        const side = document.querySelector('[data-testid=side]').getBoundingClientRect();
        return [...document.querySelectorAll('[data-testid=side] td.fused, [data-testid=side] td.fused *')].filter((one) => one.getBoundingClientRect().right > side.right + 1).length;
      });
      must(out === 0, `${out} parts of the confidence are outside the panel at ${width}`);
      await judge(page, `a conversation with its trace at ${width}`);
    }
  });
  await check('a wrong answer is put right through the plan, and asked again', async () => {
    await id('correct').first().click();
    await id('target').selectOption('new');
    await page.waitForFunction((question) => document.querySelector('[data-testid=right-question]')?.value === question, question);
    await id('right-answer').fill(`火星仓 ${RUN} 的入库预约要提前 7 天。`);
    await id('correcting').getByRole('button', { name: '取消' }).click();
    await id('stay').click();
    await judge(page, 'a correction');
    await id('look').click();
    await id('plan').waitFor();
    const said = await id('plan').innerText();
    must(!/console\.jsonl|文件|报告|第 1 行/.test(said), `a file is named where there is none: ${said}`);
    await judge(page, 'the plan of a correction');
    await id('apply').click();
    await id('ask-again').click();
    await page.locator('[data-testid=new-answer][data-done=true]').waitFor();
    const answer = await id('new-answer').innerText();
    must(answer.includes('7 天'), answer);
    await shot(page, 'corrected');
    return answer.replaceAll('\n', ' ');
  });
  await check('an entry is kept from a question that it does not answer', async () => {
    await api('POST', '/knowledge/entries', { question: `金星仓 ${RUN} 怎么预约入库？`, answer: `金星仓 ${RUN} 在后台的仓库页预约。` });
    await ask(`金星仓 ${RUN} 怎么预约参观？`);
    await id('close').click();
    await open(page, 'conversations', 'rows');
    await id('find').fill('预约参观');
    await page.waitForURL((url) => decodeURIComponent(url.href).includes('预约参观'));
    await calm(page);
    await page.locator('[data-testid=rows] a').filter({ hasText: '预约参观' }).first().click();
    await id('turn').first().waitFor();
    await id('correct').first().click();
    await reads(id('target').locator('option').first(), '金星仓');
    await id('kept-from').check();
    await id('right-answer').waitFor({ state: 'detached' });
    await judge(page, 'keeping an entry from a question');
    await id('look').click();
    await id('apply').click();
    await id('ask-again').click();
    await page.locator('[data-testid=new-answer][data-done=true]').waitFor();
    const answer = await id('new-answer').innerText();
    must(!answer.includes('仓库页'), answer);
    return answer.replaceAll('\n', ' ').slice(0, 60);
  });
  await check('an answer that is put right lifts the ban: the entry answers that question again', async () => {
    await id('correcting').getByRole('button', { name: '关闭' }).click();
    await id('correcting').waitFor({ state: 'detached' });
    await id('correct').first().click();
    await page.waitForFunction(() => document.querySelector('[data-testid=right-answer]')?.value.includes('仓库页'));
    const { entries } = await (await api('GET', `/knowledge/entries?q=${encodeURIComponent(`金星仓 ${RUN}`)}`)).json();
    must(entries.length === 1 && entries[0].not.length === 1, `there is no ban to lift: ${JSON.stringify(entries)}`);
    await id('right-answer').fill(`金星仓 ${RUN} 每周三可以参观，在仓库页预约。`);
    await id('look').click();
    await id('plan').waitFor();
    await id('apply').click();
    await id('ask-again').click();
    await page.locator('[data-testid=new-answer][data-done=true]').waitFor();
    const answer = await id('new-answer').innerText();
    must(answer.includes('每周三'), answer);
    const lifted = await (await api('GET', `/knowledge/entries/${encodeURIComponent(entries[0].id)}`)).json();
    must(!lifted.not?.length && lifted.similar.some((phrasing) => phrasing.includes('参观')), JSON.stringify(lifted));
    return answer.replaceAll('\n', ' ').slice(0, 60);
  });
  await check('nothing found says what to do', async () => {
    await id('close').click();
    await id('find').fill('绝对没有人说过的话');
    await id('no-rows').waitFor();
    await judge(page, 'no conversation found');
    await open(page, `knowledge?q=${encodeURIComponent('绝对没有人写过的话')}`, 'no-rows');
    await judge(page, 'no entry found');
  });
}

async function access(page) {
  const id = (name) => page.getByTestId(name);
  await check('models are shown with health and prices', async () => {
    await open(page, 'access', 'models');
    return (await id('models').locator('tbody tr').first().innerText()).replaceAll(/\s+/g, ' ');
  });
  await check('a site key needs a page', async () => {
    await id('issue').click();
    const said = await id('issue-problem').innerText();
    must(said.includes('网页地址'), said);
    await judge(page, 'a key that is not issued');
  });
  let secret;
  await check('a site key is issued with the line to copy', async () => {
    await id('label').fill('测试页面');
    await id('origins').fill('https://shop.example.com\nhttps://*.example.net');
    await id('issue').click();
    const line = await id('snippet').innerText();
    secret = /data-key="(site_\w+)"/.exec(line)?.[1];
    must(secret && line.includes(`${base}/widget.js`), line);
    await judge(page, 'a key just issued');
    await shot(page, 'key');
  });
  await check('it opens the door, and no longer once it is revoked', async () => {
    const knock = () => fetch(`${base}/api/v1/conversations`, { headers: { authorization: `Bearer ${secret}`, origin: 'https://shop.example.com' } }).then((reply) => reply.status);
    must((await knock()) === 200, 'the new key is refused');
    const row = id('keys').locator('tr').filter({ hasText: '测试页面' }).first();
    await row.getByTestId('ask-first').click();
    await judge(page, 'the question before a key is revoked');
    await row.getByTestId('sure').click();
    await id('toast').waitFor();
    must((await knock()) === 401, 'the revoked key still works');
  });
}

async function tryIt(page) {
  const id = (name) => page.getByTestId(name);
  await check('other settings are tried side by side', async () => {
    await open(page, `try?${new URLSearchParams({ q: '被扣分了怎么申诉？' })}`, 'columns');
    await id('compare').click();
    await id('variant').getByTestId('set-grounded_threshold').fill('1');
    await id('variant').locator('[data-decision=none]').waitFor();
  });
  await check('a model answers, and the very prompt can be read', async () => {
    await id('answer').first().click();
    await page.locator('[data-testid=model-answer][data-done=true]').first().waitFor({ timeout: 40_000 });
    await id('prompt').first().click();
    await page.locator('.prompt pre').first().waitFor();
    await shot(page, 'try');
    await judge(page, 'a question tried, answered, with its prompt');
    const headers = await id('hits').locator('th').allInnerTexts();
    must(headers.some((text) => text.includes('排序分')) && headers.some((text) => text.includes('按意思')), headers.join(' '));
  });
  await check('what is used stands above the line, the rest below it', async () => {
    for (const [market, days] of [['JP', 3], ['DE', 9]]) await api('POST', '/knowledge/entries', { id: `${RUN}-${market}`, question: `水星仓 ${RUN} 几天到？`, answer: `水星仓 ${RUN} 要 ${days} 天。`, market });
    // As it comes when ranks and confidence do not agree.
    await page.route('**/knowledge/search?*', async (route) => {
      const reply = await route.fetch();
      const found = await reply.json();
      found.hits.forEach((hit, i) => Object.assign(hit, i === 1 ? { passed: true } : { passed: false, reason: 'confidence 0.20 is below 0.28' }));
      await route.fulfill({ response: reply, json: found });
    });
    await open(page, `try?${new URLSearchParams({ q: `水星仓 ${RUN} 几天到？` })}`, 'keep');
    await id('hits').getByText('门槛以下').waitFor();
    const rows = await id('hits').locator('tbody tr').evaluateAll((rows) => rows.map((row) => (row.classList.contains('cut') ? '|' : row.querySelector('.place').textContent)).join(' '));
    must(rows.startsWith('2 | 1 3'), rows);
    await page.unroute('**/knowledge/search?*');
    return rows;
  });
  await check('two rows with one question are told apart where a case is kept', async () => {
    await id('keep').click();
    await id('labels').locator('label').first().waitFor();
    const said = (await id('labels').locator('label').allInnerTexts()).filter((text) => text.includes('水星仓')).join(' ');
    must(['JP', 'DE', '3 天', '9 天'].every((part) => said.includes(part)), said);
    await judge(page, 'an evaluation case with twins');
    await shot(page, 'case-twins');
    return said.replaceAll('\n', ' ');
  });
}

async function prompts(page) {
  const id = (name) => page.getByTestId(name);
  const line = `语气要亲切 ${RUN}。`;
  let text;
  await check('a prompt is linted as it is typed', async () => {
    await open(page, 'prompts?name=answer.zh', 'prompt-text');
    text = await id('prompt-text').inputValue();
    await id('prompt-text').fill(`${text}\n{{ nobody }}`);
    await id('findings').locator('.error').first().waitFor();
    await until(() => id('publish').isDisabled(), 'a wrong prompt can be published');
    const said = await reads(id('findings').locator('.error').first(), '没有声明');
    await page.locator('details.variables summary').click();
    await judge(page, 'a prompt with an error, and its variables');
    await page.locator('.rail a[href="#/overview"]').click();
    await id('stay').click();
    must((await id('prompt-text').inputValue()).includes('nobody'), 'the typed prompt is gone');
    return said;
  });
  await check('it is previewed on a real question before it is in force', async () => {
    await id('prompt-text').fill(`${text}\n${line}`);
    await id('trial-question').fill('被扣分了怎么申诉？');
    await page.waitForFunction(() => !document.querySelector('[data-testid=trial]').disabled && !document.querySelector('.findings .error'));
    await id('trial').click();
    await id('preview').getByText(line).waitFor();
    await id('trial-question').fill('怎么用量子计算机煮鸡蛋？');
    await id('trial').click();
    await id('no-model').getByText('没有相关内容').waitFor();
    await id('trial-question').fill('被扣分了怎么申诉？');
    await id('trial').click();
    await id('no-model').waitFor({ state: 'detached' });
    await judge(page, 'a prompt previewed');
    await shot(page, 'prompt');
  });
  await check('it is published, compared, and rolled back', async () => {
    await id('publish').click();
    await page.getByText('已发布').waitFor();
    await id('publish-0').waitFor();
    await until(async () => (await id('prompt-text').inputValue()).includes(line), 'the published text is not there');
    await page.locator('li:has([data-testid=publish-0]) summary').click();
    await page.locator('del').filter({ hasText: RUN }).first().waitFor();
    await judge(page, 'what differs between two versions of a prompt');
    await id('publish-0').click();
    await page.waitForFunction((text) => document.querySelector('[data-testid=prompt-text]')?.value === text, text);
  });
}

async function overview(page) {
  await check('the overview counts what was asked, with a table for who cannot see the charts', async () => {
    await open(page, 'overview', 'charts');
    const figures = await page.getByTestId('figures').locator('dd').allInnerTexts();
    must(Number(figures[0].replaceAll(',', '')) > 0, figures.join(' '));
    await page.getByTestId('as-table').click();
    await until(async () => (await page.locator('[data-testid=by-day] tbody tr').count()) === 30, 'not every day is in the table');
    for (const width of [360, 1280]) {
      await resize(page, width, 860);
      const two = await broken(page.locator('[data-testid=by-day] thead th'));
      must(!two.length, `heads of more than a line at ${width}: ${two.join(' ')}`);
      await judge(page, `the figures as a table at ${width}`);
    }
    await page.getByTestId('top').getByText(RUN).first().waitFor();
    await page.getByTestId('figures').getByRole('link', { name: '出错或中断' }).click();
    await page.waitForURL(/conversations\?outcome=unfinished/);
    await page.getByTestId('rows').or(page.getByTestId('no-rows')).waitFor();
    await until(async () => (await page.getByTestId('filter-kind').inputValue()) === 'unfinished', 'the list is not narrowed down');
    return figures.join(' · ').replaceAll('\n', ' ');
  });
  await check('figures of one channel lead to the conversations of that channel', async () => {
    await open(page, 'overview', 'charts');
    const channel = await page.getByTestId('channel').locator('option').nth(1).getAttribute('value');
    await page.getByTestId('channel').selectOption(channel);
    await page.waitForURL((url) => url.hash.includes(`channel=${channel}`));
    await page.locator(`[data-testid=figures] a[href*="channel=${channel}"]`).first().waitFor();
    const links = await page.getByTestId('figures').locator('a').evaluateAll((links) => links.map((link) => link.getAttribute('href')));
    must(links.length === 3 && links.every((link) => link.includes(`channel=${channel}`)), links.join(' '));
    await page.getByTestId('figures').getByRole('link', { name: '出错或中断' }).click();
    await page.waitForURL((url) => url.hash.includes('outcome=unfinished') && url.hash.includes(`channel=${channel}`));
    await page.getByTestId('rows').or(page.getByTestId('no-rows')).waitFor();
    must((await page.getByTestId('filter-channel').inputValue()) === channel, 'the list is not narrowed down to the channel');
    return channel;
  });
}

const PAGES = [
  ['overview', 'overview', 'charts'],
  ['knowledge', 'knowledge', 'rows'],
  ['import', 'import', 'files'],
  ['try', `try?${new URLSearchParams({ q: '被扣分了怎么申诉？' })}`, 'hits'],
  ['prompts', 'prompts?name=answer.zh', 'prompt-text'],
  ['conversations', 'conversations', 'rows'],
  ['access', 'access', 'keys'],
];

async function everywhere(browser) {
  const screens = [['phone', { width: 360, height: 740 }], ['tablet', { width: 768, height: 1024 }], ['desktop', { width: 1280, height: 860 }]];
  for (const [screen, viewport] of screens) {
    const page = await signIn(browser, base, key, { viewport });
    for (const lang of ['zh', 'en']) {
      await page.getByRole('button', { name: lang === 'zh' ? '中文' : 'English' }).click();
      for (const [name, path, marker] of PAGES) {
        await check(`${name} in ${lang} on a ${screen}: axe-core, and nothing too wide`, async () => {
          const found = [];
          for (const colorScheme of ['light', 'dark']) {
            await page.emulateMedia({ colorScheme });
            await open(page, path, marker);
            await calm(page);
            found.push(...(await violations(page)), await overflow(page));
            if (colorScheme === 'light') await shot(page, `${name}-${screen}-${lang}`);
            else if (lang === 'zh') await shot(page, `${name}-${screen}-dark`);
          }
          must(!found.some(Boolean), found.filter(Boolean).join(' | '));
        });
      }
    }
    await check(`filters on a ${screen}: axe-core, and nothing too wide`, async () => {
      for (const path of ['knowledge', 'conversations']) {
        await open(page, path, 'rows');
        if (await page.getByTestId('more-filters').isVisible()) await page.getByTestId('more-filters').click();
        must(await page.locator('.filters .choice').first().isVisible(), `${path}: no filter is shown`);
        await judge(page, `the filters of ${path} on a ${screen}`);
      }
    });
    await check(`an open entry on a ${screen}: axe-core, nothing too wide, what it covers is inert, and Escape gives the focus back`, async () => {
      await open(page, 'knowledge', 'rows');
      await page.locator('[data-testid=rows] tbody a').first().click();
      await page.getByTestId('answer').waitFor();
      await calm(page);
      const found = [...(await violations(page)), await overflow(page)].filter(Boolean);
      await page.waitForFunction((covered) => !!document.querySelector('.list').inert === covered, viewport.width <= 760);
      await shot(page, `entry-${screen}`);
      await focused(page, 'side');
      await page.keyboard.press('Escape');
      await focused(page, 'rows');
      must(!found.length, found.join(' | '));
    });
    await page.context().close();
  }
  const page = await signIn(browser, base, key);
  await check('nothing is too wide between a phone and a desktop, nor on the smallest phone', async () => {
    const wide = [];
    for (const lang of ['English', '中文']) {
      await page.getByRole('button', { name: lang }).click();
      for (const [name, path, marker] of PAGES) {
        await open(page, path, marker);
        for (const width of [320, 700, 834, 900, 1024, 1120]) {
          await resize(page, width, 900);
          const found = await overflow(page);
          if (found) wide.push(`${name} ${lang} ${width}: ${found}`);
        }
      }
    }
    must(!wide.length, wide.join(' | '));
  });
  await page.context().close();
}

if (shots) mkdirSync(shots, { recursive: true });
const browser = await launch();
const overdue = setTimeout(() => {
  console.log(`FAIL  not done after ${LIMIT / 1000} s`);
  process.exit(1);
}, LIMIT);
try {
  await openTab(browser, base, key);
  const page = await signIn(browser, base, key);
  await page.getByRole('button', { name: '中文' }).click();
  await knowledge(page);
  await imports(page);
  await pastImports(page, { base, key, api, RUN, judge, shot });
  await conversations(page);
  await access(page);
  await tryIt(page);
  await askingAgain(page, { base });
  await prompts(page);
  await overview(page);
  await page.context().close();
  await everywhere(browser);
  await check('axe-core and the width in every state the checks went through', async () => must(!states.length, [...new Set(states)].join(' | ')));
  await check('no errors in the browser’s console', async () => must(!tally.complaints.length, tally.complaints.join(' | ')));
  await check('nothing was asked of another host', async () => must(!tally.foreign.length, tally.foreign.join(' ')));
} catch (error) {
  tally.failures++;
  console.log(`FAIL  ${error.message}`);
} finally {
  clearTimeout(overdue);
  await browser.close();
}
finish();
