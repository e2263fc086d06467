// A stand-in for the Rust server, for work on the pages: serves dist with the real headers and speaks
// copilot.v1. Not a reference; the contract is. `node dev/mock-server.mjs [port]`, MOCK_NO_RESUME=1 to
// refuse resuming. Questions that start with a slash play trouble:
//   /fail  /incomplete  /refuse  /none  /close 4409  /drop (mid-answer)  /gap (deltas out of order)
//   /long  /evil (Markdown that attacks)

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';

const port = Number(process.argv[2] ?? 8788);
const dist = fileURLToPath(new URL('../dist', import.meta.url));
const KEY = 'mc_site_mock';
const csp = "default-src 'self'; connect-src 'self' ws: wss:; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'";
const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

// ── what it knows ──

const rows = [
  {
    entry_id: 'deposit-001', question: '跨境店铺的保证金标准是多少？', category: '保证金', market: 'CN', locale: 'zh-CN',
    answer: '跨境店铺入驻时须缴纳店铺保证金。普通类目为 10,000 元人民币，食品、保健品、美妆类目为 20,000 元人民币，珠宝与二手奢侈品类目为 50,000 元人民币。\n\n保证金应在签约后 15 日内缴纳；未缴纳的，店铺不能发布商品。同时经营多个类目的，按其中最高的标准缴纳，不重复收取。',
    snippet: '普通类目为 10,000 元人民币，食品、保健品、美妆类目为 20,000 元人民币，珠宝与二手奢侈品类目为 50,000 元人民币。',
    source: '商家入驻规则 2026 版 §3.2', url: 'https://example.com/rules/deposit', valid_from: '2026-01-01', valid_to: '2026-12-31',
  },
  {
    entry_id: 'deposit-002', question: '保证金可以退吗？什么时候退还？', category: '保证金', market: 'CN', locale: 'zh-CN',
    answer: '店铺清退或主动退店后，平台在 90 日结算观察期结束后的 7 个工作日内，将剩余保证金原路退还。', snippet: '90 日结算观察期结束后的 7 个工作日内',
    source: '商家入驻规则 2026 版 §3.5', url: null, valid_from: null, valid_to: null,
  },
  {
    entry_id: 'deposit-003', question: '保证金不足怎么办？', category: '保证金', market: null, locale: 'zh-CN',
    answer: '保证金余额低于应缴标准时，须在 10 日内补足。', snippet: '保证金余额低于应缴标准时，须在 10 日内补足。', source: '商家入驻规则 2025 版', url: null, valid_from: '2025-01-01', valid_to: '2025-12-31',
  },
];
const english = [
  {
    entry_id: 'deposit-en-001', question: 'What deposit does a cross-border shop pay?', category: 'Deposit', market: 'CN', locale: 'en',
    answer: 'Cross-border shops pay a deposit when they join: CNY 10,000 for general categories, CNY 20,000 for food, health and beauty, and CNY 50,000 for jewellery and second-hand luxury.\n\nThe deposit is due within 15 days of signing.',
    snippet: 'CNY 10,000 for general categories, CNY 20,000 for food, health and beauty', source: 'Joining rules 2026, 3.2', url: 'https://example.com/rules/deposit', valid_from: '2026-01-01', valid_to: null,
  },
  {
    entry_id: 'deposit-en-002', question: 'When is the deposit returned?', category: 'Deposit', market: 'CN', locale: 'en',
    answer: 'Within 7 working days after the 90-day settlement period.', snippet: 'Within 7 working days', source: 'Joining rules 2026, 3.5', url: null, valid_from: null, valid_to: null,
  },
];

