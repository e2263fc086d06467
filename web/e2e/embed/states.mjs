// Every state that is not plain sailing: what it says, that axe-core finds nothing, and its picture.

import { check, must, until } from '../checks.mjs';
import { accessible, hosts, visit } from './visit.mjs';

const ASKED = '被扣分了怎么申诉？';

/** A visit whose socket the check speaks for: `answer(frame, say, close)` handles what it wants to, else it goes on. */
async function spoken(house, answer, attributes = {}) {
  const context = await house.browser.newContext({ locale: 'zh-CN', colorScheme: 'light', viewport: { width: 1280, height: 860 } });
  let closed = false;
  await context.routeWebSocket(/\/ws$/, (socket) => {
    if (closed) return; // who comes back is not answered, so that what the panel says stays to be looked at
    const server = socket.connectToServer();
    socket.onMessage((message) => {
      const frame = JSON.parse(String(message));
      const close = (code) => ((closed = true), socket.close({ code }));
      if (!answer(frame, (said) => socket.send(JSON.stringify(said)), close)) server.send(message);
    });
  });
  const me = await visit(house, attributes, { context });
  await me.open();
  return me;
}

/** A state that an `error` to the question brings about. */
async function refused(house, name, error, expected) {
  await check(`state: ${name}`, async () => {
    const me = await spoken(
      house,
      (frame, say) => frame.type === 'message.create' && (say({ type: 'error', ref: frame.id, retryable: false, ...error }), true),
      { contact: '/contact', 'contact-en': '/contact' },
    );
    await me.ask(ASKED);
    await until(async () => (await me.status()) === 'refused', 'it is not refused');
    const said = await me.last().innerText();
    must(expected.test(said), said);
    await until(async () => (await me.id('contact').count()) === 1, 'no way to a person');
    await accessible(me, name);
    await me.shot(`state-${name.replace(/ /g, '-')}`);
    await me.context.close();
    return said.replace(/\s+/g, ' ');
  });
}

/** A state that a close code brings about. */
async function closed(house, name, code, expected) {
  await check(`state: ${name}`, async () => {
    const me = await spoken(house, (frame, _, close) => frame.type === 'message.create' && (close(code), true));
    await me.ask(ASKED);
    const said = await until(async () => (await me.id('notice').count()) && me.id('notice').innerText(), 'it says nothing');
    must(expected.test(said), said);
    await accessible(me, name);
    await me.context.close();
    return said.replace(/\s+/g, ' ');
  });
}

/** What the provider refuses is told in the language of the page, and never in the provider's words. */
async function unwelcome(house) {
  for (const [lang, text] of [['zh', ASKED], ['en', 'Which documents do I need to open a shop?']]) {
    await check(`state: the provider refuses the key, and the question, in ${lang}`, async () => {
      const me = await visit(house, { 'page-lang': lang }, { viewport: { width: 1280, height: 860 }, locale: lang === 'zh' ? 'zh-CN' : 'en-GB' });
      await me.open();
      const told = [];
      for (const model of ['unauthorized', 'refuses']) {
        await me.choose(model);
        await me.ask(text);
        must((await me.ended(told.length + 1, 40_000)) === 'failed', await me.status());
        const said = await me.last().locator('.outcome span').innerText();
        // A command for who runs the server is a name in every language.
        const foreign = lang === 'zh' ? /[A-Za-z]{4}/ : /[\u4e00-\u9fff]/;
        must(said.length > 20 && !foreign.test(said.replace('`merchant-copilot doctor`', '')), said);
        await accessible(me, `${model}, ${lang}`);
        told.push(said);
      }
      must(told[0] !== told[1], 'the key and the question are refused alike');
      await me.context.close();
      return told.join(' | ');
    });
  }
}

/** A question without an answer leads to a person; a greeting asks nothing, so nothing is missing. */
async function greeted(house) {
  await check('state: a way to a person under what the base does not know, and none under a greeting', async () => {
    const me = await visit(house, { contact: '/contact' }, { viewport: { width: 1280, height: 860 } });
    await me.ask('你好');
    await until(async () => (await me.status()) === 'completed', 'the greeting is not answered');
    must((await me.id('contact').count()) === 0, 'a greeting is taken for a miss');
    await me.ask('怎么用量子计算机煮鸡蛋？');
    await until(async () => (await me.id('contact').count()) === 1, 'no way to a person');
    await me.context.close();
  });
}

