// The console's door: what it says to a wrong key, to one of another role, to a link that was used, when it is knocked
// on too often and when nobody is there; on phones and a desktop, in both languages.

import { check, judge, must, reads, until, visit } from '../desk.mjs';

const SCREENS = { smallest: { width: 320, height: 568 }, phone: { width: 360, height: 740 }, desktop: { width: 1280, height: 860 } };
const SAYS = {
  zh: { wrong: /密钥不对/, member: /没有管理权限/, used: /已经用过/, limited: /操作太频繁/, away: /连不上服务/ },
  en: { wrong: /not valid/, member: /no admin rights/, used: /used already/, limited: /Too many/, away: /cannot be reached/ },
};

export async function gate({ browser, base, member, shot }) {
  for (const [screen, viewport] of Object.entries(SCREENS)) {
    for (const lang of ['zh', 'en']) {
      await check(`signing in on a ${screen} in ${lang}: every refusal in words, axe-core, and nothing too wide`, async () => {
        const page = await visit(browser, `${base}/console/`, { viewport, locale: lang === 'zh' ? 'zh-CN' : 'en-GB' });
        const id = (name) => page.getByTestId(name);
        const alert = page.getByRole('alert');
        const knock = async (key, expected) => {
          await id('key').fill(key);
          await id('sign-in').click();
          await reads(alert, expected);
          await until(() => id('key').evaluate((box) => document.activeElement === box), 'the focus is not in the box');
        };
        await id('key').waitFor();
        await judge(page, 'the empty form');
        const cut = await page.locator('.hint code').evaluate((code) => code.scrollWidth - code.clientWidth);
        must(cut <= 0, `the command is cut off by ${cut} px`);
        await shot(page, `sign-in-${screen}-${lang}`);
        await knock('mc_admin_wrong', SAYS[lang].wrong);
        await judge(page, 'a wrong key');
        await shot(page, `sign-in-wrong-${screen}-${lang}`);
        await knock(member, SAYS[lang].member);
        const limited = { status: 429, contentType: 'application/json', body: '{"error":{"code":"rate_limited","message":"Too many requests."}}' };
        await page.route(/\/api\/v1\/session/, (route) => route.fulfill(limited));
        await knock('mc_admin_wrong', SAYS[lang].limited);
        // What it says follows the language.
        await page.getByRole('button', { name: lang === 'zh' ? 'English' : '中文' }).click();
        await reads(alert, SAYS[lang === 'zh' ? 'en' : 'zh'].limited);
        await page.getByRole('button', { name: lang === 'zh' ? '中文' : 'English' }).click();
        await page.unrouteAll();
        await page.route(/\/api\/v1\/session/, (route) => route.abort());
        await knock('mc_admin_wrong', SAYS[lang].away);
        await judge(page, 'nobody there');
        await page.unrouteAll();
        await page.goto('about:blank');
        await page.goto(`${base}/console/#signin=used`);
        await reads(alert, SAYS[lang].used);
        await page.waitForURL((url) => !url.href.includes('signin'));
        await judge(page, 'a used link');
        await page.context().close();
      });
    }
  }
}