const answers = {
  zh: `跨境店铺的保证金按**主营类目**收取，签约后 15 日内缴纳 [1]：

| 类目 | 保证金 |
|---|--:|
| 普通类目 | 10,000 元 |
| 食品、保健品、美妆 | 20,000 元 |
| 珠宝、二手奢侈品 | 50,000 元 |

需要注意：

- **多类目经营：**按最高的一档缴纳，不重复收取 [1]。
- 没有缴纳的店铺不能发布商品。
- 退店后 90 日结算观察期结束，7 个工作日内原路退还 [2]。`,
  en: `A cross-border shop pays a deposit by its **main category**, due within 15 days of signing [1]:

| Category | Deposit |
|---|--:|
| General | CNY 10,000 |
| Food, health, beauty | CNY 20,000 |
| Jewellery, second-hand luxury | CNY 50,000 |

- Shops in several categories pay the highest amount once [1].
- It is returned within 7 working days after the 90-day settlement period [2].`,
};
const suggestions = {
  zh: ['保证金什么时候退还？', '保证金不足会怎样？', '换类目要补交吗？'],
  en: ['When is the deposit returned?', 'What if the deposit runs low?'],
};
const nothing = {
  zh: '规则库里没有找到这个问题的答案。你可以换个说法再问；需要人工时，请到「商家后台 → 联系客服」提交工单。',
  en: 'The rules do not cover this question. Try other words. For a person, open a ticket under “Merchant desk → Contact”.',
};

// ── copilot.v1 ──

const conversations = new Map(); // id → {seq, log, sockets, cancel}
const responses = new Map(); // id → sources
const questions = new Map(); // response id → the frame that asked, with its message id
const accepted = new Map(); // client_msg_id → conversation id
const models = [{ id: 'extractive', name: '内置摘录模型' }, { id: 'mock-slow', name: 'mock-slow' }, { id: 'mock-reasoning', name: 'mock-reasoning' }];
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function converse(socket) {
  let open = false;
  const send = (frame) => socket.readyState === 1 && socket.send(JSON.stringify(frame));
  const late = setTimeout(() => open || socket.close(4408), 5000);
  socket.on('close', () => clearTimeout(late));
  socket.on('message', (data) => {
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return send({ type: 'error', code: 'invalid', message: 'not JSON', retryable: false });
    }
    const fail = (code, message, more = {}) => send({ type: 'error', ref: frame.id, code, message, retryable: false, ...more });
    if (!open && frame.type !== 'session.open') return socket.close(4400);
    switch (frame.type) {
      case 'session.open': {
        if (frame.token !== KEY) return socket.close(4401);
        open = true;
        const known = conversations.get(frame.resume?.conversation_id);
        const resumes = known && !process.env.MOCK_NO_RESUME;
        if (frame.resume && !resumes) fail('resume_not_supported', 'nothing to resume');
        send({ type: 'session.ready', ref: frame.id, session_id: randomUUID(), tenant: 'demo', visitor_token: frame.visitor_token ?? randomUUID(), models, ai_mark: { zh: 'AI 生成，请以出处为准', en: 'Written by AI; check the sources' }, link_hosts: ['example.com'], limits: { message_chars: 2000, frame_bytes: 65536, per_minute: 60 }, server_time: new Date().toISOString() });
        if (!resumes) return;
        for (const old of known.log) if (old.seq > frame.resume.last_seq) send(old);
        known.sockets.add(socket);
        return;
      }
      case 'ping':
        return send({ type: 'pong', ref: frame.id });
      case 'message.create':
        return create(socket, frame, fail, send);
      case 'response.cancel': {
        for (const known of conversations.values()) if (known.running === frame.response_id) known.cancel = true;
        return;
      }
      case 'feedback.create':
        return;
      case 'response.regenerate': {
        const asked = questions.get(frame.response_id);
        if (!asked) return fail('response_not_found', 'no such response');
        return create(socket, { ...asked, id: frame.id, client_msg_id: randomUUID(), model: frame.model ?? asked.model, again: frame.response_id }, fail, send);
      }
      default:
        return fail('invalid', `unknown type ${frame.type}`);
    }
  });
}

