// The README's own steps for a page of one's own, pasted into an interactive bash in an empty folder, in
// both languages; then the page that came of it.

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { check, must, until } from '../checks.mjs';
import { startServer } from './house.mjs';

const PLACES = { server: '127.0.0.1:8787', shop: 'localhost:8000', port: 'http.server 8000', folder: '/tmp/my-shop' };

/** The block as it stands there; only ports and the folder are this run's. */
function block(file, { server, port, folder }) {
  const text = readFileSync(fileURLToPath(new URL(`../../../${file}`, import.meta.url)), 'utf8');
  const [, steps] = /```sh\n(alias merchant-copilot[^`]*http\.server 8000\n)```/.exec(text) ?? [];
  must(steps, `${file} has no such block`);
  for (const place of Object.values(PLACES)) must(steps.includes(place), `${file} does not say ${place}`);
  return steps
    .replaceAll(PLACES.server, server)
    .replaceAll(PLACES.shop, `localhost:${port}`)
    .replace(PLACES.port, `http.server ${port}`)
    .replaceAll(PLACES.folder, folder);
}

/** Below those that the system gives to outgoing connections: nobody is given it before the page's server is up. */
async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const socket = createServer().listen(port);
    const free = await new Promise((told) => socket.on('listening', () => told(true)).on('error', () => told(false)));
    if (!free) continue;
    await new Promise((done) => socket.close(done));
    return port;
  }
}

export async function readme({ browser, binary, shots }) {
  for (const [file, lang] of [['README.md', 'en'], ['README.zh-CN.md', 'zh']]) {
    await check(`${file}: its block, pasted into a terminal, makes a page with the widget`, async () => {
      const project = mkdtempSync(join(tmpdir(), 'mc-readme-'));
      mkdirSync(join(project, 'target/debug'), { recursive: true });
      symlinkSync(binary, join(project, 'target/debug/merchant-copilot'));
      const server = await startServer(binary, { data: join(project, 'data'), env: {} });
      const port = await freePort();
      const folder = join(project, 'my-shop');
      // A group of its own, because bash leaves the page's server behind.
      const bash = spawn('bash', ['--norc', '-i'], { cwd: project, detached: true, stdio: ['pipe', 'ignore', 'pipe'] });
      let said = '';
      bash.stderr.on('data', (chunk) => (said += chunk));
      bash.stdin.write(block(file, { server: server.url.replace('http://', ''), port, folder }));
      try {
        const url = `http://localhost:${port}/`;
        const page = await browser.newPage({ viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, locale: lang === 'en' ? 'en-GB' : 'zh-CN' });
        await until(() => fetch(url).then((reply) => reply.ok, () => false), () => `no page: ${said}`, 90_000);
        must(!/event not found|command not found|syntax error/.test(said), said);
        await page.goto(url);
        must((await page.evaluate(() => innerWidth)) === 390, 'the page is not as wide as the phone');
        await page.getByTestId('launcher').tap();
        await page.getByTestId('starter').first().waitFor();
        must((await page.getByTestId('starter').count()) === 3, 'not three questions to begin with');
        const answers = [];
        for (let n = 0; n < 3; n++) {
          if (n) await page.getByTestId('new-conversation').tap();
          await page.getByTestId('starter').nth(n).tap();
          const answer = page.getByTestId('answer');
          await until(async () => (await answer.getAttribute('data-status')) === 'completed', 'no answer', 20_000);
          must((await page.getByTestId('citation').count()) > 0, `a starter without a source: ${await answer.innerText()}`);
          answers.push((await answer.locator('.md').innerText()).slice(0, 30));
          if (shots && n === 0) await page.screenshot({ path: join(shots, `readme-${lang}.png`) });
        }
        await page.close();
        return answers.join(' | ');
      } finally {
        bash.stdin.destroy();
        process.kill(-bash.pid, 'SIGKILL');
        await server.kill('SIGTERM');
        rmSync(project, { recursive: true, force: true });
      }
    });
  }
}
