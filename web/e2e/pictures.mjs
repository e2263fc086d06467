// The pictures of the README, from a real server with the built-in model, but with the widget and the
// console as they are in dist/ now, not as that server has them:
//   node e2e/pictures.mjs <base_url> <sign-in-link> <dir>

import { existsSync, statSync } from 'node:fs';
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

  const console = await open(browser, link, { viewport: { width: 1440, height: 900 } });
  await console.getByTestId('sign-out').waitFor();
  await console.goto(`${base}/console/#/try?q=${encodeURIComponent('保证金怎么退，多久到账？')}`);
  await console.getByTestId('hits').waitFor();
  await console.waitForTimeout(400);
  await console.screenshot({ path: join(dir, 'console.png') });
} finally {
  await browser.close();
}
