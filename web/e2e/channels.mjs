// The console's channels and its evaluation set at work, in a real browser:
//   node e2e/channels.mjs <merchant-copilot> [screenshot-dir]
// Starts a server with bots and a receiver of events. Bots are seen waiting, ready and failing, and a test message
// is sent and refused; a delivery that was given up is sent again; questions are kept as cases, asked under the
// settings in force and under others. Then both pages in both languages on a phone and a desktop: axe-core, and
// nothing wider than the screen. DIST=1 takes the pages from dist/.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { calm, check, finish, focused, go, judge, launch, must, overflow, signIn, tally, until, violations } from './desk.mjs';
import { strangers } from './lab/hostile.mjs';
import { startHouse } from './platform.mjs';

const [binary, shots] = process.argv.slice(2);
const LIMIT = 900_000;
const EVIL = '<img src=x onerror="window.hit=1">';

// From the start: a bot asks at once, and then not again for a while.
const house = await startHouse(binary, EVIL);
const base = house.server.url;
const key = await house.server.issue('--role', 'admin');
const shot = (page, name) => shots && page.screenshot({ path: join(shots, `console-${name}.png`) });
const open = (page, path, marker) => go(page, `${base}/console/#/${path}`, marker);
const api = (method, path, body) =>
  fetch(`${base}/api/v1${path}`, { method, headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: body && JSON.stringify(body) });

async function channels(page) {
  const id = (name) => page.getByTestId(name);
  const bot = (name) => page.locator(`tr[data-bot="${name}"]`);
  /** The page shows what the server knew when it was asked: it is asked again until that is there. */
  const shown = (what, otherwise) =>
    until(async () => {
      await id('refresh').click();
      await calm(page);
      return what.count();
    }, otherwise);
  const seen = (name, text) => shown(bot(name).getByText(text), `${name} does not say ${text}`);
  const deliveries = (state) => page.locator(`[data-testid=deliveries] tr[data-state=${state}]`);
  await check('a bot that has heard nothing says what no platform can reach, and otherwise shows the address to enter', async () => {
    await open(page, 'channels', 'bots');
    const near = `${await id('unreachable').innerText()} ${await bot('dingtalk/support').innerText()}`;
    must(['还没有收到回调', base, 'public_url', 'mode = "stream"'].every((part) => near.includes(part)) && !near.includes('/webhooks/'), near);
    const outside = 'https://copilot.example.com';
    await page.route('**/api/v1/bots', async (route) => {
      const reply = await route.fetch();
      await route.fulfill({ response: reply, json: { ...(await reply.json()), base: outside } });
    });
    await shown(bot('dingtalk/support').getByText(`${outside}/webhooks/dingtalk/support`), 'there is no address to enter');
    await page.unroute('**/api/v1/bots');
    await id('refresh').click();
    await id('unreachable').waitFor();
  });
  await check('a forged callback is told, and makes it no better', async () => {
    must((await house.forge('你好')).status === 401, 'it was let in');
    await seen('dingtalk/support', '签名不对');
    must((await bot('dingtalk/support').innerText()).includes('还没有收到回调'), 'a forgery counts');
  });
  await check('a question in a group makes it fine', async () => {
    const { status, body } = await house.ask('跨境店保证金要交多少？');
    must(status === 200, JSON.stringify(body));
    await seen('dingtalk/support', '近 7 天 1 条');
    must((await bot('dingtalk/support').innerText()).includes('正常'), await bot('dingtalk/support').innerText());
  });
  await check('a line that cannot be opened says why, and the platform’s own words stay text', async () => {
    await seen('dingtalk/line', '调用失败');
    await seen('dingtalk/line', '平台出了问题');
    const fault = bot('dingtalk/line').getByTestId('fault');
    must(!(await fault.locator('p').isVisible()), 'the platform’s own words are shown before they are asked for');
    await fault.locator('summary').click();
    await fault.getByText(EVIL).waitFor();
    await judge(page, 'what a platform said');
  });
  await check('a bot with nobody on duty says so kindly', async () => {
    const said = await bot('wecom/shop').getByTestId('no-test').innerText();
    must(said.includes('没有设值班人'), said);
  });
  await check('a test message asks first, by keyboard alone, and arrives', async () => {
    const tests = () => house.platform.said.filter((text) => text.includes('测试消息'));
    await bot('dingtalk/support').getByTestId('ask-first').focus();
    await page.keyboard.press('Enter');
    await focused(page, 'sure');
    must(!tests().length, 'it was sent without asking');
    await page.keyboard.press('Enter');
    await id('toast').getByText('值班群').waitFor();
    must(tests().length === 1 && tests()[0].includes('support'), house.platform.said.join());
  });
  await check('what the platform refuses is said, and nobody is signed out', async () => {
    house.platform.refuse = 403;
    await bot('dingtalk/support').getByTestId('ask-first').click();
    await bot('dingtalk/support').getByTestId('sure').click();
    await id('test-problem').waitFor();
    await judge(page, 'a test message refused');
    await bot('dingtalk/support').getByText('调用失败').waitFor();
    await id('sign-out').waitFor();
    return (await id('test-problem').innerText()).slice(0, 80);
  });
  await check('deliveries are listed and narrowed down', async () => {
    await api('POST', '/knowledge/entries', { question: `${EVIL} 渠道测试？`, answer: '渠道测试的答案。' });
    await id('filter-endpoint').selectOption('erp');
    await page.waitForURL(/endpoint=erp/);
    await shown(deliveries('delivered'), 'nothing was delivered');
    must((await id('endpoints').innerText()).includes('erp'), 'the receiver is not listed');
  });
  await check('one that was given up is sent again under the same id', async () => {
    house.platform.reject = 410;
    await api('POST', '/knowledge/entries', { question: '渠道测试二？', answer: '渠道测试二的答案。' });
    await until(() => !house.platform.reject, 'the receiver was not asked');
    await id('filter-state').selectOption('failed');
    await page.waitForURL(/state=failed/);
    await shown(deliveries('failed'), 'nothing was given up');
    const row = deliveries('failed').first();
    const event = await row.locator('code').innerText();
    await shot(page, 'deliveries');
    await judge(page, 'a delivery given up');
    await row.getByTestId('resend').click();
    await until(() => house.platform.heard.some(({ id }) => id === event), 'it was not sent again under its id');
    await id('filter-state').selectOption('delivered');
    await page.waitForURL(/state=delivered/);
    await shown(deliveries('delivered').filter({ hasText: event }), 'it is not listed as delivered');
    return event;
  });
}

