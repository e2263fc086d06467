// The widget on a shop's page of another origin, under a strict policy, against a real server:
//   node e2e/embed.mjs <merchant-copilot> [screenshot-dir]
// Starts all it needs on free ports. One line per check, exit code 1 when one fails. E2E_ONLY=talk,states
// runs some of them; E2E_DIST=1 takes the widget's scripts from dist/ instead of the program; CHROMIUM
// names another browser; E2E_LOG=1 shows the server's log.

import { mkdirSync, realpathSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { check, must, overdue, passed } from './checks.mjs';
import { startServer, startShop } from './embed/house.mjs';
import { hostility } from './embed/hostile.mjs';
import { long } from './embed/long.mjs';
import { look } from './embed/look.mjs';
import { MODELS, startProvider } from './embed/provider.mjs';
import { readme } from './embed/readme.mjs';
import { speed } from './embed/speed.mjs';
import { states } from './embed/states.mjs';
import { keys, talk } from './embed/talk.mjs';
import { complaints, hosts } from './embed/visit.mjs';
import { who } from './embed/who.mjs';

const [given, shots] = process.argv.slice(2);
if (!given) {
  console.error('usage: node e2e/embed.mjs <merchant-copilot> [screenshot-dir]');
  process.exit(2);
}
const binary = realpathSync(given);
const only = process.env.E2E_ONLY?.split(',');
const done = overdue(1_800_000);
if (shots) mkdirSync(shots, { recursive: true });

const provider = await startProvider();
const env = {
  OPENAI_API_KEY: 'sk-check', OPENAI_BASE_URL: provider.url, OPENAI_MODEL: MODELS.join(','),
  COPILOT_MODELS__DEFAULT: 'builtin', COPILOT_MODELS__BREAKER_FAILURES: '0', COPILOT_CHAT__REASONING: 'native',
  // Answers are held while a check looks at them.
  COPILOT_MODELS__FIRST_TOKEN_MS: '120000', COPILOT_MODELS__STALL_MS: '120000',
  COPILOT_ANSWERS__WITHOUT_SOURCES: 'true', // by the model that a check chooses: the built-in one only quotes
  COPILOT_LIMITS__KEY_PER_MINUTE: '6000', COPILOT_LIMITS__ADDRESS_PER_MINUTE: '6000',
};
let server = await startServer(binary, { env });
const shop = await startShop({ server: () => server.url, secret: () => house.secret });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const house = {
  browser, shop, shots, binary, provider,
  issue: (...flags) => server.issue(...flags),
  run: (...words) => server.run(...words),
  server: () => server.url,
  secret: await server.issue('--role', 'identity'),
  crash: () => server.kill(),
  restart: async () => {
    server = await startServer(binary, { data: server.data, port: server.port, env });
  },
};
shop.key = await server.issue('--role', 'site', '--origin', shop.url);
try {
  for (const [name, part] of Object.entries({ speed, talk, long, keys, who, states, hostility, look, readme })) {
    if (only && !only.includes(name)) continue;
    console.log(`-- ${name}`);
    await part(house);
  }
  await check('asked of other hosts: nothing', async () => {
    const foreign = [...hosts].filter(([host]) => ![new URL(shop.url).host, new URL(server.url).host].includes(host));
    must(!foreign.length, foreign.map(([, url]) => url).join(' | '));
    return [...hosts.keys()].join(', ');
  });
  await check('no error on any page', async () => must(!complaints.length, complaints.join(' | ')));
} catch (error) {
  await check('the checks run to their end', () => Promise.reject(error));
} finally {
  done();
  await browser.close();
  await server.kill('SIGTERM');
  server.clear();
  shop.stop();
  provider.stop();
}
process.exit(passed() ? 0 : 1);
