// The widget on phones, in both languages, in both lights, and as a page of its own.

import { check, must, until } from '../checks.mjs';
import { accessible, fits, visit } from './visit.mjs';

const ASKED = { zh: '保证金怎么退，多久到账？', en: 'How do I appeal a violation?' };
const LONG = `${'被扣分了怎么申诉'.repeat(12)}https://shop.example.com/${'very-long-address/'.repeat(9)}?`;

export async function look(house) {
  for (const [lang, width, colorScheme] of [['zh', 390, 'light'], ['en', 390, 'dark'], ['zh', 320, 'dark'], ['en', 320, 'light']]) {
    const name = `phone-${width}-${lang}-${colorScheme}`;
    await check(`${name}: everything fits`, async () => {
      const size = { width, height: width === 320 ? 568 : 844 };
      const me = await visit(
        house,
        { 'page-lang': lang, starters: Object.values(ASKED)[lang === 'en' ? 1 : 0], contact: '/contact' },
        { viewport: size, hasTouch: true, isMobile: true, deviceScaleFactor: 2, colorScheme, locale: lang === 'en' ? 'en-GB' : 'zh-CN' },
      );
      await me.id('launcher').tap();
      await me.id('panel').waitFor();
      await me.rest();
      const box = await me.id('panel').boundingBox();
      must(box.x === 0 && box.y === 0 && box.width === size.width && box.height === size.height, JSON.stringify(box));
      await fits(me);
      await accessible(me, 'welcome');
      await me.shot(`${name}-welcome`);
      await me.id('starter').first().tap();
      must((await me.ended(1)) === 'completed', await me.status());
      await fits(me);
      await accessible(me, 'answer');
      await me.shot(`${name}-answer`);
      await me.id('citation').first().tap();
      await until(async () => (await me.id('source-sheet').getAttribute('data-state')) === 'ready', 'the row did not load');
      await fits(me);
      await accessible(me, 'source');
      await me.shot(`${name}-source`);
      await me.id('sheet-close').tap();
      await me.id('thumb-down').last().tap();
      await me.ask(LONG);
      await me.ended(2);
      await fits(me);
      await me.id('menu').tap();
      await fits(me);
      await me.id('open-history').tap();
      await until(async () => (await me.id('history-sheet').getAttribute('data-state')) === 'ready', 'no list');
      await fits(me);
      await me.shot(`${name}-history`);
      await me.context.close();
    });
  }
  for (const [attributes, name] of [[{ mode: 'page' }, 'page'], [{ mode: 'page', into: '#place' }, 'into']]) {
    await check(`mode=page ${name}: fills its place, nothing to close`, async () => {
      const me = await visit(house, { ...attributes, starters: ASKED.zh, title: '规则问答' }, { viewport: { width: 1440, height: 900 } });
      await me.page.evaluate(() => Object.assign(document.querySelector('#place').style, { width: '900px', height: '600px' }));
      await me.id('panel').waitFor();
      await me.rest();
      must(!(await me.id('launcher').isVisible()) && (await me.id('close').count()) === 0, 'there is something to close');
      const box = await me.id('panel').boundingBox();
      const [width, height] = name === 'page' ? [1440, 900] : [900, 600];
      must(Math.round(box.width) === width && Math.round(box.height) === height, JSON.stringify(box));
      await me.id('starter').click();
      must((await me.ended(1)) === 'completed', await me.status());
      await me.page.keyboard.press('Escape');
      must(await me.id('panel').isVisible(), 'Escape closed it');
      await fits(me);
      await accessible(me, name);
      await me.shot(`mode-${name}`);
      await me.context.close();
    });
  }
  await check('mode=page on a phone: fills the screen, and gives way to the keyboard', async () => {
    const me = await visit(house, { mode: 'page', starters: ASKED.zh }, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
    await me.id('starter').tap();
    must((await me.ended(1)) === 'completed', await me.status());
    const box = await me.id('panel').boundingBox();
    must(box.x === 0 && box.y === 0 && box.width === 390 && box.height === 844, JSON.stringify(box));
    await fits(me);
    await accessible(me, 'a page on a phone');
    await me.shot('mode-page-phone');
    // What the widget itself sets when a keyboard leaves less of the screen.
    await me.id('panel').evaluate((panel) => panel.style.setProperty('--mc-height', '420px'));
    const composer = await me.id('composer').boundingBox();
    must(composer.y + composer.height <= 420, `the box is under the keyboard: ${JSON.stringify(composer)}`);
    await me.context.close();
  });
  await check('options: left, colour, light, own button, greeting, title', async () => {
    const options = { position: 'left', accent: '#b4126b', theme: 'dark', launcher: '#help', greeting: '你好，有问题直接问。', title: '小助手' };
    const me = await visit(house, options, { viewport: { width: 1280, height: 860 } });
    must(!(await me.id('launcher').isVisible()), 'the launcher is there');
    await me.page.locator('#help').click();
    await me.id('panel').waitFor();
    await me.rest();
    const [box, colour] = [await me.id('panel').boundingBox(), await me.id('panel').evaluate((panel) => getComputedStyle(panel).backgroundColor)];
    must(box.x < 40 && colour === 'rgb(28, 26, 23)', `${box.x} ${colour}`);
    must((await me.id('panel').innerText()).includes('有问题直接问') && (await me.id('panel').locator('h2').innerText()) === '小助手', 'not said');
    await accessible(me, 'options');
    await me.shot('desktop-options');
    await me.page.keyboard.press('Escape');
    await until(() => me.page.evaluate(() => document.activeElement.id === 'help'), 'the focus is not back on the page’s own button');
    await me.context.close();
  });
  await check('the language follows the page while it is open', async () => {
    const me = await visit(house, {}, { viewport: { width: 1280, height: 860 } });
    await me.open();
    await me.page.evaluate(() => (document.documentElement.lang = 'en'));
    await until(async () => (await me.id('panel').locator('h2').innerText()) === 'Merchant assistant', 'still Chinese');
    await me.context.close();
  });
}
