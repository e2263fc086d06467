// The pictures in docs/, from a server of its own with the built-in model, a few bots and a receiver of events, but
// with the widget and the console as they are in dist/ now, not as that program has them:
//   node e2e/pictures.mjs <merchant-copilot> <dir>
// Each page of the console is taken on a phone and on a desktop, in both languages, under <dir>/console, and each state
// of the widget under <dir>/widget. The browser makes WebP of them, which is a third of the size; PNG=1 keeps what it
// started from beside them; PICTURES=widget,states takes some of them.

import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { pictureWidget } from './pictures/widget.mjs';
import { startHouse } from './platform.mjs';

const [binary, dir] = process.argv.slice(2);
const house = await startHouse(binary);
const base = house.server.url;
const link = house.server.console;
/** Of who signed in with it. */
let session;

const dist = fileURLToPath(new URL('../dist', import.meta.url));

function fromDist(route) {
  const { pathname } = new URL(route.request().url());
  const path = join(dist, pathname.endsWith('/') ? `${pathname}index.html` : pathname);
  return existsSync(path) && statSync(path).isFile() ? route.fulfill({ path }) : route.continue();
}

async function open(browser, address, options, prepare) {
  const context = await browser.newContext({ locale: 'zh-CN', colorScheme: 'light', ...options });
  await context.route(/\/(console|widget)(\/|\.js)/, fromDist);
  await prepare?.(context);
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  await page.goto(address);
  return page;
}

/** Writes what a page shows, as WebP: a page of the browser is its encoder. */
async function picture(page, name, clip) {
  const png = await page.screenshot({ clip });
  if (process.env.PNG) writeFileSync(join(dir, `${name}.png`), png);
  const webp = await encoder.evaluate(async (text) => {
    const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${text}`)).blob());
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext('2d').drawImage(bitmap, 0, 0);
    const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: 'image/webp', quality: 0.86 })).arrayBuffer());
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
  }, png.toString('base64'));
  writeFileSync(join(dir, `${name}.webp`), Buffer.from(webp, 'base64'));
}

async function ask(page, question) {
  await page.waitForFunction(() => !!window.MerchantCopilot);
  await page.evaluate((text) => window.MerchantCopilot.ask(text), question);
  await page.locator('[data-testid=answer][data-status=completed]').last().waitFor();
  await page.getByTestId('source-chip').first().waitFor();
  await page.waitForTimeout(600); // whatever still moves comes to rest
}

const QUESTIONS = [
  '跨境店保证金要交多少？', '被扣分了怎么申诉？', '保证金怎么退，多久到账？', '跨境店保证金要交多少', '虚假发货怎么判，怎么罚？',
  '怎么用量子计算机煮鸡蛋？', '退货地址在哪里修改？', '违规扣分怎么申诉，期限是几天？', '跨境店保证金要交多少？', 'How long does a payout take?',
  '退货地址写错了，我的手机是 13800138000，怎么改？',
];

/** A few questions as merchants ask them, two rated. */
async function talk(page) {
  await page.evaluate(async (questions) => {
    const post = (path, body) => fetch(`/api/v1${path}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
    for (const [i, text] of questions.entries()) {
      const reply = await post('/chat', { text, client_msg_id: crypto.randomUUID() });
      const id = /"response_id":"([^"]+)"/.exec(await reply.text())?.[1];
      if (i === 4) await post('/feedback', { response_id: id, rating: 'down', reasons: ['incomplete'], comment: '没说清楚怎么申诉' });
      if (i === 0) await post('/feedback', { response_id: id, rating: 'up' });
    }
  }, QUESTIONS);
}

/** A sheet with a changed, a new, a conflicting and a broken row. */
async function sheet(page) {
  const found = await page.evaluate(async () => (await (await fetch('/api/v1/knowledge/entries?limit=1&direct=true&q=保证金')).json()).entries[0]);
  const cell = (text) => `"${text.replaceAll('"', '""')}"`;
  return [
    '编号,问题,答案,分类',
    [found.id, found.question, `${found.answer} 自 2026 年 12 月 1 日起，新店可分两次缴纳。`, found.category ?? ''].map(cell).join(','),
    '"","年货节报名截止到哪天？","2027 年 1 月 10 日 24 点。","活动"',
    '"","年货节报名截止到哪天？","2027 年 1 月 15 日。","活动"',
    '"","年货节要交活动保证金吗？","","活动"',
  ].join('\n');
}

