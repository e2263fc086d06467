// The console's try-it columns, rows changed in their place, the dictionary, the safety log and what a conversation
// came to, in a real browser against a server of its own; then every page when it is empty, loading, failing, out of
// reach, limited or forbidden, the door, and texts that attack:
//   node e2e/lab.mjs <merchant-copilot> [screenshot-dir]
// axe-core in each state, light and dark, and nothing wider than the screen. DIST=1 takes the pages from dist/.

import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { calm, check, finish, focused, go, judge, launch, must, reads, signIn, tally, until } from './desk.mjs';
import { startServer } from './embed/house.mjs';
import { MODELS, startProvider } from './embed/provider.mjs';
import { gate } from './lab/gate.mjs';
import { hostility } from './lab/hostile.mjs';

const [given, shots] = process.argv.slice(2);
const LIMIT = 1_500_000;
const QUESTION = '被扣分了怎么申诉？';

const provider = await startProvider();
const server = await startServer(realpathSync(given), {
  env: {
    OPENAI_API_KEY: 'sk-check', OPENAI_BASE_URL: provider.url, OPENAI_MODEL: MODELS.join(','), COPILOT_MODELS__DEFAULT: 'builtin',
    COPILOT_MODELS__FIRST_TOKEN_MS: '120000', COPILOT_MODELS__STALL_MS: '120000', // answers are held while a check looks at them
    COPILOT_MODELS__BREAKER_FAILURES: '0', COPILOT_LIMITS__KEY_PER_MINUTE: '6000', COPILOT_LIMITS__ADDRESS_PER_MINUTE: '6000',
  },
});
const base = server.url;
const key = await server.issue('--role', 'admin');
const shot = (page, name) => shots && page.screenshot({ path: join(shots, `console-${name}.png`) });
const open = (page, path, marker) => go(page, `${base}/console/#/${path}`, marker);
const api = async (method, path, body, token = key) => {
  const reply = await fetch(`${base}/api/v1${path}`, { method, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: body && JSON.stringify(body) });
  return reply.text();
};
const ask = (text, model) => api('POST', '/chat', { text, model, client_msg_id: crypto.randomUUID() });

