// Texts that attack a page, in a real browser and on a page without any policy: as an answer, and as
// rows, whose questions are titles of sources, from a file with a name of that kind.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { check, must, until } from '../checks.mjs';
import { hostile } from './corpus.mjs';
import { HOSTILE_MODEL } from './provider.mjs';
import { visit } from './visit.mjs';

const ASKED = '被扣分了怎么申诉？';
const SIZE = 12;

/** Elements and attributes that only an attack can have brought, and links to hosts that are not `known`. */
const strangers = (known) => {
  const root = document.querySelector('merchant-copilot').shadowRoot;
  const found = [];
  for (const element of root.querySelectorAll('.panel *')) {
    const tag = element.localName;
    const own = tag === 'svg' ? element.matches('.icon') : tag === 'path' ? element.closest('svg.icon') : true;
    if (!own || /^(script|img|image|iframe|object|embed|base|meta|link|style|video|audio|source|marquee|math|template|noscript|slot|animate|x-evil|merchant-copilot)$/.test(tag)) found.push(tag);
    if (tag === 'form' && !element.matches('.composer')) found.push('form');
    for (const { name, value } of element.attributes) {
      if (/^on|^srcdoc$|^style$|^formaction$/.test(name) && !element.matches('textarea')) found.push(`${tag} ${name}`);
      if (name === 'href' && !new RegExp(`^https?://(?:${known})[:/]`).test(value)) found.push(`${tag} ${value}`);
    }
  }
  if (window.hit !== undefined) found.push('it ran');
  return found;
};

/** `known`: hosts that links may lead to. */
async function lax(house, key, known) {
  const me = await visit(house, { 'page-lax': '', 'page-key': key }, { viewport: { width: 1280, height: 860 } });
  me.dialogs = [];
  me.page.on('dialog', (dialog) => (me.dialogs.push(dialog.message()), dialog.dismiss()));
  await me.page.evaluate(() => (window.alert = () => (window.hit = 1)));
  await me.open();
  me.harmless = async (text) => {
    const found = await me.page.evaluate(strangers, known);
    must(!found.length && !me.dialogs.length, `${JSON.stringify(text).slice(0, 80)}: ${found.slice(0, 4).join(', ')} ${me.dialogs}`);
    must(me.page.url().startsWith(house.shop.url), `it led to ${me.page.url()}`);
  };
  return me;
}

export async function hostility(house) {
  await check(`answers that attack: ${hostile.length} texts on a page without a policy`, async () => {
    const me = await lax(house, house.shop.key, 'known\\.example|localhost');
    await me.choose('echo');
    for (const [n, text] of hostile.entries()) {
      if (n && n % SIZE === 0) await me.id('new-conversation').click();
      house.provider.say = text;
      await me.ask(`${ASKED}${n}`);
      await me.ended((n % SIZE) + 1);
      await me.harmless(text);
    }
    // Stored ones come back the same way.
    await me.reload();
    await me.harmless('after a reload');
    await me.context.close();
  });
  await check('rows that attack: in titles, chips, the row itself, and by the name of their file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mc-hostile-'));
    const short = hostile.filter((text) => text.length < 200);
    const rows = Array.from({ length: Math.ceil(short.length / SIZE) }, (_, at) => {
      const texts = short.slice(at * SIZE, (at + 1) * SIZE);
      const [first, second = first] = texts;
      return { question: `第${at}号攻击是什么 ${first}`, answer: `第${at}号攻击。\n\n${texts.join('\n\n')}`, category: second, url: 'javascript:window.hit=1' };
    });
    const file = join(folder, '<img src=x onerror=window.hit=1>.jsonl');
    writeFileSync(file, rows.map((row) => JSON.stringify(row)).join('\n'));
    await house.run('tenant', 'add', 'hostile');
    const done = JSON.parse(await house.run('kb', 'import', file, '--as-is', '--json', '--tenant', 'hostile').catch((error) => String(error).replace(/^.*?: /s, '')));
    rmSync(folder, { recursive: true });
    must(done.added > 0, JSON.stringify(done).slice(0, 300));
    const me = await lax(house, await house.issue('--role', 'site', '--tenant', 'hostile', '--origin', house.shop.url), '[\\w.-]+'); // a row may lead where its shop wants
    let opened = 0;
    for (const [n, { question }] of rows.entries()) {
      await me.ask(question);
      await me.ended(n + 1);
      await me.harmless(question);
      const chips = me.last().getByTestId('source-chip');
      if (!(await chips.count())) continue;
      await chips.first().click();
      await until(async () => (await me.id('source-sheet').getAttribute('data-state')) === 'ready', 'the row did not load');
      await me.harmless(question);
      opened++;
      await me.page.keyboard.press('Escape');
      await me.id('source-sheet').waitFor({ state: 'detached' });
    }
    must(opened > rows.length / 2, `only ${opened} of ${rows.length} rows were opened`);
    await me.id('menu').click();
    must((await me.id('model-select').innerText()).includes(HOSTILE_MODEL), 'the model with the hostile name cannot be chosen');
    await me.harmless('the menu');
    await me.id('open-history').click();
    await until(async () => (await me.id('history-sheet').getAttribute('data-state')) === 'ready', 'no list');
    await me.harmless('the list of conversations');
    await me.context.close();
    return `${done.added} rows, ${opened} opened`;
  });
}