/** Questions as the team would label them: two that the knowledge answers, one that it cannot. */
async function label(page) {
  await page.evaluate(async (questions) => {
    const get = async (path) => (await fetch(`/api/v1${path}`)).json();
    const cases = [];
    for (const query of questions) {
      const found = await get(`/knowledge/search?q=${encodeURIComponent(query)}`);
      cases.push({ query, relevant: found.decision === 'none' ? [] : [found.hits[0].id] });
    }
    await fetch('/api/v1/knowledge/cases', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ cases }) });
  }, QUESTIONS.slice(0, 9));
}

/** Imports as a team leaves them behind: one written but for two rows, one taken back, a row that was typed, a plan that waits. */
async function imported(page) {
  await page.evaluate(async () => {
    const call = async (path, body) => (await fetch(`/api/v1/knowledge/imports${path}`, { method: 'POST', body })).json();
    const plan = (name, ...lines) => {
      const form = new FormData();
      form.append('file', new File([lines.join('\n')], name));
      return call('', form);
    };
    const written = async (made) => call(`/${(await made).id}/apply`);
    const head = '问题,答案,分类';
    const back = await written(plan('招商政策草稿.csv', head, '春季招商什么时候开始？,2027 年 2 月 20 日。,招商'));
    await call(`/${back.id}/undo`);
    await written(plan('console.jsonl', JSON.stringify({ question: '招商顾问怎么联系？', answer: '在 卖家中心 > 招商 里提交表单，一个工作日内回复。' })));
    await written(plan('招商政策.csv', head, '春季招商什么时候开始？,2027 年 3 月 1 日。,招商', '春季招商什么时候开始？,2027 年 3 月 8 日。,招商', '春季招商需要什么资质？,营业执照和品牌授权书。,招商', '春季招商收费吗？,,招商'));
    await plan('夏季招商.csv', head, '夏季招商什么时候开始？,2027 年 6 月 1 日。,招商');
  });
}

/** Words as a shop has them: some of its own, some that mean the same. */
async function name(page) {
  await page.evaluate(async () => {
    const words = { words: ['年货节', '跨境无忧退', 'Mega Sale'], synonyms: [['保证金', '押金', '质保金'], ['面单', '运单', 'shipping label']] };
    await fetch('/api/v1/knowledge/words', { method: 'PUT', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(words) });
  });
}