async function evaluation(page) {
  const id = (name) => page.getByTestId(name);
  const keep = async (question, none) => {
    await open(page, `try?${new URLSearchParams({ q: question })}`, 'hits');
    await page.waitForFunction((question) => document.querySelector('[data-testid=query]').value === question, question);
    await page.locator('.found:not([aria-busy=true]) [data-testid=keep]').click();
    await id('labels').waitFor();
    const checked = id('labels').locator('input:checked');
    while (none && (await checked.count())) await checked.first().uncheck();
    await id('keep-it').click();
    await id('toast').getByText('已存为评测题').waitFor();
  };
  await check('without cases the page says how to begin', async () => {
    await open(page, 'try', 'no-cases');
  });
  await check('questions are kept as cases, and one is taken back', async () => {
    await keep('被扣分了怎么申诉？');
    await keep('保证金怎么退，多久到账？');
    await keep('怎么用量子计算机煮鸡蛋？', true);
    await keep('今天天气怎么样？', true);
    await id('undo').click();
    await id('toast').getByText('已撤销').waitFor();
    await id('cases').locator('summary').click();
    await page.waitForFunction(() => document.querySelectorAll('[data-testid=delete-case]').length === 3);
  });
  await check('they are asked under the settings in force', async () => {
    await id('run').click();
    await id('result').waitFor();
    await until(async () => (await page.locator('[data-testid=questions] tbody tr').count()) === 3, 'not every case was asked');
    return (await id('result').locator('dl').innerText()).replaceAll('\n', ' ');
  });
  await check('and under others, what gets worse first', async () => {
    for (const name of ['grounded_threshold', 'direct_threshold']) await id(`tried-${name}`).fill('1');
    await id('run-tried').click();
    await page.locator('[data-testid=result][data-tried]').waitFor();
    const first = await page.locator('[data-testid=questions] tbody tr').first().innerText();
    must(first.includes('变差') && first.includes('说不知道'), first);
    await id('result').scrollIntoViewIfNeeded();
    await shot(page, 'evaluation');
    return first.replaceAll(/\s+/g, ' ');
  });
  await check('a case is deleted, and that is undone', async () => {
    await id('delete-case').first().click();
    await id('toast').getByText('已删除').waitFor();
    await page.waitForFunction(() => document.querySelectorAll('[data-testid=delete-case]').length === 2);
    await id('undo').click();
    await page.waitForFunction(() => document.querySelectorAll('[data-testid=delete-case]').length === 3);
  });
  await check('a case is brought back from another page', async () => {
    const kept = async () => (await (await api('GET', '/knowledge/cases')).json()).total;
    await id('delete-case').first().click();
    await id('toast').getByText('已删除').waitFor();
    must((await kept()) === 2, `${await kept()} are kept`);
    await page.locator('.rail a[href="#/overview"]').click();
    await page.locator('h1').getByText('总览').waitFor();
    await id('undo').click();
    await id('toast').getByText('已撤销').waitFor();
    must((await kept()) === 3, `${await kept()} are kept`);
    await open(page, 'try', 'cases');
  });
}

