// The widget in a real browser against a real server:
//   node e2e/widget.mjs <base_url> [screenshot-dir]
// One line per check, exit code 1 when one fails. E2E_SLOW_MODEL=<model id> also checks the
// intermediate state of a slow answer, the stop button, and what happens when the line breaks. CHROMIUM names another browser.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { check, must, overdue, passed, until } from './checks.mjs';
import { accessible, rest } from './embed/visit.mjs';

const [base = 'http://127.0.0.1:8787', shots] = process.argv.slice(2);
const slowModel = process.env.E2E_SLOW_MODEL;
const QUESTION = '跨境店保证金要交多少？';
const FOLLOW_UP = '那什么时候可以退还？';
// No row is close enough to answer it by itself, so a model has to.
const SLOW_QUESTION = '被扣分了怎么申诉？';
const LIMIT = 600_000;

const complaints = [];
/** Whom the page asked besides the server. */
const foreign = [];
const { host } = new URL(base);

async function visit(browser, options) {
  const context = await browser.newContext({ locale: 'zh-CN', colorScheme: 'light', ...options });
  const page = await context.newPage();
  // So that a check can break the line.
  await page.addInitScript(() => {
    const Real = window.WebSocket;
    window.lines = [];
    window.WebSocket = class extends Real {
      constructor(...where) {
        super(...where);
        window.lines.push(this);
      }
    };
  });
  page.setDefaultTimeout(20_000);
  page.on('pageerror', (error) => complaints.push(`page error: ${error.message}`));
  page.on('console', (message) => message.type() === 'error' && complaints.push(`console: ${message.text()}`));
  const sent = [];
  const asked = (address) => /^(http|ws)/.test(address) && new URL(address).host !== host && foreign.push(address);
  page.on('request', (request) => asked(request.url()));
  page.on('websocket', (socket) => asked(socket.url()));
  page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => sent.push(JSON.parse(String(payload)))));
  await page.goto(base);
  const id = (name) => page.getByTestId(name);
  const shot = (name) => shots && page.screenshot({ path: join(shots, `${name}.png`) });
  return { page, context, id, shot, sent };
}

/** Writes down, inside the page, every status line and every length of the last answer: however short they live. */
function record(page) {
  return page.evaluate(() => {
    const root = document.querySelector('merchant-copilot').shadowRoot;
    const seen = (window.seen = { status: [], lengths: [] });
    window.watcher?.disconnect();
    window.watcher = new MutationObserver(() => {
      const status = root.querySelector('[data-testid=status]')?.textContent;
      if (status && seen.status.at(-1) !== status) seen.status.push(status);
      const length = [...root.querySelectorAll('[data-testid=answer]')].at(-1)?.querySelector('.md')?.textContent.length;
      if (length && seen.lengths.at(-1) !== length) seen.lengths.push(length);
    });
    window.watcher.observe(root, { subtree: true, childList: true, characterData: true });
  });
}

/** The test id of what has the focus, inside the shadow root or outside. */
function focused(page) {
  return page.evaluate(() => {
    const inner = document.activeElement?.shadowRoot?.activeElement;
    return (inner ?? document.activeElement)?.getAttribute('data-testid') ?? '';
  });
}

const lastAnswer = ({ id }) => id('answer').last();
const status = (visit) => lastAnswer(visit).getAttribute('data-status');

async function ended(visit, count, timeout = 20_000) {
  await until(async () => (await visit.id('answer').count()) === count && !['waiting', 'sent', 'accepted', 'running'].includes(await status(visit)), 'the answer did not end', timeout);
  return status(visit);
}

async function openByKeyboard(visit) {
  await until(() => visit.page.evaluate(() => !!window.MerchantCopilot), 'the launcher did not load');
  // With data-open it opens by itself on a wide screen, whenever its code is there.
  if (await visit.page.evaluate(() => !!document.querySelector('script[data-key][data-open]'))) {
    await visit.id('panel').waitFor();
    await visit.id('composer').focus();
    await visit.page.keyboard.press('Escape');
    await visit.id('panel').waitFor({ state: 'hidden' });
  }
  await visit.id('launcher').waitFor();
  await visit.id('launcher').focus();
  await visit.page.keyboard.press('Enter');
  await visit.id('panel').waitFor();
  await until(async () => (await focused(visit.page)) === 'composer', 'the focus is not in the composer');
}