async function columns(page) {
  const id = (name) => page.getByTestId(name);
  const variant = (n) => id('variant').nth(n);
  await check('each setting shows the prompt it would ask, its tokens and its price', async () => {
    await open(page, `try?${new URLSearchParams({ q: QUESTION })}`, 'columns');
    const said = await reads(id('in-force').getByTestId('prompt'), /answer\.zh.*[\d,]+ 个 token.*免费/s);
    await id('in-force').getByTestId('prompt').click();
    await id('in-force').locator('.prompt pre').first().waitFor();
    return said.replace(/\s+/g, ' ');
  });
  await check('weight, fusion and threshold are changed in place, up to three settings beside', async () => {
    await id('compare').click();
    await variant(0).getByTestId('set-fusion').selectOption('rrf');
    await until(() => variant(0).getByTestId('set-weight').isDisabled(), 'the weight still counts');
    await id('compare').click();
    await variant(1).getByTestId('set-fusion').selectOption('weighted');
    await variant(1).getByTestId('set-grounded_threshold').fill('1');
    await variant(1).locator('[data-decision=none]').waitFor();
    await id('compare').click();
    await variant(2).getByTestId('set-grounded_threshold').fill('0.1');
    await variant(2).locator('[data-decision=grounded]').waitFor();
    await until(async () => (await id('compare').count()) === 0, 'a fourth could be added');
  });
  await check('another version of the prompt and another model: the prompt shown is theirs, and so is the answer', async () => {
    const { text } = JSON.parse(await api('GET', '/prompts/answer.zh'));
    const saved = JSON.parse(await api('POST', '/prompts/answer.zh/versions', { text: text.replace('## Output', '语气像老朋友。\n\n## Output'), note: '亲切一点' }));
    await page.reload();
    await id('columns').waitFor();
    await id('compare').click();
    await until(async () => (await variant(0).getByTestId('set-template').locator('option').count()) === 3, 'the version cannot be chosen');
    await variant(0).getByTestId('set-template').selectOption(String(saved.version));
    await variant(0).getByTestId('set-model').selectOption('quick');
    await until(async () => /quick/.test(await variant(0).getByTestId('prompt').innerText()), 'the model is not told');
    await variant(0).getByTestId('prompt').click();
    await variant(0).locator('.prompt pre').filter({ hasText: '语气像老朋友' }).first().waitFor();
    await id('answer-all').click();
    await until(async () => (await page.locator('[data-testid=model-answer][data-done=true]').count()) === 2, 'not both answered', 40_000);
    must((await page.locator('[data-testid=model-answer] [role=alert]').count()) === 0, 'one failed');
    const [told] = JSON.parse(await api('GET', '/conversations?channel=console&limit=1')).conversations;
    must(told?.title === QUESTION, 'what was asked is not among the conversations');
    const inForce = JSON.parse(await api('GET', '/prompts/answer.zh'));
    must(!inForce.text.includes('语气像老朋友'), 'what was tried is in force');
    await judge(page, 'settings side by side, answered');
    await variant(0).getByTestId('prompt').click();
    await id('columns').evaluate((part) => part.scrollIntoView());
    await shot(page, 'columns');
  });
  await check('it is asked again in place, and can be read while it is being answered', async () => {
    await variant(0).getByTestId('set-model').selectOption('slow');
    provider.upTo(15);
    await variant(0).getByTestId('answer').click();
    await page.locator('[data-testid=variant] [data-testid=model-answer][data-done=false] .md').waitFor();
    await judge(page, 'an answer in the middle');
    must((await page.locator('[data-testid=variant] [data-testid=model-answer][data-done=false]').count()) === 1, 'it was over already');
    provider.upTo();
    await page.locator('[data-testid=variant] [data-testid=model-answer][data-done=true]').waitFor({ timeout: 40_000 });
  });
}

async function rows(page) {
  const id = (name) => page.getByTestId(name);
  const form = (name) => id('row-form').getByTestId(name);
  await check('a row is changed in its place by keyboard alone, and taken back', async () => {
    await open(page, 'knowledge', 'rows');
    const links = page.locator('[data-testid=rows] tbody a');
    await links.first().focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('F2');
    await form('row-question').waitFor();
    await until(() => form('row-question').evaluate((box) => document.activeElement === box), 'the focus is not in the question');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Control+End');
    await page.keyboard.type(' 改在表里');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Control+A');
    await page.keyboard.type('新分类');
    await judge(page, 'a row being changed');
    await shot(page, 'row-form');
    await page.keyboard.press('Control+Enter');
    await id('toast').waitFor();
    const row = page.locator('[data-testid=rows] tbody tr').nth(1);
    await row.getByText('改在表里').waitFor();
    await until(async () => (await row.innerText()).includes('新分类'), 'the category is not shown');
    await focused(page, 'rows');
    await id('undo').focus();
    await page.keyboard.press('Enter');
    await until(async () => !(await row.innerText()).includes('改在表里'), 'it is not taken back');
  });
  await check('what is wrong with a row is told in it, and Escape asks before it leaves it as it was', async () => {
    await page.locator('[data-testid=rows] tbody tr').first().hover();
    await id('edit-row').first().click();
    await form('row-from').fill('昨天');
    await form('row-save').click();
    await reads(form('row-problem'), '日期');
    await judge(page, 'a row with a wrong date');
    await form('row-from').press('Escape');
    await id('stay').click();
    await id('leaving').waitFor({ state: 'hidden' });
    must((await form('row-from').inputValue()) === '昨天', 'what was typed is gone');
    await form('row-from').press('Escape');
    await id('leave').click();
    await id('row-form').waitFor({ state: 'detached' });
    await focused(page, 'rows');
  });
  await check('what is typed in a row stays when the list is narrowed down', async () => {
    await id('edit-row').first().click();
    const typed = `${await form('row-answer').inputValue()} 没保存`;
    await form('row-answer').fill(typed);
    await id('find').fill('没有这样的词');
    await page.waitForURL(/q=/);
    await calm(page);
    must((await form('row-answer').inputValue()) === typed, 'it is gone');
    await page.locator('.rail a[href="#/overview"]').click();
    await id('leaving').waitFor();
    await id('stay').click();
    await form('row-cancel').click();
  });
}