async function create(socket, frame, fail, send) {
  if (frame.text.startsWith('/refuse')) return fail('rate_limited', 'too many questions', { retryable: true, retry_after_ms: 5000 });
  const closing = /^\/close (\d+)/.exec(frame.text);
  if (closing) return socket.close(Number(closing[1]));
  const before = accepted.get(frame.client_msg_id);
  if (before) {
    const told = conversations.get(before);
    told.sockets.add(socket);
    const from = told.log.findIndex((old) => old.ref === frame.id);
    for (const old of told.log.slice(from)) send(old.ref ? { ...old, duplicate: true } : old);
    return;
  }
  if (frame.conversation_id && !conversations.has(frame.conversation_id)) return fail('not_found', 'no such conversation');

  const conversation_id = frame.conversation_id ?? randomUUID();
  const known = conversations.get(conversation_id) ?? { seq: 0, log: [], sockets: new Set() };
  conversations.set(conversation_id, known);
  known.sockets.add(socket);
  known.cancel = false;
  const emit = (frame) => {
    const full = { ...frame, conversation_id, seq: ++known.seq };
    known.log.push(full);
    for (const one of known.sockets) if (one.readyState === 1) one.send(JSON.stringify(full));
  };
  const message_id = frame.message_id ?? randomUUID();
  accepted.set(frame.client_msg_id, conversation_id);
  emit({ type: 'message.accepted', ref: frame.id, message_id, duplicate: false });

  const response_id = randomUUID();
  const model = frame.model ?? 'extractive';
  const lang = frame.locale === 'en' ? 'en' : 'zh';
  const slow = model === 'extractive' ? 1 : 3;
  known.running = response_id;
  questions.set(response_id, { ...frame, conversation_id, message_id });
  emit({ type: 'response.created', response_id, message_id, model, replaces: frame.again });
  emit({ type: 'response.status', response_id, stage: 'retrieving' });
  await sleep(350 * slow);
  const none = frame.text.startsWith('/none');
  const found = none ? [] : (lang === 'en' ? english : rows).map((row, i) => ({ n: i + 1, ...row }));
  responses.set(response_id, found);
  emit({
    type: 'response.sources', response_id, decision: none ? 'none' : 'grounded',
    sources: found.map(({ n, entry_id, question, snippet, url }) => ({ n, entry_id, title: question, snippet, url, score: 0.9 - n / 10 })),
  });
  emit({ type: 'response.status', response_id, stage: 'generating' });
  await sleep(250 * slow);
  const finish = (status, more = {}) =>
    emit({ type: 'response.done', response_id, status, finish_reason: 'stop', usage: { prompt_tokens: 900, completion_tokens: 120, cost: 0, currency: 'CNY' }, citations: [], suggestions: [], timings_ms: { queue: 0, retrieval: 12, first_token: 300, total: 900 }, ...more });
  if (frame.text.startsWith('/fail')) return finish('failed', { error: { code: 'unavailable', message: 'the model did not answer' } });

  if (model === 'mock-reasoning') {
    for (const part of '先看商家主营哪个类目，再查入驻规则 3.2 节的标准；退还的时间在 3.5 节，一并说明。'.match(/.{1,4}/gu)) {
      emit({ type: 'response.reasoning.delta', response_id, delta: part });
      await sleep(60);
    }
  }
  let text = none ? nothing[lang] : answers[lang];
  if (frame.text.startsWith('/long')) text = Array.from({ length: 12 }, (_, i) => `### 第 ${i + 1} 节\n\n${text}`).join('\n\n');
  if (frame.text.startsWith('/evil')) text = '<img src=x onerror=alert(1)> <script>alert(2)</script>\n\n[点我](javascript:alert(3)) ![图](https://example.com/x.png) [好链接](https://example.com/) https://example.com/规则。看这里 [1][9]\n\n```js\nconst a = "<b>";\n```\n\n> 引用 `code`\n\n1. 一\n2. 二\n   - 里层';
  const characters = [...text];
  const pieces = [];
  for (let at = 0, size; at < characters.length; at += size) {
    size = 1 + Math.floor(Math.random() * 5);
    pieces.push({ offset: at, delta: characters.slice(at, at + size).join('') });
  }
  if (frame.text.startsWith('/gap')) pieces.splice(1, 2, ...pieces.slice(1, 3).reverse());
  let sent = 0;
  for (const { offset, delta } of pieces) {
    if (known.cancel) return finish('cancelled', { finish_reason: 'cancelled' });
    emit({ type: 'response.text.delta', response_id, delta, offset });
    sent = offset;
    if (frame.text.startsWith('/drop') && !known.dropped && sent > 60) {
      known.dropped = true;
      for (const one of known.sockets) one.terminate();
    }
    if (frame.text.startsWith('/incomplete') && sent > 60) return finish('incomplete', { finish_reason: 'length' });
    await sleep(model === 'extractive' ? 12 : 45);
  }
  emit({ type: 'response.text.done', response_id, text });
  const citations = [...text.matchAll(/\[(\d)\]/g)].map((match) => {
    const start = [...text.slice(0, match.index)].length;
    return { n: Number(match[1]), start, end: start + 3 };
  });
  finish('completed', { citations, suggestions: suggestions[lang] });
  known.running = undefined;
}

