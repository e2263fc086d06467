// A visitor of the shop's page in Chromium, and what one does there.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { must, slowed, until } from '../checks.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const dist = fileURLToPath(new URL('../../dist', import.meta.url));

/** What pages complained of, and whom they asked. */
export const complaints = [];
export const hosts = new Map();

/** Opens the shop's page with these attributes on the script. */
export async function visit({ browser, shop, shots }, attributes = {}, options = {}) {
  const context = options.context ?? (await browser.newContext({ locale: 'zh-CN', colorScheme: 'light', ...options }));
  // While working on the widget: its scripts as they are in dist/, not as the program has them.
  if (process.env.E2E_DIST) {
    await context.route(/\/widget(\/\w+)?\.js$/, (route) => {
      const path = join(dist, new URL(route.request().url()).pathname);
      return existsSync(path) ? route.fulfill({ path, headers: { 'content-type': 'text/javascript' } }) : route.continue();
    });
  }
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  await slowed(page);
  // So that a check can break the line.
  await page.addInitScript(() => {
    const Real = window.WebSocket;
    window.WebSocket = class extends Real {
      constructor(...where) {
        super(...where);
        window.line = this;
      }
    };
  });
  page.on('pageerror', (error) => complaints.push(`page error: ${error.message}`));
  page.on('request', (request) => /^(http|ws)/.test(request.url()) && hosts.set(new URL(request.url()).host, request.url()));
  const sent = [];
  page.on('websocket', (socket) => {
    hosts.set(new URL(socket.url()).host, socket.url());
    socket.on('framesent', ({ payload }) => sent.push(JSON.parse(String(payload))));
  });
  const go = () => page.goto(`${shop.url}/?${new URLSearchParams(attributes)}`);
  await go();
  await until(() => page.evaluate(() => !!window.MerchantCopilot), 'the launcher did not load');
  const id = (name) => page.getByTestId(name);
  const me = {
    page, context, id, sent, go,
    last: () => id('answer').last(),
    status: () => id('answer').last().getAttribute('data-status'),
    text: () => id('answer').last().locator('.md').innerText(),
    shot: async (name) => {
      if (!shots) return;
      await me.rest();
      await page.screenshot({ path: join(shots, `${name}.png`) });
    },
    open: async () => {
      await page.evaluate(() => window.MerchantCopilot.open());
      await id('panel').waitFor();
      await until(async () => (await id('connection').getAttribute('data-state')) === 'up', 'no session.ready');
    },
    reload: async () => {
      await page.reload();
      await until(() => page.evaluate(() => !!window.MerchantCopilot), 'the launcher did not load');
      await page.evaluate(() => window.MerchantCopilot.open());
      await id('panel').waitFor();
    },
    ask: (text) => page.evaluate((text) => window.MerchantCopilot.ask(text), text),
    choose: async (model) => {
      await id('menu').click();
      await id('model-select').selectOption(model);
    },
    /** Waits until the last of `count` answers is over and says how. */
    ended: async (count, timeout = 25_000) => {
      const over = async () => (await id('answer').count()) === count && !['waiting', 'sent', 'accepted', 'running'].includes(await me.status());
      await until(over, `the answer did not end (${await me.status().catch(() => 'none')})`, timeout);
      return me.status();
    },
    /** Waits until the last of `count` answers has some text and goes on. */
    midway: async (count, length = 20) => {
      const some = async () => (await id('answer').count()) === count && (await me.last().locator('.md').count()) && (await me.text()).length > length;
      await until(some, 'no text came');
      must((await me.status()) === 'running', `it is ${await me.status()} already`);
    },
    /** Waits until nothing in the widget moves. */
    rest: () => rest(page),
    /** Waits until the box has this text: it is drawn once a frame. */
    inBox: async (text, when) => {
      const box = () => id('composer').inputValue();
      await until(async () => (await box()) === text, `${when}, the box has something else`).catch(async (error) => {
        throw new Error(`${error.message}: “${await box()}”`);
      });
    },
    /** Waits until the focus is on what has this test id. */
    focusOn: (name) => until(async () => (await me.focus()) === name, `the focus is not on ${name}`),
    focus: () =>
      page.evaluate(() => {
        const inner = document.activeElement?.shadowRoot?.activeElement;
        return (inner ?? document.activeElement)?.getAttribute('data-testid') ?? '';
      }),
    heard: (type) => page.evaluate((type) => window.heard.filter((event) => event.type === type), type),
  };
  return me;
}

/** Waits until nothing in the widget moves, but for what moves for ever. */
export function rest(page) {
  return page.waitForFunction(() => {
    const moving = document.querySelector('merchant-copilot')?.shadowRoot.getAnimations() ?? [];
    return moving.every((one) => one.playState !== 'running' || one.effect.getComputedTiming().endTime === Infinity);
  });
}

/** Fails when axe-core finds anything in the widget, or elsewhere, as it is now, once nothing fades in any more. */
export async function accessible({ page }, state, where = { include: [['merchant-copilot']] }) {
  await rest(page);
  await page.evaluate(axe);
  const found = await page.evaluate(async (where) => {
    const { violations } = await window.axe.run(where ?? document, { resultTypes: ['violations'] });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 90)).join(' ; ')}`);
  }, where);
  must(!found.length, `${state}: ${found.join(' | ')}`);
}

/** Fails when something in the widget is wider than what holds it, once nothing moves any more. */
export async function fits({ page }) {
  await rest(page);
  const wide = await page.evaluate(() => {
    const root = document.querySelector('merchant-copilot').shadowRoot;
    const panel = root.querySelector('.panel').getBoundingClientRect();
    const bad = [];
    for (const element of root.querySelectorAll('.panel *')) {
      const box = element.getBoundingClientRect();
      const scrolls = element.closest('.table, pre, .hidden');
      if (box.width && !scrolls && (box.right > panel.right + 1 || box.left < panel.left - 1)) bad.push(`${element.tagName}.${element.className} ${Math.round(box.left)}–${Math.round(box.right)}`);
    }
    if (document.documentElement.scrollWidth > innerWidth) bad.push(`the page scrolls: ${document.documentElement.scrollWidth}`);
    return bad.slice(0, 4);
  });
  must(!wide.length, `too wide: ${wide.join(' | ')}`);
}