/** What no row answers a model may answer here: that it has no source is seen, and heard once at the end. */
async function unsourced(house) {
  for (const [lang, question, answer, note] of [
    ['zh', '怎么用量子计算机煮鸡蛋？', '用锅煮，水开后八分钟。', '（这条没有出处）'],
    ['en', 'What is the capital of France?', 'It is Paris.', '(this one has no source)'],
  ]) {
    await check(`state: an answer without a source, in ${lang}`, async () => {
      const me = await visit(house, { 'page-lang': lang }, { viewport: { width: 1280, height: 860 }, locale: lang === 'zh' ? 'zh-CN' : 'en-GB' });
      await me.open();
      await me.choose('echo');
      house.provider.say = answer;
      await me.ask(question);
      must((await me.ended(1)) === 'completed', await me.status());
      must((await me.text()).includes(answer), await me.text());
      const mark = await me.id('ai-mark').innerText();
      must(mark.endsWith(note), `it is not seen: ${mark}`);
      const said = () => me.id('announcer').locator('p').allInnerTexts();
      await until(async () => (await said()).at(-1)?.endsWith(note), 'it is not heard');
      const heard = await said();
      must(heard.filter((line) => line.includes(note)).length === 1 && heard.some((line) => line.includes(answer)), heard.join(' | '));
      await accessible(me, `an answer without a source, ${lang}`);
      await me.shot(`state-unsourced-${lang}`);
      await me.context.close();
      return heard.at(-1);
    });
  }
}

/** What lies over the conversation, while it is loaded and when it is not. */
async function sheets(house) {
  const me = await visit(house, {}, { viewport: { width: 1280, height: 860 } });
  const states = (sheet) => (state) => until(async () => (await me.id(sheet).getAttribute('data-state')) === state, `it is not ${state}`);
  await me.open();
  await check('state: earlier conversations: none, loading, not to be had, and asked about before one goes', async () => {
    const is = states('history-sheet');
    const list = async () => {
      await me.id('menu').click();
      await me.id('open-history').click();
    };
    await list();
    await is('ready');
    must((await me.id('history-sheet').innerText()).includes('还没有历史对话'), await me.id('history-sheet').innerText());
    await accessible(me, 'no earlier conversations');
    await me.page.keyboard.press('Escape');
    await me.ask('跨境店保证金要交多少？');
    must((await me.ended(1)) === 'completed', await me.status());
    const held = await hold(me, /\/api\/v1\/conversations(\?|$)/);
    await list();
    await is('loading');
    await accessible(me, 'earlier conversations loading');
    await held.fail();
    await is('failed');
    await accessible(me, 'earlier conversations not to be had');
    await held.end();
    await me.id('history-sheet').getByRole('button', { name: '重试' }).click();
    await is('ready');
    await me.id('remove').first().click();
    await me.id('history-sheet').getByText('确认删除').waitFor();
    await accessible(me, 'asked before a conversation goes');
    await me.page.keyboard.press('Escape');
  });
  await check('state: a source loading, and one that does not load shows the part that was quoted', async () => {
    const is = states('source-sheet');
    const held = await hold(me, /\/sources\/\d+/);
    await me.id('citation').first().click();
    await is('loading');
    await accessible(me, 'a source loading');
    await held.fail();
    await is('failed');
    must((await me.id('source-sheet').locator('.row-text').innerText()).length > 5, 'nothing of the source is shown');
    await accessible(me, 'a source that did not load');
    await held.end();
    await me.id('source-sheet').getByRole('button', { name: '重试' }).click();
    await is('ready');
  });
  await me.context.close();
}

/** Holds what asks for an address until it fails, and all later, until the end. */
async function hold({ page }, address) {
  const held = [];
  await page.route(address, (route) => held.push(route));
  return { fail: () => Promise.all(held.splice(0).map((route) => route.abort())), end: () => page.unroute(address) };
}

/** A page that the server does not even open a socket for is told why, though the browser keeps it from the page. */
async function unopened(house) {
  // By its other name the shop's page has an origin that no key allows.
  const elsewhere = { ...house, shop: { ...house.shop, url: house.shop.url.replace('localhost', '127.0.0.1') } };
  const answered = (status) => (route) => (status ? route.fulfill({ status, headers: { 'access-control-allow-origin': '*' }, json: { error: { code: 'rate_limited', message: '' } } }) : route.abort());
  for (const [name, key, answer, expected] of [
    ['page not allowed', house.shop.key, undefined, /这个网站还没有开通助手[^{}]*127\.0\.0\.1/],
    ['key unknown', 'site_none', undefined, /身份验证/],
    ['too many connections', house.shop.key, answered(429), /约 \d+ 秒后自动恢复/],
    ['server down', house.shop.key, answered(), /连不上服务/],
  ]) {
    await check(`state: no socket is opened: ${name}`, async () => {
      const context = await house.browser.newContext({ locale: 'zh-CN', viewport: { width: 1280, height: 860 } });
      if (answer) await context.route(/\/ws$/, answer);
      const me = await visit(elsewhere, { 'page-key': key }, { context });
      await me.page.evaluate(() => window.MerchantCopilot.open());
      const said = await until(async () => (await me.id('notice').count()) && me.id('notice').innerText(), 'it says nothing', 30_000);
      must(expected.test(said), said);
      await accessible(me, name);
      await me.context.close();
      hosts.delete(new URL(elsewhere.shop.url).host);
      return said.replace(/\s+/g, ' ');
    });
  }
}