// ── HTTP ──

const sessions = new Set();
const stats = {
  entries: 412, passages: 655, revision: 38,
  by_category: { 保证金: 46, 物流与发货: 88, 违规与处罚: 72, 售后与退货: 64, 入驻与资质: 51, 结算与发票: 49, 营销活动: 42 },
  by_locale: { 'zh-CN': 236, en: 176 }, by_market: { CN: 290, HK: 62, '': 60 },
  expiring_7d: 3, expired: 11, embedder: 'built-in static 256d',
};

function search(query) {
  const none = query.includes('天气');
  const hits = rows.concat(english).map((row, i) => ({
    id: row.entry_id, question: row.question, answer: row.answer, score: none ? 0.21 - i * 0.03 : 0.93 - i * 0.17,
    lexical: i === 3 ? null : { rank: i + 1, score: 14.2 - i * 3.1 }, semantic: i === 4 ? null : { rank: ((i + 1) % 5) + 1, score: 0.81 - i * 0.12 },
    passed: !none && i < 3, ...(none || i > 2 ? { reason: 'below threshold 0.45' } : {}),
  }));
  return { query, decision: none ? 'none' : 'grounded', hits, timings_ms: { embed: 0.3, lexical: 1.1, semantic: 0.8, fuse: 0.1, total: 2.6 } };
}

function json(response, status, body, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body === undefined ? '' : JSON.stringify(body));
}
const error = (response, status, code, message) => json(response, status, { error: { code, message } });

async function api(request, response, url) {
  const source = /^\/api\/v1\/responses\/([^/]+)\/sources\/(\d+)$/.exec(url.pathname);
  if (source) {
    if (request.headers.authorization !== `Bearer ${KEY}` || !request.headers['x-visitor-token']) return error(response, 401, 'unauthenticated', 'no key');
    await sleep(150);
    const row = responses.get(source[1])?.find(({ n }) => n === Number(source[2]));
    return row ? json(response, 200, row) : error(response, 404, 'not_found', 'no such source');
  }
  const cookie = /mc_console=([\w-]+)/.exec(request.headers.cookie ?? '')?.[1];
  const session = { tenant: 'demo', role: 'admin', expires_at: new Date(Date.now() + 8 * 3600e3).toISOString() };
  if (url.pathname === '/api/v1/session') {
    if (request.method === 'POST') {
      let body = '';
      for await (const chunk of request) body += chunk;
      if (!['once', 'mc_admin_mock'].includes(JSON.parse(body).token)) return error(response, 401, 'unauthenticated', 'unknown or used token');
      const id = randomUUID();
      sessions.add(id);
      return json(response, 200, session, { 'set-cookie': `mc_console=${id}; HttpOnly; SameSite=Strict; Path=/` });
    }
    if (!sessions.has(cookie)) return error(response, 401, 'unauthenticated', 'not signed in');
    if (request.method === 'DELETE') return sessions.delete(cookie), json(response, 204);
    return json(response, 200, session);
  }
  if (!sessions.has(cookie)) return error(response, 401, 'unauthenticated', 'not signed in');
  if (url.pathname === '/api/v1/knowledge/stats') return json(response, 200, stats);
  if (url.pathname === '/api/v1/knowledge/search') return json(response, 200, search(url.searchParams.get('q') ?? ''));
  return error(response, 404, 'not_found', 'no such door');
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, 'http://mock');
  if (url.pathname.startsWith('/api/')) return api(request, response, url);
  const path = url.pathname.endsWith('/') ? `${url.pathname}index.html` : url.pathname;
  try {
    let body = await readFile(join(dist, normalize(path)));
    if (path === '/index.html') body = body.toString().replaceAll('__SITE_KEY__', KEY);
    response.writeHead(200, { 'content-type': types[extname(path)] ?? 'application/octet-stream', 'content-security-policy': csp }).end(body);
  } catch {
    response.writeHead(404).end('not found');
  }
});
const sockets = new WebSocketServer({ server, path: '/ws', handleProtocols: (offered) => (offered.has('copilot.v1') ? 'copilot.v1' : false) });
sockets.on('connection', converse);
server.listen(port, '127.0.0.1', () => console.log(`mock on http://127.0.0.1:${port}/  console: /console/#signin=once`));