async function desktop(browser) {
  const desk = await visit(browser, { viewport: { width: 1440, height: 900 } });
  const { page, id, shot, sent } = desk;

  await check('demo page and widget load', async () => {
    must(await page.title(), 'the page has no title');
    must(!(await page.content()).includes('__SITE_KEY__'), 'the site key was not filled in');
    await until(() => page.evaluate(() => !!window.MerchantCopilot), 'window.MerchantCopilot is missing');
    return Object.keys(await page.evaluate(() => ({ ...window.MerchantCopilot }))).join(', ');
  });
  await check('opens by keyboard with the focus in the composer', () => openByKeyboard(desk));
  await check('axe-core finds nothing on the demo page', () => accessible(desk, 'the demo page', null));
  await check('connects', () => until(async () => (await id('connection').getAttribute('data-state')) === 'up', 'no session.ready'));
  await check('shows three starter questions', () => until(async () => (await id('starter').count()) === 3, 'not three'));
  await check('Enter while composing does not send', async () => {
    await id('composer').evaluate((box) => box.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true, cancelable: true })));
    must((await id('answer').count()) === 0, 'it was sent');
  });

  await record(page);
  await check('asks by keyboard', async () => {
    await page.keyboard.type(QUESTION);
    await page.keyboard.press('Enter');
    await id('answer').first().waitFor();
  });
  await check('the answer completes', async () => {
    const end = await ended(desk, 1);
    must(end === 'completed', `it ended ${end}`);
    return (await lastAnswer(desk).locator('.md').innerText()).replace(/\s+/g, ' ').slice(0, 60);
  });
  const seen = await page.evaluate(() => window.seen);
  await check('says what it is doing', async () => {
    must(seen.status.some((text) => text.includes('查找')), `seen: ${seen.status.join(' | ') || 'nothing'}`);
    return seen.status.join(' → ');
  });
  await check('the answer arrives', async () => {
    must(seen.lengths.length > 0, 'no text');
    return `${seen.lengths.length} steps to ${seen.lengths.at(-1)} characters`;
  });
  await check('says that AI made it', () => until(async () => (await lastAnswer(desk).innerText()).includes('AI 生成'), 'no mark'));
  await check('announces whole sentences', async () => {
    const said = await until(() => id('announcer').locator('p').count(), 'nothing was announced');
    return `${said} lines`;
  });
  await check('shows source chips', async () => {
    await id('source-chip').first().waitFor();
    return (await id('source-chip').first().innerText()).trim();
  });
  await shot('desktop-answer');

  await check('a source opens with its question and answer', async () => {
    await id('source-chip').first().focus();
    await page.keyboard.press('Enter');
    await until(async () => (await id('source-sheet').getAttribute('data-state')) === 'ready', `the row did not load (${await id('source-sheet').getAttribute('data-state')})`);
    const question = (await id('source-sheet').locator('h2').innerText()).trim();
    const answer = (await id('source-sheet').locator('.row-text').innerText()).trim();
    must(question.length > 3, 'no question');
    must(answer.length > 3, 'no answer');
    return `${question} / ${answer.length} characters, ${await id('source-sheet').locator('mark').count()} marked`;
  });
  await rest(page);
  await shot('desktop-source');
  await check('Escape closes the source, the focus is back on the chip', async () => {
    await page.keyboard.press('Escape');
    await id('source-sheet').waitFor({ state: 'detached' });
    await until(async () => (await focused(page)) === 'source-chip', 'the focus is elsewhere');
  });

  await check('a follow-up stays in the conversation', async () => {
    await id('composer').focus();
    await page.keyboard.type(FOLLOW_UP);
    await page.keyboard.press('Enter');
    const end = await ended(desk, 2);
    must(end === 'completed', `it ended ${end}`);
    const [first, second] = sent.filter((frame) => frame.type === 'message.create');
    must(!first.conversation_id && second.conversation_id, 'no conversation_id was sent');
    must(first.client_msg_id !== second.client_msg_id, 'the same client_msg_id');
  });
  await check('a reload shows the conversation again', async () => {
    await page.reload();
    await until(() => page.evaluate(() => !!window.MerchantCopilot), 'the launcher did not load');
    await page.evaluate(() => window.MerchantCopilot.open());
    await until(async () => (await id('answer').count()) === 2, 'the history is gone');
  });
  await check('Escape closes the panel, the focus is back on the launcher', async () => {
    await id('composer').focus();
    await page.keyboard.press('Escape');
    await id('panel').waitFor({ state: 'hidden' });
    await until(async () => (await focused(page)) === 'launcher', 'the focus is not on the launcher');
  });
  await check('a page can ask through MerchantCopilot.ask', async () => {
    await page.evaluate((question) => window.MerchantCopilot.ask(question), '被扣分了怎么申诉？');
    return ended(desk, 3);
  });
  if (slowModel) await slow(desk);
  await desk.context.close();
}