async function tour(page, lang, picture) {
  const id = (name) => page.getByTestId(name);
  const see = async (path, marker, name) => {
    await page.goto(`${base}/console/#/${path}`);
    await id(marker).first().waitFor();
    await page.waitForTimeout(500);
    if (name) await picture(name);
  };
  await see('overview', 'charts', 'overview');
  await id('channel-charts').evaluate((part) => part.scrollIntoView());
  await page.waitForTimeout(200);
  await picture('overview-channels');
  await see('knowledge', 'rows', 'knowledge');
  await page.locator('[data-testid=rows] tbody a').first().click();
  await id('answer').waitFor();
  await page.waitForTimeout(400);
  await picture('entry');
  await id('close').click();
  await page.locator('[data-testid=rows] tbody a').nth(1).focus();
  await page.keyboard.press('F2');
  await id('row-form').waitFor();
  await page.waitForTimeout(300);
  await picture('row');
  await id('row-cancel').click();
  await see('words', 'word-lines', 'words');
  await see('import', 'past-import');
  await id('past-imports').evaluate((part) => part.scrollIntoView());
  await page.waitForTimeout(200);
  await picture('imports');
  await page.locator('[data-testid=past-import][data-state=applied]').first().getByRole('link').click();
  await id('outcome').locator('.planned-row').first().waitFor();
  await page.waitForTimeout(300);
  await picture('import-outcome');
  await see('import', 'files');
  await id('files').setInputFiles({ name: lang === 'zh' ? '规则更新.csv' : 'new-rules.csv', mimeType: 'text/csv', buffer: Buffer.from(await sheet(page)) });
  await id('plan').waitFor();
  await id('tab-changed').click();
  await page.locator('[data-testid=planned-changed] ins').first().waitFor();
  await page.waitForTimeout(300);
  await picture('import');
  // It would wait in the list, which is to look the same to whoever comes next.
  await page.evaluate((plan) => fetch(`/api/v1/knowledge/imports/${plan}`, { method: 'DELETE' }), new URLSearchParams(new URL(page.url()).hash.split('?')[1]).get('plan'));
  await id('other-files').click();
  await see(`try?${new URLSearchParams({ q: lang === 'zh' ? '被扣分了怎么申诉？' : 'How do I appeal a penalty?' })}`, 'hits', 'try');
  await id('compare').click();
  await id('variant').getByTestId('set-fusion').selectOption('rrf');
  await id('answer-all').click();
  await page.waitForFunction(() => document.querySelectorAll('[data-testid=model-answer][data-done=true]').length === 2);
  await id('columns').evaluate((part) => part.scrollIntoView());
  await page.waitForTimeout(400);
  await picture('columns');
  await see('try', 'run');
  await id('run').click();
  await id('result').waitFor();
  await id('tried-weight').fill('0.9');
  await id('tried-grounded_threshold').fill('0.9');
  await id('run-tried').click();
  await page.locator('[data-testid=result][data-tried]').waitFor();
  await id('evaluation').evaluate((part) => part.scrollIntoView());
  await page.waitForTimeout(300);
  await picture('evaluation');
  await see('channels', 'deliveries', 'channels');
  await see(`prompts?name=answer.${lang}`, 'prompt-text');
  await id('trial-question').fill(lang === 'zh' ? '被扣分了怎么申诉？' : 'How do I appeal a penalty?');
  await id('trial').click();
  await id('preview').waitFor();
  await page.waitForTimeout(300);
  await picture('prompts');
  await see('conversations?rating=down', 'rows');
  await page.locator('[data-testid=rows] tbody a').first().click();
  await id('turn').first().waitFor();
  await page.waitForTimeout(400);
  await picture('conversations');
  await correct(page, lang, picture);
  await see('safety', 'verdicts', 'safety');
  await see('access', 'keys', 'access');
}

/** A wrong answer on its way to being put right; the page goes with what was typed in it. */
async function correct(page, lang, picture) {
  const other = await page.context().newPage();
  await other.setViewportSize(page.viewportSize());
  await other.goto(page.url());
  const id = (name) => other.getByTestId(name);
  await id('correct').first().click();
  await other.waitForFunction(() => document.querySelector('[data-testid=right-answer]')?.value);
  const more = lang === 'zh' ? ' 对判罚不服的，7 天内可以申诉。' : ' Appeals are open for 7 days.';
  await id('right-answer').fill(`${await id('right-answer').inputValue()}${more}`);
  await id('look').click();
  await other.locator('[data-testid=planned-changed] ins').first().waitFor();
  await id('correcting').evaluate((part) => part.scrollIntoView());
  await other.waitForTimeout(300);
  await picture('correct', other);
  await other.close();
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--no-first-run', '--disable-background-networking'],
});
const encoder = await browser.newPage();
const wanted = process.env.PICTURES?.split(',');
try {
  for (const part of ['console', 'widget']) mkdirSync(join(dir, part), { recursive: true });
  const parts = { readme: pictureReadme, console: pictureConsole, states: pictureStates, widget: () => pictureWidget({ browser, binary, open, picture }) };
  for (const [name, part] of Object.entries(parts)) if (!wanted || wanted.includes(name)) await part();
} finally {
  await browser.close();
  await house.stop();
}

/** What the READMEs show, in both languages in one way: an answer with its source on a desktop and one on a phone, and
 *  in the console why a row is found. */