async function dictionary(page) {
  const id = (name) => page.getByTestId(name);
  await check('the shop’s words are written, counted, saved, and taken back', async () => {
    await open(page, 'knowledge', 'rows');
    await id('to-words').click();
    await id('word-lines').waitFor();
    await judge(page, 'no words yet');
    await id('word-lines').fill('年货节\n保证金, 押金, 质保金\n');
    await reads(id('word-counts'), '1 组');
    await id('save-words').click();
    await id('undo').waitFor();
    await until(async () => JSON.parse(await api('GET', '/knowledge/words')).synonyms.length === 1, 'not stored');
    await until(async () => (await id('word-lines').inputValue()).includes('押金'), 'not shown');
    await judge(page, 'words saved');
    await shot(page, 'words');
    // The toast is the only way back, so it comes along to another page.
    await page.locator('.rail a[href="#/overview"]').click();
    await page.locator('h1').getByText('总览').waitFor();
    await id('undo').click();
    await id('toast').getByText('已撤销').waitFor();
    must(JSON.parse(await api('GET', '/knowledge/words')).synonyms.length === 0, 'not taken back');
    await open(page, 'words', 'word-lines');
  });
  await check('words that somebody else wrote in the meantime stay', async () => {
    await id('word-lines').fill('年货节');
    // What the page reads after it has saved is its own: somebody else writes after that.
    const seen = page.waitForResponse((reply) => reply.url().endsWith('/knowledge/words') && reply.request().method() === 'GET');
    await id('save-words').click();
    await id('undo').waitFor();
    await seen;
    await api('PUT', '/knowledge/words', { words: ['别人的词'], synonyms: [] });
    await id('undo').click();
    await id('toast').getByText('别人刚刚改过词典').waitFor();
    must(JSON.parse(await api('GET', '/knowledge/words')).words[0] === '别人的词', 'they are gone');
    await id('word-lines').fill('我的词');
    await id('save-words').click();
    await id('word-problem').getByText('别人刚刚改过词典').waitFor();
    must(JSON.parse(await api('GET', '/knowledge/words')).words[0] === '别人的词', 'they are gone');
    await api('PUT', '/knowledge/words', { words: [], synonyms: [] });
    await page.reload();
    await id('word-lines').waitFor();
  });
  await check('a word of two groups is refused in words', async () => {
    await until(async () => (await id('word-lines').inputValue()) === '', 'the words are still there');
    await id('word-lines').fill('一');
    await id('save-words').click();
    await reads(id('word-problem'), '至少 2 个字');
    await judge(page, 'a wrong word');
    await page.getByRole('button', { name: '放弃修改' }).click();
  });
}

