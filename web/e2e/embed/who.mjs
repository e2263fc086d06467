// Who is there: anonymous visitors, verified users on several devices, and what each of them sees.

import { spawn, spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { check, must, until } from '../checks.mjs';
import { sign } from './house.mjs';
import { accessible, complaints, visit } from './visit.mjs';

const QUESTION = '跨境店保证金要交多少？';
const questions = (me) => me.page.locator('.question').allInnerTexts();

/** A port that nobody listens on: a site key names its page before the page is there. */
async function freePort() {
  const probe = createServer();
  await new Promise((ready) => probe.listen(0, '127.0.0.1', ready));
  const { port } = probe.address();
  await new Promise((gone) => probe.close(gone));
  return port;
}

async function earlier(me) {
  await me.id('menu').click();
  await me.id('open-history').click();
  await until(async () => (await me.id('history-sheet').getAttribute('data-state')) === 'ready', 'no list');
  return me.id('conversation').locator('span').allInnerTexts();
}

export async function who(house) {
  const { shop } = house;
  await check('what the examples of the README sign is taken', async () => {
    const taken = [];
    for (const [program, file] of [['python3', 'sign.py'], ['node', 'sign.mjs'], ['php', 'sign.php']]) {
      const path = fileURLToPath(new URL(`../../../examples/identity/${file}`, import.meta.url));
      const ran = spawnSync(program, [path, '商家-7'], { env: { ...process.env, IDENTITY_SECRET: house.secret }, encoding: 'utf8' });
      must(!ran.error, `${program} is not here: scripts/test-tools.sh installs it`);
      must(ran.status === 0, ran.stderr);
      const headers = { authorization: `Bearer ${shop.key}`, origin: shop.url, 'x-identity': ran.stdout.trim() };
      const reply = await fetch(`${house.server()}/api/v1/conversations`, { headers });
      must(reply.status === 200, `${file}: ${reply.status} ${await reply.text()}`);
      taken.push(program);
    }
    return taken.join(', ');
  });
  await check('the shop of the README runs: a user who signs in there is verified, whoever does not is nobody', async () => {
    const path = fileURLToPath(new URL('../../../examples/identity/shop.mjs', import.meta.url));
    const port = await freePort();
    const address = `http://localhost:${port}`;
    const key = await house.issue('--role', 'site', '--origin', address);
    const env = { ...process.env, IDENTITY_SECRET: house.secret, SITE_KEY: key, COPILOT: house.server(), PORT: String(port) };
    const running = spawn(process.execPath, [path], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const said = await new Promise((done, fail) => (running.stdout.once('data', (chunk) => done(String(chunk).trim())), running.once('exit', (code) => fail(new Error(`it ended with ${code}`)))));
      must(said === `${address}/?user=merchant-7`, said);
      for (const [from, verified] of [[`${address}/`, false], [said, true]]) {
        const context = await house.browser.newContext({ locale: 'zh-CN', viewport: { width: 1280, height: 860 } });
        const page = await context.newPage();
        page.on('pageerror', (error) => complaints.push(`page error: ${error.message}`));
        await page.goto(from);
        await until(() => page.evaluate(() => !!window.MerchantCopilot), 'the launcher did not load');
        await page.evaluate(() => (MerchantCopilot.on('ready', (detail) => (window.ready = detail)), MerchantCopilot.open()));
        const ready = await until(() => page.evaluate(() => window.ready), 'no session.ready');
        must(ready.verified === verified, `${from}: verified is ${ready.verified}`);
        await context.close();
      }
    } finally {
      running.kill();
    }
  });
  await check('an earlier conversation opens again, goes on, and can be deleted', async () => {
    const me = await visit(house);
    await me.open();
    await me.ask(QUESTION);
    await me.ended(1);
    await me.id('new-conversation').click();
    await me.ask('保税仓多久内要发货？');
    await me.ended(1);
    const list = await earlier(me);
    must(list.length === 2 && list[1] === QUESTION, list.join(' | '));
    await me.id('conversation').nth(1).click();
    await me.id('history-sheet').waitFor({ state: 'detached' });
    await until(async () => (await questions(me)).join().includes(QUESTION) && (await me.id('source-chip').count()) > 0, 'it is not shown');
    await me.ask('那什么时候可以退还？');
    await me.ended(2);
    await earlier(me);
    await me.id('remove').first().click();
    must((await me.id('conversation').count()) === 2, 'deleted without asking');
    await me.id('remove').first().click();
    await until(async () => (await me.id('conversation').count()) === 1, 'not deleted');
    await me.page.keyboard.press('Escape');
    await until(async () => (await me.id('answer').count()) === 0, 'it is still on the screen');
    await me.context.close();
  });
  await check('older conversations come page by page', async () => {
    const me = await visit(house);
    await me.open();
    const token = await me.page.evaluate(() => Object.entries(localStorage).find(([name]) => name.endsWith(':visitor'))[1]);
    const headers = { authorization: `Bearer ${shop.key}`, origin: shop.url, 'x-visitor-token': token, 'content-type': 'application/json' };
    for (let n = 0; n < 53; n++) {
      const reply = await fetch(`${house.server()}/api/v1/chat`, { method: 'POST', headers, body: JSON.stringify({ text: n ? '谢谢' : '你好' }) });
      must(reply.ok, `${reply.status}`);
      await reply.text();
    }
    const first = await earlier(me);
    must(first.length === 50 && !first.includes('你好'), `${first.length} on the first page`);
    await me.id('older').click();
    await until(async () => (await me.id('conversation').count()) === 53, 'the older ones did not come');
    must((await me.id('conversation').last().locator('span').innerText()) === '你好' && (await me.id('older').count()) === 0, 'not to the end');
    await me.focusOn('conversation');
    await me.context.close();
  });
  await check('a verified user finds the conversation on another device; others do not', async () => {
    shop.user = 'merchant-7';
    const desk = await visit(house, { identity: '/identity' });
    await desk.open();
    await until(async () => (await desk.heard('ready')).at(-1)?.verified === true, 'not verified');
    await desk.ask(QUESTION);
    await desk.ended(1);
    const opened = desk.sent.find((frame) => frame.type === 'session.open');
    must(opened.identity && !opened.visitor_token, 'no identity was shown');
    const phone = await visit(house, { identity: '/identity' });
    await phone.open();
    must((await earlier(phone)).join() === QUESTION, 'not found on the other device');
    await phone.id('conversation').first().click();
    await phone.id('citation').first().click();
    await until(async () => (await phone.id('source-sheet').getAttribute('data-state')) === 'ready', 'the row did not load');
    shop.user = 'merchant-8';
    const other = await visit(house, { identity: '/identity' });
    await other.open();
    must((await earlier(other)).length === 0, 'seen by another user');
    shop.user = undefined;
    const visitor = await visit(house, { identity: '/identity' });
    await visitor.open();
    await until(async () => (await visitor.heard('ready')).at(-1)?.verified === false, 'verified without being signed in');
    must((await earlier(visitor)).length === 0, 'seen by a visitor');
    for (const { context } of [desk, phone, other, visitor]) await context.close();
  });
  await check('signing out and in on the page changes what is shown at once', async () => {
    const me = await visit(house);
    const be = (token) => me.page.evaluate((token) => window.MerchantCopilot.identify(token), token);
    await be(sign(house.secret, 'merchant-9'));
    await me.open();
    await me.ask(QUESTION);
    await me.ended(1);
    await be(null);
    await until(async () => (await me.id('answer').count()) === 0, 'still shown after signing out');
    await until(async () => (await me.id('connection').getAttribute('data-state')) === 'up', 'no session');
    await be(sign(house.secret, 'merchant-9'));
    await until(async () => (await me.id('answer').count()) === 1, 'not shown after signing in again');
    await me.reload();
    must((await me.id('answer').count()) === 0, 'shown to whoever reloads the page');
    await me.context.close();
  });
  await check('a token that ran out is fetched again, a forged one is told to the page', async () => {
    const me = await visit(house);
    await me.page.evaluate((tokens) => window.MerchantCopilot.identify(() => tokens.shift()), [sign(house.secret, 'merchant-7', -100), sign(house.secret, 'merchant-7')]);
    await me.open();
    await until(async () => (await me.heard('ready')).at(-1)?.verified === true, 'not verified');
    await me.page.evaluate((token) => window.MerchantCopilot.identify(token), sign('guessed', 'merchant-7'));
    const [told] = await until(async () => (await me.heard('identity')).length && me.heard('identity'), 'the page does not hear of it');
    must(told.code === 'invalid_identity', told.code);
    await me.id('notice').getByText('身份验证').waitFor();
    await accessible(me, 'a refused identity');
    await me.context.close();
  });
}