async function pictureReadme() {
  const says = {
    zh: { end: '', locale: 'zh-CN', desktop: '保证金怎么退，多久到账？', phone: '虚假发货怎么判，怎么罚？' },
    en: { end: '-en', locale: 'en-GB', desktop: 'How do I appeal a violation?', phone: 'Does the buyer pay for return shipping?' },
  };
  for (const [lang, { end, locale, desktop, phone }] of Object.entries(says)) {
    const desk = await open(browser, `${base}/?lang=${lang}`, { locale, viewport: { width: 1440, height: 900 } });
    await ask(desk, desktop);
    await desk.getByTestId('citation').first().click();
    await desk.locator('[data-testid=source-sheet][data-state=ready]').waitFor();
    await desk.waitForTimeout(300);
    await picture(desk, `widget-desktop${end}`);

    const hand = await open(browser, `${base}/?lang=${lang}`, { locale, viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 });
    await ask(hand, phone);
    await picture(hand, `widget-phone${end}`);

    const team = await signedIn({ locale, viewport: { width: 1440, height: 900 } });
    await team.goto(`${base}/console/#/try?q=${encodeURIComponent(desktop)}`);
    await team.getByTestId('hits').waitFor();
    await team.waitForTimeout(400);
    await picture(team, `console${end}`);
  }
}

async function pictureConsole() {
  const desk = await signedIn({ viewport: { width: 1440, height: 900 } });
  await talk(desk);
  await label(desk);
  await name(desk);
  await imported(desk);
  await house.ask('跨境店保证金要交多少？');
  await house.ask('退货地址在哪里修改？');
  await everywhere({ storageState: session }, (page, lang, take) => tour(page, lang, take));
}

/** A page of the console; the one-time link is used once, so the others have its session. */
async function signedIn(options) {
  const page = await open(browser, session ? `${base}/console/` : link, { ...options, ...(session && { storageState: session }) });
  await page.getByTestId('sign-out').waitFor();
  session ??= await page.context().storageState();
  return page;
}

/** On a desktop and a phone, in both languages. */
async function everywhere(options, show) {
  for (const [screen, viewport] of [['desktop', { width: 1280, height: 800 }], ['phone', { width: 360, height: 740 }]]) {
    for (const lang of ['zh', 'en']) {
      const page = await open(browser, `${base}/console/`, { locale: lang === 'zh' ? 'zh-CN' : 'en-GB', viewport, ...options });
      // Nothing is pointed at.
      await show(page, lang, async (name, of = page) => (await of.mouse.move(0, 0), picture(of, `console/${name}-${screen}-${lang}`)));
      await page.context().close();
    }
  }
}

/** The door, and what there is to see before there is anything, or when nobody answers. */
async function pictureStates() {
  await house.server.run('tenant', 'add', 'empty').catch(() => undefined); // it may be there
  const key = await house.server.issue('--role', 'admin', '--tenant', 'empty');
  await everywhere({}, async (page, lang, take) => {
    const id = (name) => page.getByTestId(name);
    await id('key').waitFor();
    await take('sign-in');
    await id('key').fill('mc_admin_wrong');
    await id('sign-in').click();
    await page.getByRole('alert').filter({ hasText: /\S/ }).waitFor();
    await take('sign-in-wrong');
    await id('key').fill(key);
    await id('sign-in').click();
    await id('sign-out').waitFor();
    for (const path of ['overview', 'knowledge', 'try', 'conversations', 'channels', 'import']) {
      await page.goto(`${base}/console/#/${path}`);
      await page.waitForFunction(() => document.querySelector('h1') && !document.querySelector('.skeleton, [aria-busy=true]'));
      await page.waitForTimeout(300);
      await take(path === 'import' ? 'drop' : `empty-${path}`);
    }
    await page.route(/\/api\/v1\/knowledge/, (route) => route.abort());
    await page.goto(`${base}/console/#/knowledge`);
    await page.locator('.problem').first().waitFor();
    await take('out-of-reach');
  });
}
