// The pictures of the README, from a real server with the built-in model, but with the widget and the
// console as they are in dist/ now, not as that server has them:
//   node e2e/pictures.mjs <base_url> <sign-in-link> <dir>
// `-` instead of the link leaves the console out; otherwise each of its pages is taken on a phone and on a
// desktop, in both languages, under <dir>/console. Take a server with a fresh data directory: what is asked
// and shown here is what the pictures show.

import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const [base, link, dir] = process.argv.slice(2);

const dist = fileURLToPath(new URL('../dist', import.meta.url));

function fromDist(route) {
  const { pathname } = new URL(route.request().url());
  const path = join(dist, pathname.endsWith('/') ? `${pathname}index.html` : pathname);
  return existsSync(path) && statSync(path).isFile() ? route.fulfill({ path }) : route.continue();
}

async function open(browser, address, options) {
  const context = await browser.newContext({ locale: 'zh-CN', colorScheme: 'light', ...options });
  await context.route(/\/(console|widget)(\/|\.js)/, fromDist);
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  await page.goto(address);
  return page;
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

async function tour(page, lang, picture) {
  const id = (name) => page.getByTestId(name);
  const see = async (path, marker, name) => {
    await page.goto(`${base}/console/#/${path}`);
    await id(marker).first().waitFor();
    await page.waitForTimeout(500);
    if (name) await picture(name);
  };
  await see('overview', 'charts', 'overview');
  await see('knowledge', 'rows', 'knowledge');
  await page.locator('[data-testid=rows] tbody a').first().click();
  await id('answer').waitFor();
  await page.waitForTimeout(400);
  await picture('entry');
  await see('import', 'files');
  await id('files').setInputFiles({ name: lang === 'zh' ? '规则更新.csv' : 'new-rules.csv', mimeType: 'text/csv', buffer: Buffer.from(await sheet(page)) });
  await id('plan').waitFor();
  await id('tab-changed').click();
  await page.locator('[data-testid=planned-changed] ins').first().waitFor();
  await page.waitForTimeout(300);
  await picture('import');
  await id('other-files').click();
  await see(`try?${new URLSearchParams({ q: '被扣分了怎么申诉？' })}`, 'hits', 'try');
  await see('prompts?name=answer.zh', 'prompt-text', 'prompts');
  await see('conversations?rating=down', 'rows');
  await page.locator('[data-testid=rows] tbody a').first().click();
  await id('turn').first().waitFor();
  await page.waitForTimeout(400);
  await picture('conversations');
  await see('access', 'keys', 'access');
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--no-first-run', '--disable-background-networking'],
});
try {
  const desktop = await open(browser, base, { viewport: { width: 1440, height: 900 } });
  await ask(desktop, '保证金怎么退，多久到账？');
  await desktop.screenshot({ path: join(dir, 'widget-desktop.png') });

  const phone = await open(browser, base, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  await ask(phone, '虚假发货怎么判，怎么罚？');
  await phone.screenshot({ path: join(dir, 'widget-phone.png') });

  const english = { locale: 'en-GB', colorScheme: 'dark' };
  const dark = await open(browser, `${base}/?lang=en`, { ...english, viewport: { width: 1280, height: 800 } });
  await ask(dark, 'How do I appeal a violation?');
  await dark.getByTestId('citation').first().click();
  await dark.locator('[data-testid=source-sheet][data-state=ready]').waitFor();
  await dark.waitForTimeout(300);
  await dark.screenshot({ path: join(dir, 'widget-desktop-en.png') });

  const small = await open(browser, `${base}/?lang=en`, { ...english, viewport: { width: 320, height: 568 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 });
  await ask(small, 'Does the buyer pay for return shipping?');
  await small.screenshot({ path: join(dir, 'widget-phone-en.png') });

  if (link !== '-') await pictureConsole();
} finally {
  await browser.close();
}

async function pictureConsole() {
  const desk = await open(browser, link, { viewport: { width: 1440, height: 900 } });
  await desk.getByTestId('sign-out').waitFor();
  await desk.goto(`${base}/console/#/try?q=${encodeURIComponent('保证金怎么退，多久到账？')}`);
  await desk.getByTestId('hits').waitFor();
  await desk.waitForTimeout(400);
  await desk.screenshot({ path: join(dir, 'console.png') });
  await talk(desk);
  const storageState = await desk.context().storageState();
  mkdirSync(join(dir, 'console'), { recursive: true });
  for (const [screen, options] of [['desktop', { viewport: { width: 1280, height: 800 } }], ['phone', { viewport: { width: 360, height: 740 } }]]) {
    for (const lang of ['zh', 'en']) {
      const page = await open(browser, `${base}/console/`, { storageState, locale: lang === 'zh' ? 'zh-CN' : 'en-GB', ...options });
      await tour(page, lang, (name) => page.screenshot({ path: join(dir, 'console', `${name}-${screen}-${lang}.png`) }));
      await page.context().close();
    }
  }
}