/** An answer that failed says when asking again makes sense, and its buttons wait until then. */
async function told(house) {
  await check('state: a failed answer waits as told', async () => {
    const me = await spoken(house, (frame, say) => {
      if (frame.type !== 'message.create') return false;
      const its = (seq, more) => say({ conversation_id: 'c_1', response_id: 'r_1', seq, ...more });
      its(1, { type: 'message.accepted', ref: frame.id, message_id: 'm_1', duplicate: false });
      its(2, { type: 'response.created', message_id: 'm_1', model: 'm' });
      its(3, { type: 'response.text.delta', offset: 0, delta: '第一步，' });
      its(4, { type: 'response.done', status: 'failed', citations: [], suggestions: [], error: { code: 'model_rate_limited', message: 'no', retryable: true, retry_after_ms: 4000 } });
      return true;
    });
    await me.ask(ASKED);
    must((await me.ended(1)) === 'failed', await me.status());
    const again = me.last().locator('.outcome button');
    must((await again.isDisabled()) && (await me.id('regenerate').isDisabled()), 'it can be asked again at once');
    const said = await me.last().locator('.outcome').innerText();
    must(/重新提问（\d 秒）/.test(said), said);
    await until(async () => (await again.isEnabled()) && (await me.id('regenerate').isEnabled()), 'it stays shut');
    await me.context.close();
    return said.replace(/\s+/g, ' ');
  });
}

