// A conversation on the shop's page: ask, stream, cite, stop, reload and go offline in mid-answer, edit,
// rate. Once in each language, by mouse and by keyboard.

import { check as checked, must, reads, until } from '../checks.mjs';
import { accessible, visit } from './visit.mjs';

/** Questions that rows are found for, so that the chosen model is asked, and what the panel says. */
const SAY = {
  zh: {
    tag: 'zh-CN', slow: '被扣分了怎么申诉？', edited: '被扣分了怎么申诉？ 要多久？', thinking: '被扣分了在哪里申诉？', evil: '被扣分以后怎么申诉才有用？', last: '被扣分了，申诉要什么材料？',
    starters: '跨境店保证金要交多少？|保税仓多久内要发货？|被扣分了怎么申诉？', mark: 'AI 生成，请以出处为准', comment: '缺少时限', half: '还没写完的', cancel: '取消', copy: '复制', unread: /^打开商家助手，新回答：1$/,
    typed: ['怎么申诉', '扣分？'], complete: '回答完毕', offline: '没有网络。恢复后会自动继续。',
  },
  en: {
    tag: 'en-GB', slow: 'How do I appeal a penalty?', edited: 'How do I appeal a deduction of points?', thinking: 'Which documents do I need to open a shop?', evil: 'Who pays for return shipping?', last: 'How long do I have to ship bonded orders on CN?',
    starters: 'How much is the deposit for a cross-border shop on the China site?|How long do I have to ship bonded orders on CN?|How do I appeal a violation?', mark: 'Written by AI; check the sources', comment: 'no time limit', half: 'not finished', cancel: 'Cancel', copy: 'Copy', unread: /^Open the merchant assistant, new answers: 1$/,
    typed: ['How do I appeal', 'a penalty?'], complete: 'Answer complete', offline: 'No network. This goes on by itself when it is back.',
  },
};

/** Pieces of the slow answer that are more than a check waits for, and less than half of it. */
const MIDWAY = 15;

export async function talk(house) {
  for (const lang of ['zh', 'en']) await talkIn(house, lang);
}