async function slow(desk) {
  const { page, id, shot } = desk;
  await check(`selects the model ${slowModel}`, async () => {
    await id('new-conversation').click();
    await id('menu').click();
    await id('model-select').selectOption(slowModel);
  });
  await record(page);
  await check('a slow answer: status, growing text, stop button', async () => {
    await id('composer').fill(SLOW_QUESTION);
    await page.keyboard.press('Enter');
    await id('status').waitFor();
    const line = await id('status').innerText();
    const text = lastAnswer(desk).locator('.md');
    await until(async () => (await text.count()) && (await text.innerText()).length > 0, 'no text came');
    const before = (await text.innerText()).length;
    must((await status(desk)) === 'running', `it is ${await status(desk)} already: not slow enough`);
    must(await id('stop').isVisible(), 'no stop button');
    await until(async () => (await text.innerText()).length > before + 20, 'the text does not grow');
    await shot('desktop-streaming');
    const { status: said } = await page.evaluate(() => window.seen);
    must(said.some((line) => line.includes('正在写回答')), `it only said: ${said.join(' | ')}`);
    return [...new Set([line, ...said])].join(' → ');
  });
  await check('stop ends it', async () => {
    await id('stop').click();
    const end = await ended(desk, 1);
    must(end === 'cancelled', `it ended ${end}`);
    await id('send').waitFor();
    const length = (await lastAnswer(desk).innerText()).length;
    await page.waitForTimeout(500);
    must((await lastAnswer(desk).innerText()).length === length, 'text came after the stop');
  });
  await broken(desk);
}

/** What the server has stored of the last answer, and what the widget has put together of it. */
function bothTexts(page) {
  return page.evaluate(async () => {
    const name = Object.keys(sessionStorage).find((key) => /^mc:.*:chat$/.test(key));
    const key = name.slice(3, -5);
    const { chat } = JSON.parse(sessionStorage.getItem(name));
    const headers = { Authorization: `Bearer ${key}`, 'X-Visitor-Token': localStorage.getItem(`mc:${key}:visitor`) };
    const reply = await fetch(`/api/v1/conversations/${chat.conversationId}`, { headers });
    return { here: chat.turns.at(-1)?.answer?.text, there: (await reply.json()).turns?.at(-1)?.answer };
  });
}

async function midAnswer(desk, count) {
  await desk.id('composer').fill(SLOW_QUESTION);
  await desk.page.keyboard.press('Enter');
  const text = lastAnswer(desk).locator('.md');
  await until(async () => (await desk.id('answer').count()) === count && (await text.count()) && (await text.innerText()).length > 20, 'no text came');
  must((await status(desk)) === 'running', `it is ${await status(desk)} already`);
}

async function whole(desk, count) {
  const end = await ended(desk, count, 30_000);
  must(end === 'completed', `it ended ${end}`);
  // It is written down a moment later, here and there.
  let here, there;
  const same = async () => {
    ({ here, there } = await bothTexts(desk.page));
    return here === there && here?.length > 40;
  };
  await until(same, 'not the same here and there').catch((error) => {
    throw new Error(`${error.message}: here ${here?.length} characters, there ${there?.length}`);
  });
  return `${[...here].length} characters`;
}

