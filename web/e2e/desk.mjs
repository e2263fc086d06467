// What the console's scripts share: checks that are counted, a browser, a page that is signed in, and what
// every page has to pass: axe-core, and nothing wider than the screen.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { slowed } from './checks.mjs';

const dist = fileURLToPath(new URL('../dist', import.meta.url));
const axe = readFileSync(fileURLToPath(new URL('../node_modules/axe-core/axe.min.js', import.meta.url)), 'utf8');

export const tally = { failures: 0, complaints: [], foreign: [] };

export async function check(name, action) {
  const start = Date.now();
  try {
    const remark = await action();
    console.log(`ok    ${name}${remark ? ` — ${remark}` : ''} (${Date.now() - start} ms)`);
  } catch (error) {
    tally.failures++;
    console.log(`FAIL  ${name} — ${String(error.message ?? error).split('\n').slice(0, process.env.VERBOSE ? 20 : 1).join('\n')}`);
  }
}

export function must(fact, otherwise) {
  if (!fact) throw new Error(otherwise);
}

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--hide-scrollbars', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
}

/** With DIST=1 the console comes from dist/ as it is now, not as the server has it. */
function fromDist(route) {
  const { pathname } = new URL(route.request().url());
  const path = join(dist, pathname.endsWith('/') ? `${pathname}index.html` : pathname);
  return existsSync(path) && statSync(path).isFile() ? route.fulfill({ path }) : route.continue();
}

export async function visit(browser, address, options = {}) {
  const context = await browser.newContext({ locale: 'zh-CN', colorScheme: 'light', viewport: { width: 1280, height: 860 }, ...options });
  if (process.env.DIST) await context.route(/\/console\//, fromDist);
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  await slowed(page);
  page.on('pageerror', (error) => tally.complaints.push(`page error: ${error.message}`));
  // That nobody is signed in yet, and what a form is refused for, is told with a status the browser writes down.
  page.on('console', (message) => message.type() === 'error' && !/\b(400|401|404|409)\b/.test(message.text()) && tally.complaints.push(`console: ${message.text()}`));
  const { host } = new URL(address);
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (/^(http|ws)s?:/.test(url.protocol) && url.host !== host) tally.foreign.push(request.url());
  });
  await page.goto(address);
  return page;
}

export async function signIn(browser, base, key, options) {
  const page = await visit(browser, `${base}/console/`, options);
  await page.getByTestId('key').fill(key);
  await page.getByTestId('sign-in').click();
  await page.getByTestId('sign-out').waitFor();
  return page;
}

/** Waits until a fact holds; a busy machine is slow. `otherwise` may be asked for at the end. */
export async function until(fact, otherwise, timeout = 20_000) {
  for (const end = Date.now() + timeout; Date.now() < end; await new Promise((next) => setTimeout(next, 50))) {
    const value = await fact();
    if (value) return value;
  }
  throw new Error(typeof otherwise === 'function' ? otherwise() : otherwise);
}

/** Waits until nothing on the page is being loaded, and what was loaded is drawn. A page says that it loads a few frames
 *  after it was told to, so it has to be quiet for some in a row. */
export async function calm(page) {
  await page.evaluate(() => (window.quiet = 0));
  await page.waitForFunction(() => (window.quiet = document.querySelector('.skeleton, [aria-busy=true]') ? 0 : window.quiet + 1) > 6);
}

/** Waits until what is on its way to the screen is there. */
const drawn = (page) => page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));

/** Waits until a place has a text that says this; returns the text. */
export async function reads(place, expected) {
  let text;
  const said = async () => {
    text = await place.innerText();
    return expected instanceof RegExp ? expected.test(text) : text.includes(expected);
  };
  await until(said, () => `it says “${text}”, not ${expected}`);
  return text;
}

/** Opens a page of the console. One that shows the marker already is loaded anew: what is there would pass for what comes. */
export async function go(page, address, marker) {
  const there = await page.getByTestId(marker).count();
  await page.goto(address);
  if (there) await page.reload();
  await page.getByTestId(marker).first().waitFor();
}

/** Waits for the size that was asked for. */
export async function resize(page, width, height) {
  await page.setViewportSize({ width, height });
  await page.waitForFunction(([width, height]) => innerWidth === width && innerHeight === height, [width, height]);
  await drawn(page); // what a script lays out comes with the frame after
}

/** Waits until the focus is on what has this test id, or inside it. */
export function focused(page, testid) {
  return page.waitForFunction((testid) => document.activeElement?.closest(`[data-testid=${testid}]`), testid);
}

/** What axe-core finds wrong with the page as it is. */
export async function violations(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes[0].target.join(' ')} ${(nodes[0].any[0]?.message ?? '').slice(0, 140)}`);
}

/** What reaches over the right edge. */
export function overflow(page) {
  return page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return '';
    const wide = [...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > clientWidth + 1 && !one.closest('.scroll, .hidden, .prompt'));
    return `${scrollWidth} > ${clientWidth}: ${wide.slice(0, 4).map((one) => `${one.tagName}.${one.className}`).join(', ')}`;
  });
}

/** Texts that do not stand on one line. */
export function broken(places) {
  return places.evaluateAll((ones) => {
    const lines = (one) => {
      const range = document.createRange();
      range.selectNodeContents(one);
      return range.getClientRects().length;
    };
    return ones.filter((one) => lines(one) > 1).map((one) => one.textContent);
  });
}

/** axe-core and the width, light and dark, without waiting for what is held on purpose. */
export async function judge(page, name) {
  const found = [];
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await drawn(page);
    found.push(...[...(await violations(page)), await overflow(page)].filter(Boolean).map((one) => `${name}, ${colorScheme}: ${one}`));
  }
  await page.emulateMedia({ colorScheme: 'light' });
  must(!found.length, found.join(' | '));
}

export function finish() {
  console.log(tally.failures ? `${tally.failures} failed` : 'all passed');
  process.exit(tally.failures ? 1 : 0);
}