async function talkIn(house, lang) {
  const say = SAY[lang];
  const SLOW = say.slow;
  // One that fails does not hold the answers of the next.
  const check = (name, action) => checked(`${lang}: ${name}`, () => action().catch((error) => (house.provider.upTo(), Promise.reject(error))));
  const me = await visit(house, { 'page-lang': say.tag, starters: say.starters }, { viewport: { width: 1280, height: 860 }, locale: say.tag });
  const { page, id, sent } = me;
  const { upTo } = house.provider;

  await check('the page keeps its globals, and its rules do not reach the widget', async () => {
    const added = await page.evaluate(() => Object.keys(window).filter((name) => !window.before.includes(name) && !['before', 'heard', 'line', 'axe'].includes(name)));
    must(added.join() === 'MerchantCopilot', `new globals: ${added}`);
    await me.open();
    const style = await id('send').evaluate((button) => ['transform', 'fontSize', 'letterSpacing', 'fontFamily'].map((name) => getComputedStyle(button)[name]).join());
    must(style.startsWith('none,15px,normal,system-ui'), style);
  });
  await check('opens in the page’s language with the starters of the shop', async () => {
    await until(async () => (await id('starter').count()) === 3, 'not three');
    await me.shot(`desktop-welcome-${lang}`);
    await accessible(me, 'welcome');
  });
  await check('a starter is asked, answered with its source, and marked as made by AI', async () => {
    await id('starter').first().click();
    must((await me.ended(1)) === 'completed', await me.status());
    must((await id('ai-mark').innerText()) === say.mark, 'no mark');
    await accessible(me, 'an answer');
    return (await me.text()).slice(0, 40);
  });
  await check('a marker opens the row with the quoted part marked', async () => {
    await id('citation').first().click();
    await until(async () => (await id('source-sheet').getAttribute('data-state')) === 'ready', 'the row did not load');
    const marked = await id('source-sheet').locator('mark').allInnerTexts();
    must(marked.join('').length > 5, 'nothing is marked');
    await accessible(me, 'a source');
    await me.shot(`desktop-source-${lang}`);
    await page.keyboard.press('Escape');
    await until(async () => (await me.focus()) === 'citation', 'the focus is not back on the marker');
    return marked[0].slice(0, 30);
  });
  await me.choose('slow');
  await check('streams: a stage first, then text that grows', async () => {
    upTo(0);
    await me.ask(SLOW);
    await id('status').waitFor();
    const stage = await id('status').innerText();
    await accessible(me, 'a stage');
    upTo(MIDWAY);
    await me.midway(2);
    const before = (await me.text()).length;
    upTo(2 * MIDWAY);
    await until(async () => (await me.text()).length > before + 20, 'it does not grow');
    await accessible(me, 'streaming');
    await me.shot(`desktop-streaming-${lang}`);
    return stage;
  });
  await check('stop stops the page and the provider', async () => {
    await id('stop').click();
    must((await me.ended(2)) === 'cancelled', await me.status());
    upTo();
    const length = (await me.text()).length;
    await page.waitForTimeout(400);
    must((await me.text()).length === length, 'text came after the stop');
    await accessible(me, 'stopped');
  });
  await check('a reload in mid-answer sees it finish', async () => {
    upTo(MIDWAY);
    await me.ask(SLOW);
    await me.midway(3);
    await me.reload();
    upTo();
    must((await me.ended(3)) === 'completed', await me.status());
    must(sent.findLast((frame) => frame.type === 'session.open').resume?.last_seq > 0, 'it did not resume');
    must((await me.text()).includes('申诉期间请不要重复提交'), 'the end is missing');
    await until(async () => (await me.last().locator('table').count()) === 1, 'no table');
    return `${(await me.text()).length} characters`;
  });
  await check('offline in mid-answer says so calmly, and goes on when the network is back', async () => {
    upTo(MIDWAY);
    await me.ask(SLOW);
    await me.midway(4);
    await me.context.setOffline(true);
    // Before the line is missed, and by name: the sentence for a service that is down asks for something else.
    await reads(id('notice').locator('span'), say.offline);
    await until(async () => (await id('announcer').locator('p').allInnerTexts()).includes(say.offline), 'who listens does not hear it');
    await page.evaluate(() => window.line.close());
    await until(async () => (await id('connection').getAttribute('data-state')) === 'down', 'it does not say that it is offline');
    await accessible(me, 'offline');
    await me.shot(`desktop-offline-${lang}`);
    upTo();
    await page.waitForTimeout(2500); // more attempts in vain than it takes to say that the service is not there
    await reads(id('notice').locator('span'), say.offline);
    await me.context.setOffline(false);
    must((await me.ended(4)) === 'completed', await me.status());
    await id('notice').waitFor({ state: 'detached' });
    must((await me.text()).includes('申诉期间请不要重复提交'), 'the end is missing');
  });
  await check('thumbs with a reason and a word', async () => {
    await id('thumb-down').last().click();
    await id('reasons').last().locator('button').nth(1).click();
    await id('reasons').last().locator('input').fill(say.comment);
    await page.keyboard.press('Tab');
    const full = await until(() => sent.findLast((frame) => frame.type === 'feedback.create' && frame.comment), 'it was not sent');
    must(full.rating === 'down' && full.reasons.length === 1 && full.comment === say.comment, JSON.stringify(full));
    await accessible(me, 'reasons');
    await me.shot(`desktop-feedback-${lang}`);
  });
  await check('edit and ask again replaces what followed', async () => {
    await me.choose('quick');
    await id('composer').fill(say.half);
    await id('edit').nth(1).click();
    await accessible(me, 'editing');
    await me.inBox(SLOW, 'editing');
    await page.getByRole('button', { name: say.cancel, exact: true }).click();
    await me.inBox(say.half, 'cancelled');
    await id('edit').nth(1).click();
    await me.inBox(SLOW, 'editing again');
    await id('composer').fill(say.edited);
    await page.keyboard.press('Enter');
    must((await me.ended(2)) === 'completed', await me.status());
    await me.inBox(say.half, 'sent');
  });
  await check('who scrolls up while an answer grows stays there, is told of what comes below, and gets to it by a press', async () => {
    await me.choose('slow');
    upTo(MIDWAY);
    await me.ask(SLOW);
    await me.midway(3);
    // What is on its way is there: the panel follows until it is scrolled.
    let text;
    await until(async () => text === (text = await me.text()) || page.waitForTimeout(200), 'it does not stand still');
    await id('history').evaluate((box) => (box.scrollTop = 0));
    upTo(3 * MIDWAY);
    await id('new-below').waitFor();
    must((await id('history').evaluate((box) => box.scrollTop)) === 0, 'it was scrolled away from the reader');
    await accessible(me, 'new text below');
    await id('new-below').click();
    await id('new-below').waitFor({ state: 'detached' });
  });
  await check('what the page asks during an answer takes nothing from the reader', async () => {
    await me.midway(3);
    await me.ask(say.last);
    await me.inBox(say.last, 'asked during an answer');
    await id('stop').click();
    must((await me.ended(3)) === 'cancelled', await me.status());
    upTo();
    await me.choose('quick');
    await id('send').click();
    must((await me.ended(4)) === 'completed', await me.status());
    await me.inBox(say.half, 'answered');
    await id('composer').fill('');
  });
  await check('another answer takes the place of the one before', async () => {
    const told = (await me.heard('answer')).length;
    await id('regenerate').last().click();
    await until(() => sent.some((frame) => frame.type === 'response.regenerate'), 'it was not asked for');
    // The one before stands, whole, until the next frame is drawn: only the page's own event tells the two apart.
    const [other] = await until(async () => (await me.heard('answer')).slice(told).length && (await me.heard('answer')).slice(told), 'no other answer ended');
    must(other.status === 'completed', other.status);
    must((await me.ended(4)) === 'completed', await me.status());
  });
  await check('copy copies the answer', async () => {
    await me.context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: house.shop.url });
    await me.last().getByRole('button', { name: say.copy }).click();
    await until(() => page.evaluate(async () => (await navigator.clipboard.readText()).includes('商家后台')), 'the answer is not in the clipboard');
  });
  await check('reasoning is folded', async () => {
    await me.choose('thinking');
    await me.ask(say.thinking);
    must((await me.ended(5)) === 'completed', await me.status());
    const reasoning = me.last().locator('details.reasoning');
    await until(async () => (await reasoning.count()) === 1, 'it is not there');
    must(!(await reasoning.evaluate((folded) => folded.open)), 'it is open');
    await reasoning.locator('summary').click();
    await until(() => reasoning.evaluate((folded) => folded.open), 'it does not open');
    await accessible(me, 'reasoning opened');
  });
  await check('Markdown that attacks stays text', async () => {
    await me.choose('evil');
    await me.ask(say.evil);
    must((await me.ended(6)) === 'completed', await me.status());
    must(await page.evaluate(() => window.hit === undefined), 'it ran');
    const inside = await me.last().evaluate((answer) => [answer.querySelectorAll('img, script, iframe, svg[onload], .md b').length, [...answer.querySelectorAll('.md a')].map((link) => link.href)]);
    must(inside[0] === 0 && inside[1].length === 0, JSON.stringify(inside));
  });
  await check('the page hears what happens', async () => {
    const [questions, answers, feedback] = [await me.heard('question'), await me.heard('answer'), await me.heard('feedback')];
    must(questions.at(-1)?.text && answers.at(-1)?.status === 'completed' && feedback.at(-1)?.rating === 'down', JSON.stringify({ questions, answers: answers.length, feedback }));
  });
  await check('closed, it counts the answers that came', async () => {
    await me.choose('slow');
    upTo(MIDWAY);
    await me.ask(SLOW);
    await me.midway(7);
    await page.evaluate(() => window.MerchantCopilot.close());
    await id('panel').waitFor({ state: 'hidden' });
    upTo();
    await until(async () => (await me.heard('unread')).some(({ count }) => count === 1), 'nothing was counted', 25_000);
    await until(async () => say.unread.test((await id('launcher').getAttribute('aria-label')) ?? ''), 'the launcher’s name does not say it');
    await accessible(me, 'closed');
    await me.shot(`closed-${lang}`);
  });
  await check('nothing broke the page’s policy', async () => {
    const violations = await page.evaluate(() => window.violations);
    must(!violations.length, violations.join(' | '));
  });
  await me.context.close();
}