async function went(page) {
  const id = (name) => page.getByTestId(name);
  await ask(QUESTION);
  await ask('怎么用量子计算机煮鸡蛋？');
  await ask(QUESTION, 'broken');
  await ask(QUESTION, 'breaks');
  await ask(`${QUESTION}我的手机 13800138000`);
  await check('conversations are found by how an answer went: refused, failed, broken off', async () => {
    await open(page, 'conversations', 'rows');
    const seen = [];
    for (const [kind, marker] of [['refused', '量子'], ['failed', '申诉'], ['incomplete', '申诉']]) {
      await id('filter-kind').selectOption(kind);
      await page.waitForURL(new RegExp(`outcome=${kind}`));
      let titles = [];
      const narrowed = async () => {
        await calm(page);
        titles = await page.locator('[data-testid=rows] tbody a').allInnerTexts();
        return titles.length >= 1 && titles.every((title) => title.includes(marker));
      };
      await until(narrowed, () => `${kind}: ${titles.join(' | ')}`);
      seen.push(`${kind} ${titles.length}`);
    }
    await judge(page, 'conversations by how they went');
    return seen.join(', ');
  });
  await check('the safety log tells what a guardrail did, and leads to the conversation', async () => {
    await id('to-safety').click();
    await id('verdicts').waitFor();
    await reads(id('verdicts'), '手机号');
    await judge(page, 'the safety log');
    await shot(page, 'safety');
    await page.getByRole('button', { name: '看这段对话' }).first().click();
    await id('turns').getByText('[手机号]').first().waitFor();
  });
  await check('what a model failed with is shown in the page’s language, and the provider’s own words behind it', async () => {
    await ask(QUESTION, 'unauthorized');
    await open(page, 'access', 'models');
    await until(async () => (await id('models').locator('tr', { hasText: 'openai' }).first().innerText()).includes('最近失败'), 'a refused key passes for health');
    const fault = id('models').getByTestId('fault').filter({ hasText: 'model_unauthorized' }).first();
    await reads(fault.locator('summary'), /出错：服务商不认模型的密钥/);
    must(!(await fault.locator('p').isVisible()), 'the provider’s own words are shown before they are asked for');
    await fault.locator('summary').click();
    await fault.locator('p').waitFor();
    await judge(page, 'what a model failed with');
    await shot(page, 'model-fault');
  });
}

const PAGES = ['overview', 'knowledge', `try?${new URLSearchParams({ q: QUESTION })}`, 'prompts', 'conversations', 'channels', 'access', 'words', 'safety'];

const said = (status, code) => (route) => route.fulfill({ status, contentType: 'application/json', body: JSON.stringify({ error: { code, message: 'no' } }) });
const WRONG = {
  loading: [() => undefined, '.skeleton', /./],
  failing: [said(500, 'internal'), '.problem', /服务出了问题/],
  'out of reach': [(route) => route.abort(), '.problem', /连不上服务/],
  limited: [said(429, 'rate_limited'), '.problem', /操作太频繁/],
  forbidden: [said(403, 'wrong_role'), '.problem', /没有管理权限/],
};

async function wrong(browser) {
  for (const [state, [answer, marker, expected]] of Object.entries(WRONG)) {
    await check(`${state}: every page says so, and axe-core finds nothing`, async () => {
      const page = await signIn(browser, base, key);
      await page.route(/\/api\/v1\/(?!session)/, answer);
      for (const path of [...PAGES, 'import']) {
        await page.goto(`${base}/console/#/${path}`);
        await page.reload();
        await page.locator(marker).first().waitFor();
        if (marker === '.problem') must(expected.test(await page.locator(marker).first().innerText()), `${path}: ${await page.locator(marker).first().innerText()}`);
        await judge(page, `${path} ${state}`);
      }
      await shot(page, `state-${state.replaceAll(' ', '-')}`);
      await page.unrouteAll({ behavior: 'ignoreErrors' });
      await page.context().close();
    });
  }
  await check('what did not load is tried again', async () => {
    const page = await signIn(browser, base, key);
    let dead = true;
    await page.route(/\/api\/v1\/knowledge\/entries/, (route) => (dead ? route.abort() : route.fallback()));
    await page.goto(`${base}/console/#/knowledge`);
    await page.locator('.problem').waitFor();
    dead = false;
    await page.locator('.problem button').click();
    await page.getByTestId('rows').waitFor();
    await page.context().close();
  });
  await check('empty: every page says what to do first, and axe-core finds nothing', async () => {
    await server.run('tenant', 'add', 'empty');
    const page = await signIn(browser, base, await server.issue('--role', 'admin', '--tenant', 'empty'));
    for (const lang of ['中文', 'English']) {
      await page.getByRole('button', { name: lang }).click();
      for (const path of PAGES) {
        await page.goto(`${base}/console/#/${path}`);
        await page.reload();
        await page.locator('h1').waitFor();
        await calm(page);
        await judge(page, `${path} empty, ${lang}`);
        await shot(page, `empty-${path.split('?')[0]}-${lang === '中文' ? 'zh' : 'en'}`);
      }
    }
    await page.context().close();
  });
}

