// The console in a real browser against a real server:
//   node e2e/console.mjs <sign-in-link> [screenshot-dir]
// The link is the one that `serve` prints; it is used up. One line per check, exit code 1 when one
// fails. CHROMIUM names another browser.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [link, shots] = process.argv.slice(2);
const { origin } = new URL(link);
const LIMIT = 300_000;

let failures = 0;
const complaints = [];

async function check(name, action) {
  const start = Date.now();
  try {
    const remark = await action();
    console.log(`ok    ${name}${remark ? ` — ${remark}` : ''} (${Date.now() - start} ms)`);
  } catch (error) {
    failures++;
    console.log(`FAIL  ${name} — ${String(error.message ?? error).split('\n')[0]}`);
  }
}

function must(fact, otherwise) {
  if (!fact) throw new Error(otherwise);
}

async function visit(browser, address) {
  const context = await browser.newContext({ locale: 'zh-CN', colorScheme: 'light', viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on('pageerror', (error) => complaints.push(`page error: ${error.message}`));
  // That nobody is signed in yet is told with a 401, which the browser writes down.
  page.on('console', (message) => message.type() === 'error' && !message.text().includes('401') && complaints.push(`console: ${message.text()}`));
  await page.goto(address);
  const id = (name) => page.getByTestId(name);
  const shot = (name) => shots && page.screenshot({ path: join(shots, `${name}.png`) });
  return { page, context, id, shot };
}

/** Searches until it is decided as expected: the decision before may stay for a moment. */
async function search(desk, question, expected) {
  await desk.id('query').fill(question);
  await desk.id('search').click();
  await desk.page.locator(`.found > [data-testid=decision][data-decision=${expected}]`).waitFor();
}

async function desktop(browser) {
  const closed = await visit(browser, `${origin}/console/`);
  await check('without a link the console asks for a key', () => closed.id('key').waitFor());
  await check('a wrong key is refused in words', async () => {
    await closed.id('key').fill('mc_admin_wrong');
    await closed.id('sign-in').click();
    const said = await closed.page.getByRole('alert').filter({ hasText: /\S/ }).innerText();
    must(said.includes('密钥'), said);
    return said;
  });
  await closed.context.close();

  const desk = await visit(browser, link);
  await check('the printed link signs in', () => desk.id('figures').waitFor());
  await check('the token leaves the address', async () => desk.page.waitForURL((url) => !url.href.includes('signin')));
  await check('the session cookie is out of reach of scripts', async () => {
    const cookies = await desk.context.cookies();
    must(cookies.length === 1 && cookies[0].httpOnly && cookies[0].sameSite === 'Strict', JSON.stringify(cookies.map(({ value, ...rest }) => rest)));
    must((await desk.page.evaluate(() => document.cookie)) === '', 'document.cookie shows it');
  });
  await check('the knowledge page shows how much there is', async () => {
    await desk.page.locator('a[href="#/knowledge"]').click();
    await desk.id('rows').waitFor();
    await desk.id('figures').locator('strong').first().waitFor();
    const figures = await desk.id('figures').locator('strong').allInnerTexts();
    must(Number(figures[0].replaceAll(',', '')) > 100, figures.join(' '));
    return figures.join(' · ');
  });
  await desk.shot('console-knowledge');
  await check('try-it explains a direct hit', async () => {
    await desk.page.locator('a[href="#/try"]').click();
    await search(desk, '跨境店保证金要交多少？', 'direct');
    await desk.id('hits').locator('tbody tr').nth(3).waitFor();
  });
  await check('try-it explains a grounded answer', async () => {
    await search(desk, '被扣分了怎么申诉？', 'grounded');
  });
  await desk.shot('console');
  await check('a reload keeps the session and the question', async () => {
    await desk.page.reload();
    await desk.id('hits').waitFor();
    must((await desk.id('query').inputValue()) === '被扣分了怎么申诉？', 'another question');
  });
  await check('an unanswerable question is shown as such', async () => {
    await search(desk, '怎么用量子计算机煮鸡蛋？', 'none');
  });

  const second = await visit(browser, link);
  await check('the link works once only', async () => {
    const said = await second.page.getByRole('alert').filter({ hasText: /\S/ }).innerText();
    must(said.includes('用过'), said);
    must((await second.id('figures').count()) === 0, 'it signed in again');
    return said;
  });
  await second.shot('console-link-used');
  await second.context.close();

  await check('signing out ends the session', async () => {
    const cookies = (await desk.context.cookies()).map(({ name, value }) => `${name}=${value}`).join('; ');
    const stats = () => fetch(`${origin}/api/v1/knowledge/stats`, { headers: { cookie: cookies } }).then((reply) => reply.status);
    must((await stats()) === 200, 'the cookie does not open the door before');
    await desk.id('sign-out').click();
    await desk.id('key').waitFor();
    must((await stats()) === 401, `the old cookie gets ${await stats()}`);
  });
  await desk.context.close();
}

if (shots) mkdirSync(shots, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const overdue = setTimeout(() => {
  console.log(`FAIL  not done after ${LIMIT / 1000} s`);
  process.exit(1);
}, LIMIT);
try {
  await desktop(browser);
  await check('no errors in the browser’s console', async () => must(complaints.length === 0, complaints.join(' | ')));
} catch (error) {
  failures++;
  console.log(`FAIL  ${error.message}`);
} finally {
  clearTimeout(overdue);
  await browser.close();
}
console.log(failures ? `${failures} failed` : 'all passed');
process.exit(failures ? 1 : 0);