/** Everything with the keyboard alone. */
export async function keys(house) {
  for (const lang of ['en', 'zh']) await keysIn(house, lang);
}

async function keysIn(house, lang) {
  const say = SAY[lang];
  const check = (name, action) => checked(`${lang}: ${name}`, action);
  const me = await visit(house, { 'page-lang': say.tag, starters: say.slow }, { viewport: { width: 1280, height: 860 }, locale: say.tag });
  const { page, id } = me;
  const press = (key) => page.keyboard.press(key);
  const tabTo = async (name, key = 'Tab') => {
    for (let n = 0; n < 40; n++) {
      if ((await me.focus()) === name) return;
      await press(key);
    }
    throw new Error(`${key} does not reach ${name}`);
  };
  await check('keyboard: Tab, Enter opens with the focus in the composer', async () => {
    await page.locator('#help').focus();
    await tabTo('launcher');
    await press('Enter');
    await me.focusOn('composer');
  });
  await check('keyboard: Enter while composing does not send, Shift+Enter is a new line, Enter sends', async () => {
    const input = await me.context.newCDPSession(page);
    await input.send('Input.imeSetComposition', { text: 'shensu', selectionStart: 6, selectionEnd: 6 });
    await input.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 229 });
    await me.inBox('shensu', 'composing');
    must((await id('answer').count()) === 0, 'an unfinished word was sent');
    await input.send('Input.insertText', { text: '申诉' });
    await me.inBox('申诉', 'composed');
    await id('composer').fill('');
    await page.keyboard.type(say.typed[0]);
    await press('Shift+Enter');
    await page.keyboard.type(say.typed[1]);
    await me.inBox(say.typed.join('\n'), 'typed in two lines');
    must((await id('answer').count()) === 0, 'it was sent');
    await press('Enter');
    must((await me.ended(1)) === 'completed', await me.status());
    must((await id('ai-mark').innerText()) === say.mark, 'no mark');
    await me.shot(`desktop-answer-${lang}`);
  });
  await check('keyboard: a screen reader hears whole sentences, once', async () => {
    const lines = () => id('announcer').locator('p').allInnerTexts();
    await until(async () => (await lines()).at(-1)?.startsWith(say.complete), 'the end is not announced');
    const said = await lines();
    must(new Set(said).size === said.length, said.join(' | '));
    return `${said.length} lines`;
  });
  await check('keyboard: source, back, thumbs, menu, history, close', async () => {
    await tabTo('history', 'Shift+Tab');
    await tabTo('citation');
    await press('Enter');
    await until(async () => (await id('source-sheet').getAttribute('data-state')) === 'ready', 'the row did not load');
    await press('Escape');
    await until(async () => (await me.focus()) === 'citation', 'not back on the marker');
    await tabTo('thumb-up');
    await press('Space');
    await until(async () => (await id('thumb-up').getAttribute('aria-pressed')) === 'true', 'not pressed');
    await tabTo('menu', 'Shift+Tab');
    await press('Enter');
    await id('open-history').waitFor();
    await accessible(me, 'menu');
    await tabTo('open-history');
    await press('Enter');
    await until(async () => (await id('history-sheet').getAttribute('data-state')) === 'ready', 'no list');
    await accessible(me, 'earlier conversations');
    await me.shot(`desktop-history-${lang}`);
    await press('Escape');
    await id('history-sheet').waitFor({ state: 'detached' });
    await press('Escape');
    await id('panel').waitFor({ state: 'hidden' });
    await me.focusOn('launcher');
  });
  await check('keyboard: another model, stop, a thumb down with its reason', async () => {
    await press('Enter');
    await me.focusOn('composer');
    await tabTo('menu', 'Shift+Tab');
    await press('Enter');
    await id('model-select').waitFor();
    await tabTo('model-select');
    await press('s'); // the first model whose name begins so: it is chosen, and the menu goes
    await me.focusOn('composer');
    house.provider.upTo(MIDWAY);
    await page.keyboard.type(say.last);
    await press('Enter');
    await me.midway(2);
    await tabTo('stop');
    await press('Enter');
    must((await me.ended(2)) === 'cancelled', await me.status());
    house.provider.upTo();
    await me.focusOn('composer');
    await tabTo('thumb-down', 'Shift+Tab');
    await press('Space');
    await id('reasons').waitFor();
    const onReason = () => page.evaluate(() => !!document.activeElement.shadowRoot?.activeElement.closest('[data-testid=reasons] button'));
    for (let n = 0; n < 4 && !(await onReason()); n++) await press('Tab');
    await press('Space');
    const rated = await until(() => me.sent.findLast((frame) => frame.type === 'feedback.create' && frame.reasons.length), 'no reason was sent');
    must(rated.rating === 'down' && rated.reasons.length === 1, JSON.stringify(rated));
    await accessible(me, 'a reason given by keyboard');
    await press('Escape');
    await id('reasons').waitFor({ state: 'detached' });
    await me.focusOn('thumb-down');
    must((await id('thumb-down').last().getAttribute('aria-pressed')) === 'true', 'the rating went with its reasons');
    // Twice at once: the first is the reasons’, though they have just come, and the second the panel’s.
    await press('Space');
    await until(async () => (await id('thumb-down').last().getAttribute('aria-pressed')) === 'false', 'not taken back');
    await press('Space');
    await id('reasons').waitFor();
    await press('Escape');
    must(await id('panel').isVisible(), 'the panel went with the reasons');
    await press('Escape');
    await id('panel').waitFor({ state: 'hidden' });
    await me.focusOn('launcher');
  }).finally(() => house.provider.upTo());
  await me.context.close();
}