async function everywhere(browser) {
  const screens = [['phone', { width: 360, height: 740 }], ['desktop', { width: 1280, height: 860 }]];
  for (const [screen, viewport] of screens) {
    const page = await signIn(browser, base, key, { viewport });
    for (const lang of ['zh', 'en']) {
      await page.getByRole('button', { name: lang === 'zh' ? '中文' : 'English' }).click();
      for (const [name, path, marker] of [['channels', 'channels', 'deliveries'], ['evaluation', 'try', 'run']]) {
        await check(`${name} in ${lang} on a ${screen}: axe-core, and nothing too wide`, async () => {
          const found = [];
          for (const colorScheme of ['light', 'dark']) {
            await page.emulateMedia({ colorScheme });
            await open(page, path, marker);
            if (name === 'evaluation') {
              await page.getByTestId('run').click();
              await page.getByTestId('result').waitFor();
              await page.getByTestId('tried-grounded_threshold').fill('1');
              await page.getByTestId('run-tried').click();
              await page.locator('[data-testid=result][data-tried]').waitFor();
              if (!(await page.getByTestId('cases').evaluate((cases) => cases.open))) await page.getByTestId('cases').locator('summary').click();
            }
            await calm(page);
            found.push(...(await violations(page)), await overflow(page));
            if (colorScheme === 'light' && shots) await page.screenshot({ path: join(shots, `console-${name}-${screen}-${lang}.png`), fullPage: true });
          }
          must(!found.some(Boolean), found.filter(Boolean).join(' | '));
        });
      }
    }
    await page.context().close();
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
  await channels(page);
  await evaluation(page);
  await check('texts that attack stay text on the page of the channels', async () => {
    await open(page, 'channels', 'deliveries');
    await until(async () => (await page.locator('[data-testid=fault]').count()) > 0, 'no hostile text is shown');
    const found = await page.evaluate(strangers);
    must(!found.length, found.join(', '));
  });
  await page.context().close();
  await everywhere(browser);
  // A refused test is told with a status that the browser writes down.
  const complaints = tally.complaints.filter((line) => !line.includes('503'));
  await check('no errors in the browser’s console', async () => must(!complaints.length, complaints.join(' | ')));
  await check('nothing was asked of another host', async () => must(!tally.foreign.length, tally.foreign.join(' ')));
} catch (error) {
  tally.failures++;
  console.log(`FAIL  ${error.message}`);
} finally {
  clearTimeout(overdue);
  await browser.close();
  await house.stop();
}
finish();