async function small(browser) {
  for (const [screen, viewport] of [['phone', { width: 360, height: 740 }], ['smallest', { width: 320, height: 568 }], ['desktop', { width: 1440, height: 900 }]]) {
    for (const lang of ['zh', 'en']) {
      await check(`what is new fits a ${screen} in ${lang}`, async () => {
        const page = await signIn(browser, base, key, { viewport });
        await page.getByRole('button', { name: lang === 'zh' ? '中文' : 'English' }).click();
        await open(page, `try?${new URLSearchParams({ q: QUESTION })}`, 'columns');
        await page.getByTestId('compare').click();
        await calm(page);
        await page.getByTestId('columns').evaluate((part) => part.scrollIntoView());
        await judge(page, 'columns');
        await shot(page, `columns-${screen}-${lang}`);
        await open(page, 'knowledge', 'rows');
        await page.locator('[data-testid=rows] tbody a').first().focus();
        await page.keyboard.press('F2');
        await page.getByTestId('row-form').waitFor();
        await judge(page, 'a row being changed');
        await shot(page, `row-form-${screen}-${lang}`);
        await page.getByTestId('row-cancel').click();
        for (const [path, marker] of [['words', 'word-lines'], ['safety', 'verdicts'], ['conversations?outcome=failed', 'rows']]) {
          await open(page, path, marker);
          await judge(page, path);
          await shot(page, `${path.split('?')[0]}-${screen}-${lang}`);
        }
        await page.context().close();
      });
    }
  }
}

if (shots) mkdirSync(shots, { recursive: true });
const browser = await launch();
const overdue = setTimeout(() => {
  console.log(`FAIL  not done after ${LIMIT / 1000} s`);
  process.exit(1);
}, LIMIT);
try {
  const page = await signIn(browser, base, key);
  await page.getByRole('button', { name: '中文' }).click();
  const parts = { columns, rows, dictionary, went };
  for (const [name, part] of Object.entries(parts)) if (!process.env.E2E_ONLY || process.env.E2E_ONLY.split(',').includes(name)) await part(page);
  await page.context().close();
  const door = { browser, base, server, shot, member: await server.issue('--role', 'member') };
  for (const [name, part] of Object.entries({ gate, hostility })) if (!process.env.E2E_ONLY || process.env.E2E_ONLY.split(',').includes(name)) await part(door);
  for (const [name, part] of Object.entries({ wrong, small })) if (!process.env.E2E_ONLY || process.env.E2E_ONLY.split(',').includes(name)) await part(browser);
  // A page that is told no on purpose writes the status down.
  const complaints = tally.complaints.filter((one) => !/\b(403|429|500)\b|ERR_FAILED/.test(one));
  await check('no errors in the browser’s console', async () => must(!complaints.length, complaints.join(' | ')));
  await check('nothing was asked of another host', async () => must(!tally.foreign.length, tally.foreign.join(' ')));
} catch (error) {
  tally.failures++;
  console.log(`FAIL  ${error.message}`);
} finally {
  clearTimeout(overdue);
  await browser.close();
  await server.kill('SIGTERM');
  server.clear();
  provider.stop();
}
finish();
