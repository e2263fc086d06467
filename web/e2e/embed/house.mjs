// What the widget's checks stand on: the server, and a shop's page on another origin with a policy as
// strict as they come and rules of style that spare nobody.

import { spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../checks.mjs';

/** Starts the program on a free port, or again where it was. */
export async function startServer(binary, { data = mkdtempSync(join(tmpdir(), 'mc-widget-')), port = 0, env }) {
  const child = spawn(binary, ['serve', '--json', '--data-dir', data, '--listen', `127.0.0.1:${port}`], {
    env: { ...bare(), ...env },
    stdio: ['ignore', 'pipe', process.env.E2E_LOG ? 'inherit' : 'ignore'],
  });
  const announced = await new Promise((done, fail) => {
    let said = '';
    child.stdout.on('data', (chunk) => {
      said += chunk;
      try {
        done(JSON.parse(said));
      } catch {
        // not all of it yet
      }
    });
    child.on('exit', (code) => fail(new Error(`the server ended with ${code}`)));
  });
  const url = announced.url.replace(/\/$/, '');
  await until(() => fetch(`${url}/readyz`).then((reply) => reply.ok, () => false), 'the server never became ready', 180_000);
  const gone = new Promise((done) => child.on('exit', done));
  return {
    url,
    console: announced.console,
    data,
    port: new URL(url).port,
    /** As a crash does, or as an operator. */
    kill: (signal = 'SIGKILL') => (child.kill(signal), gone),
    clear: () => rmSync(data, { recursive: true, force: true }),
    run: (...words) => run(binary, data, words),
    issue: async (...flags) => JSON.parse(await run(binary, data, ['key', 'issue', '--json', ...flags])).key,
  };
}

/** A command beside the server; what it says. */
function run(binary, data, words) {
  return new Promise((done, fail) => {
    const child = spawn(binary, [...words, '--data-dir', data], { env: bare(), stdio: ['ignore', 'pipe', 'ignore'] });
    let said = '';
    child.stdout.on('data', (chunk) => (said += chunk));
    child.on('close', (code) => (code ? fail(new Error(`${words.slice(0, 2).join(' ')} ended with ${code}: ${said}`)) : done(said)));
  });
}

/** Nothing of whoever runs the checks decides here. */
function bare() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^COPILOT_|_API_KEY$|_BASE_URL$|_MODEL$/.test(name)));
}

/** What the README shows: a token for whoever is signed in at the shop. */
export function sign(secret, user, seconds = 300) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: user, exp: Math.floor(Date.now() / 1000) + seconds })}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

// Rules that would wreck anything they reach.
const STYLE = `
  * { font-family: fantasy !important; letter-spacing: 9px; box-sizing: content-box; }
  button, textarea, a, p, h2, h3, ul, table { color: red !important; background: yellow !important; font-size: 40px !important; display: inline-block; transform: rotate(3deg); }
  body { font-family: serif; }`;

/** The shop's page: `/?title=…&lang=en` puts those attributes on the script, `page-lang` on the page;
 *  `page-lax` leaves the policy out, so that nothing but the widget stands between a text and the page. */
export async function startShop({ server, secret }) {
  const shop = { key: '', user: undefined, reports: [] };
  const http = createServer((request, response) => {
    const url = new URL(request.url, 'http://shop');
    if (url.pathname === '/shop.css') return response.writeHead(200, { 'content-type': 'text/css' }).end(STYLE);
    if (url.pathname === '/identity') {
      return shop.user ? response.writeHead(200, { 'content-type': 'text/plain' }).end(sign(secret(), shop.user)) : response.writeHead(401).end();
    }
    if (url.pathname !== '/') return response.writeHead(404).end();
    const nonce = randomBytes(12).toString('base64');
    const attributes = [...url.searchParams].filter(([name]) => !name.startsWith('page-')).map(([name, value]) => ` data-${name}="${value.replace(/"/g, '&quot;')}"`);
    const own = server();
    const policy = [
      "default-src 'none'", `script-src 'nonce-${nonce}'`, `connect-src 'self' ${own} ${own.replace('http', 'ws')}`, "style-src 'self'",
      "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", 'trusted-types merchant-copilot',
    ];
    const headers = { 'content-type': 'text/html; charset=utf-8', ...(!url.searchParams.has('page-lax') && { 'content-security-policy': policy.join('; ') }) };
    response.writeHead(200, headers).end(`<!doctype html>
<html lang="${url.searchParams.get('page-lang') ?? 'zh-CN'}">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>A shop of its own</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/shop.css">
<main><h1>Shop</h1><button id="help">Help</button><div id="place"></div></main>
<script nonce="${nonce}">
  window.violations = [];
  addEventListener('securitypolicyviolation', (event) => event.blockedURI !== 'data' && violations.push(event.violatedDirective + ' ' + event.blockedURI));
  window.before = Object.keys(window);
  window.heard = [];
  addEventListener('merchant-copilot', () => {
    for (const type of ['open', 'close', 'ready', 'question', 'answer', 'feedback', 'unread', 'contact', 'identity'])
      MerchantCopilot.on(type, (detail) => heard.push({ type, ...detail }));
  });
</script>
<script nonce="${nonce}" src="${own}/widget.js" data-key="${url.searchParams.get('page-key') ?? shop.key}"${attributes.join('')} async></script>
</html>`);
  });
  await new Promise((ready) => http.listen(0, '127.0.0.1', ready));
  // By another name of this machine, so that it is another site as well as another origin.
  shop.url = `http://localhost:${http.address().port}`;
  shop.stop = () => (http.closeAllConnections(), http.close());
  return shop;
}
