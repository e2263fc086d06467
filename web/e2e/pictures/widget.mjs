// The widget in every state a merchant can meet, on the demo page and as a page of its own: a server with a provider
// that is slow, fails and breaks off when it is told to, and a line that is cut and an error that is sent by hand.

import { startServer, startShop } from '../embed/house.mjs';
import { MODELS, startProvider } from '../embed/provider.mjs';
import { rest } from '../embed/visit.mjs';

const SCREENS = {
  desktop: { viewport: { width: 1280, height: 800 } },
  phone: { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true },
};
/** Chinese is taken by day and English at night, so that both lights are seen. */
const SAYS = {
  zh: { locale: 'zh-CN', colorScheme: 'light', first: '跨境店保证金要交多少？', model: '被扣分了怎么申诉？', none: '保证金能用比特币交吗？', steps: '被扣分后可以申诉：\n\n1. 进入 **商家后台 > 违规管理**，找到处罚单[1]。\n2. 点“申诉”，在 7 天内上传聊天记录、物流底单和进货凭证[1]。\n3. 平台在 3 个工作日内复核，结果发站内信[2]。', comment: '没说要多久' },
  en: { locale: 'en-GB', colorScheme: 'dark', first: 'How do I appeal a violation?', model: 'Who pays for return shipping?', none: 'Can I pay the deposit in bitcoin?', steps: 'It depends on who is at fault:\n\n1. The item is **wrong or broken**: you pay, and the parcel comes back within 15 days[1].\n2. The buyer changed their mind: the buyer pays, unless freight insurance is on[1].\n3. Nobody agrees: open a dispute, and support decides within 3 working days[2].', comment: 'no time limit' },
};
/** What the panel has around it on a desktop. */
const MARGIN = 20;

/** `open` opens a page with these scripts as they are in dist/ now, `picture` writes what a page shows. */
export async function pictureWidget({ browser, binary, open, picture }) {
  const provider = await startProvider();
  const server = await startServer(binary, {
    env: {
      OPENAI_API_KEY: 'sk-check', OPENAI_BASE_URL: provider.url, OPENAI_MODEL: MODELS.join(','), COPILOT_MODELS__DEFAULT: 'builtin',
      COPILOT_MODELS__BREAKER_FAILURES: '0', COPILOT_LIMITS__KEY_PER_MINUTE: '6000', COPILOT_LIMITS__ADDRESS_PER_MINUTE: '6000', COPILOT_CHAT__REASONING: 'native',
    },
  });
  const shop = await startShop({ server: () => server.url, secret: () => '' });
  shop.key = await server.issue('--role', 'site', '--origin', shop.url);
  try {
    for (const [screen, options] of Object.entries(SCREENS)) {
      for (const [lang, say] of Object.entries(SAYS)) {
        const { locale, colorScheme } = say;
        const shown = { ...options, locale, colorScheme };
        await states({ browser, open, server, provider, say, lang, shown }, (page, name, clip) => picture(page, `widget/${name}-${screen}-${lang}`, clip));
        const page = await open(browser, `${shop.url}/?${new URLSearchParams({ mode: 'page', 'page-lang': lang, starters: say.first })}`, shown);
        await page.getByTestId('starter').click();
        await ended(page, 1);
        await rest(page);
        await picture(page, `widget/page-${screen}-${lang}`);
        await page.context().close();
      }
    }
  } finally {
    await server.kill('SIGTERM');
    server.clear();
    shop.stop();
    provider.stop();
  }
}

/** Waits for the end of the last of `count` answers. */
const ended = (page, count) =>
  page.waitForFunction((count) => {
    const answers = [...document.querySelector('merchant-copilot').shadowRoot.querySelectorAll('[data-testid=answer]')];
    return answers.length === count && !['waiting', 'sent', 'accepted', 'running'].includes(answers.at(-1).dataset.status);
  }, count);

async function states({ browser, open, server, provider, say, lang, shown }, picture) {
  /** The line as this script wants it: cut, or full of errors. */
  const line = { cut: false, busy: false, sockets: new Set() };
  const page = await open(browser, `${server.url}/?lang=${lang}`, shown, async (context) => {
    await context.routeWebSocket(/\/ws$/, (socket) => {
      if (line.cut) return socket.close({ code: 4000 });
      line.sockets.add(socket);
      const far = socket.connectToServer();
      socket.onMessage((message) => {
        const { id, type } = JSON.parse(String(message));
        if (!line.busy || type !== 'message.create') return far.send(message);
        socket.send(JSON.stringify({ type: 'error', ref: id, code: 'rate_limited', message: '', retryable: true, retry_after_ms: 20_000 }));
      });
    });
  });
  const id = (name) => page.getByTestId(name);
  await page.waitForFunction(() => !!window.MerchantCopilot);
  const ask = (text) => page.evaluate((text) => window.MerchantCopilot.ask(text), text);
  let told = 0;
  const answered = async (text) => {
    await ask(text);
    await ended(page, ++told);
  };
  const choose = async (model) => {
    await id('menu').click();
    await id('model-select').selectOption(model);
  };
  const take = async (name) => {
    await rest(page);
    await picture(page, name, await clipOf(page));
  };
  // The demo page knows no person; a shop does.
  await page.evaluate(() => {
    document.querySelector('script[data-key]').dataset.contact = '/people';
    window.MerchantCopilot.open();
  });
  await page.locator('[data-testid=connection][data-state=up]').waitFor();
  await take('welcome');

  await answered(say.first);
  await take('answer');
  await id('citation').first().click();
  await page.locator('[data-testid=source-sheet][data-state=ready]').waitFor();
  await take('source');
  await page.keyboard.press('Escape');
  await id('thumb-down').last().click();
  await id('reasons').locator('button').nth(1).click();
  await id('reasons').locator('input').fill(say.comment);
  await take('feedback');

  await id('new-conversation').click();
  told = 0;
  await answered(say.none);
  await take('nothing-found');

  await id('new-conversation').click();
  told = 0;
  provider.say = say.steps;
  await choose('reader');
  await ask(say.model);
  await page.locator('[data-testid=answer] .md').first().waitFor();
  await page.waitForFunction(() => document.querySelector('merchant-copilot').shadowRoot.querySelector('.md')?.textContent.length > 60);
  await picture(page, 'streaming', await clipOf(page));
  line.cut = true;
  await page.context().setOffline(true);
  for (const socket of line.sockets) await socket.close({ code: 4000 });
  await page.locator('[data-testid=connection][data-state=down]').waitFor();
  await take('offline');
  await page.context().setOffline(false);
  await page.locator('[data-testid=connection][data-state=wait]').waitFor();
  await id('notice').waitFor(); // after some attempts it says what to do
  await take('reconnecting');
  line.cut = false;
  await ended(page, ++told);

  await id('new-conversation').click();
  told = 0;
  await choose('broken');
  await answered(say.model);
  await take('failed');
  await id('new-conversation').click();
  told = 0;
  line.busy = true;
  await answered(say.model);
  await take('busy');
  line.busy = false;

  await id('menu').click();
  await id('open-history').click();
  await page.locator('[data-testid=history-sheet][data-state=ready]').waitFor();
  await take('conversations');
  await page.context().close();
}

/** The panel with a margin; nothing when it fills the screen. */
async function clipOf(page) {
  const box = await page.getByTestId('panel').boundingBox();
  return box.x > MARGIN ? { x: box.x - MARGIN, y: box.y - MARGIN, width: box.width + 2 * MARGIN, height: box.height + 2 * MARGIN } : undefined;
}