async function broken(desk) {
  const { page, context, id, sent } = desk;
  await check('a reload in mid-answer: the running answer goes on to its end', async () => {
    await midAnswer(desk, 2);
    await page.reload();
    await until(() => page.evaluate(() => !!window.MerchantCopilot), 'the launcher did not load');
    await page.evaluate(() => window.MerchantCopilot.open());
    const said = await whole(desk, 2);
    must(sent.filter((frame) => frame.type === 'session.open').at(-1).resume?.last_seq > 0, 'it did not resume');
    return said;
  });
  await check('offline in mid-answer and back: it goes on to its end', async () => {
    await midAnswer(desk, 3);
    const known = complaints.length;
    await context.setOffline(true);
    await page.evaluate(() => window.lines.at(-1).close());
    await until(async () => (await id('connection').getAttribute('data-state')) === 'down', 'it does not say that it is offline');
    await page.waitForTimeout(700);
    await context.setOffline(false);
    const said = await whole(desk, 3);
    complaints.splice(known); // attempts without a network are told by the browser
    return said;
  });
  await check('thumbs, with a reason', async () => {
    await id('thumb-down').last().click();
    await id('reasons').last().locator('button').first().click();
    await until(() => sent.some((frame) => frame.type === 'feedback.create' && frame.reasons.length === 1), 'it was not sent');
  });
  await check('another answer takes the place of the one before', async () => {
    // The one before stands, whole, until the next frame is drawn: only the widget's own event tells the two apart.
    await page.evaluate(() => window.MerchantCopilot.on('answer', (answer) => (window.other = answer)));
    await id('regenerate').last().click();
    const other = await until(() => page.evaluate(() => window.other), 'no other answer ended', 30_000);
    must(other.status === 'completed', `it ended ${other.status}`);
    return whole(desk, 3);
  });
  await check('an edited question replaces what followed', async () => {
    await id('edit').nth(1).click();
    await id('editing').waitFor();
    await until(async () => (await id('composer').inputValue()) === SLOW_QUESTION, 'the question is not in the composer');
    await id('composer').fill(QUESTION);
    await page.keyboard.press('Enter');
    const end = await ended(desk, 2, 30_000);
    must(end === 'completed', `it ended ${end}`);
    must(sent.findLast((frame) => frame.type === 'message.create').replaces?.startsWith('m_'), 'it does not say what it replaces');
  });
}

async function phone(browser) {
  const size = { width: 360, height: 740 };
  const hand = await visit(browser, { viewport: size, hasTouch: true, isMobile: true, deviceScaleFactor: 2, colorScheme: 'dark' });
  const { page, id, shot } = hand;
  await check('phone: closed at first, full screen when opened', async () => {
    await id('launcher').waitFor();
    await page.waitForTimeout(300);
    must(!(await id('panel').isVisible().catch(() => false)), 'it opened by itself');
    await id('launcher').tap();
    await id('panel').waitFor();
    await rest(page);
    const box = await id('panel').boundingBox();
    must(box.x === 0 && box.y === 0 && box.width === size.width && box.height === size.height, JSON.stringify(box));
  });
  await check('phone: a starter question is answered', async () => {
    await id('starter').first().tap();
    const end = await ended(hand, 1);
    must(end === 'completed', `it ended ${end}`);
    await id('source-chip').first().waitFor();
  });
  await check('phone: axe-core finds nothing on the demo page', () => accessible(hand, 'an answer on a phone', null));
  await shot('phone-answer');
  await check('phone: nothing is wider than the screen', async () => {
    const wide = await id('history').evaluate((box) => box.scrollWidth - box.clientWidth);
    must(wide <= 0, `${wide} px too wide`);
  });
  await check('phone: a source opens', async () => {
    await id('source-chip').first().tap();
    await until(async () => (await id('source-sheet').getAttribute('data-state')) === 'ready', 'the row did not load');
    await rest(page);
  });
  await shot('phone-source');
  await hand.context.close();
}

if (shots) mkdirSync(shots, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const done = overdue(LIMIT);
try {
  await desktop(browser);
  await phone(browser);
  await check('nothing was asked of another host', async () => must(!foreign.length, foreign.join(' ')));
  await check('no errors in the browser’s console', async () => must(complaints.length === 0, complaints.join(' | ')));
} catch (error) {
  await check('the checks run to their end', () => Promise.reject(error));
} finally {
  done();
  await browser.close();
}
process.exit(passed() ? 0 : 1);