export async function states(house) {
  await unopened(house);
  await told(house);
  await greeted(house);
  await unsourced(house);
  await refused(house, 'rate limited', { code: 'rate_limited', message: 'no', retryable: true, retry_after_ms: 9000 }, /现在有点忙[\s\S]*重试（\d 秒）/);
  await refused(house, 'refused', { code: 'refused_words', message: '这个问题不能回答。换个说法再问。' }, /没有发出：这个问题不能回答/);
  await closed(house, 'another window', 4409, /另一个窗口/);
  await closed(house, 'too many requests', 4429, /约 \d+ 秒后自动恢复/);
  await closed(house, 'other version', 4400, /版本不一致/);
  await closed(house, 'key refused', 4401, /身份验证/);
  await closed(house, 'page not allowed', 4403, /这个网站还没有开通助手[^{}]*localhost/);
  await closed(house, 'too slow a reader', 4408, /网络较慢/);
  await closed(house, 'server going away', 1013, /网络较慢/);
  await closed(house, 'too long a frame', 1009, /内容太长，没有发出/);
  await sheets(house);
  await unwelcome(house);

  const me = await visit(house, { contact: 'https://help.example.com/people' }, { viewport: { width: 1280, height: 860 } });
  await me.open();
  await check('state: nothing found, with the nearest questions and the way to a person', async () => {
    await me.ask('保证金能用比特币交吗？');
    must((await me.ended(1)) === 'completed', await me.status());
    // They are drawn with the frame after the one that shows the end.
    await until(async () => (await me.id('suggestion').count()) === 3, `not three nearest questions: ${await me.text()}`);
    const near = await me.id('suggestion').allInnerTexts();
    must(near.every((one) => one.includes('保证金')), `not near: ${near.join(' | ')}`);
    must((await me.page.getByRole('heading', { name: '相近的问题' }).isVisible()) && !/下面|below/.test(await me.text()), await me.text());
    must((await me.id('contact').getAttribute('href')) === 'https://help.example.com/people', 'no way to a person');
    await accessible(me, 'nothing found');
    await me.shot('state-nothing-found');
    return near.join(' | ');
  });
  await check('state: nothing found and nothing near: nothing is pointed to', async () => {
    const other = await visit(house, { 'page-lang': 'en' }, { viewport: { width: 1280, height: 860 }, locale: 'en-GB' });
    await other.open();
    await other.ask('What is the capital of France?');
    must((await other.ended(1)) === 'completed', await other.status());
    must((await other.id('suggestion').count()) === 0 && !/below/.test(await other.last().innerText()), await other.last().innerText());
    await other.context.close();
  });
  await check('state: the provider fails', async () => {
    await me.choose('broken');
    await me.ask(ASKED);
    must((await me.ended(2, 40_000)) === 'failed', await me.status());
    await until(async () => (await me.id('suggestion').count()) === 3, 'the refusal before lost its near questions');
    await accessible(me, 'failed');
    await me.shot('state-failed');
    return (await me.last().innerText()).replace(/\s+/g, ' ');
  });
  await check('state: an answer that breaks off', async () => {
    await me.choose('breaks');
    await me.ask(ASKED);
    must((await me.ended(3, 40_000)) === 'incomplete', await me.status());
    await accessible(me, 'broken off');
    return (await me.last().locator('.outcome').innerText()).replace(/\s+/g, ' ');
  });
  await check('state: too long a question says how long it may be', async () => {
    await me.id('composer').fill('长'.repeat(4001));
    const told = await me.page.locator('.limit').innerText();
    must(/最多 4000 字/.test(told), told);
    await until(() => me.id('send').isDisabled(), 'it can be sent');
    await accessible(me, 'too long');
    await me.id('composer').fill('');
  });
  await check('state: the server goes away in mid-answer and comes back', async () => {
    await me.choose('slow');
    house.provider.upTo(15);
    await me.ask(ASKED);
    await me.midway(4);
    await house.crash();
    house.provider.upTo();
    await until(async () => (await me.id('connection').getAttribute('data-state')) !== 'up', 'it does not notice');
    await accessible(me, 'reconnecting');
    await me.shot('state-reconnecting');
    await house.restart();
    const end = await me.ended(4, 60_000);
    must(['incomplete', 'lost'].includes(end), end);
    await until(async () => (await me.id('connection').getAttribute('data-state')) === 'up', 'it does not come back', 40_000);
    await me.choose('quick');
    await me.ask(ASKED);
    must((await me.ended(5)) === 'completed', await me.status());
    return `ended ${end}, then answered again`;
  });
  await me.context.close();
  await check('state: the panel does not load, and a second click tries again', async () => {
    const other = await visit(house);
    let dead = true;
    await other.context.route(/widget\/panel\.js/, (route) => (dead ? route.abort() : route.fallback()));
    await other.go();
    await other.id('launcher').click();
    await until(async () => /没有加载成功/.test(await other.page.getByRole('alert').innerText()), 'it says nothing');
    await accessible(other, 'not loaded');
    dead = false;
    await other.id('launcher').click();
    await other.id('panel').waitFor();
    await other.context.close();
  });
  await check('state: on a slow network the pressed launcher shows that something comes', async () => {
    const other = await visit(house, {}, { viewport: { width: 1280, height: 860 } });
    let go;
    const slow = new Promise((done) => (go = done));
    await other.context.route(/widget\/panel\.js/, async (route) => (await slow, route.fallback()));
    await other.go();
    await other.id('launcher').click();
    const arc = await other.id('launcher').evaluate((button) => [button.getAttribute('aria-busy'), getComputedStyle(button, '::before').borderRightWidth, getComputedStyle(button, '::before').animationName]);
    must(arc.join() === 'true,3px,mc-wait', arc.join());
    await other.shot('state-loading');
    go();
    await other.id('panel').waitFor();
    await other.context.close();
  });
  for (const [name, options] of Object.entries({ dark: { colorScheme: 'dark' }, 'more contrast': { contrast: 'more' }, 'forced colours': { forcedColors: 'active' }, 'less motion': { reducedMotion: 'reduce' } })) {
    await check(`state: ${name}`, async () => {
      const other = await visit(house, { starters: ASKED }, { viewport: { width: 1280, height: 860 }, ...options });
      await other.open();
      await accessible(other, `${name}, welcome`);
      await other.id('starter').click();
      must((await other.ended(1)) === 'completed', await other.status());
      await accessible(other, `${name}, answer`);
      await other.id('source-chip').first().click();
      await until(async () => (await other.id('source-sheet').getAttribute('data-state')) === 'ready', 'the row did not load');
      await accessible(other, `${name}, source`);
      if (name === 'less motion') {
        const moves = await other.id('panel').evaluate((panel) => panel.getAnimations({ subtree: true }).length);
        must(moves === 0, `${moves} animations`);
      }
      await other.shot(`desktop-${name.replace(' ', '-')}`);
      await other.context.close();
    });
  }
}
