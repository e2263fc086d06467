// A model provider for the checks: OpenAI's streaming wire, one way of answering per model id.

import { createServer } from 'node:http';

const STEPS = `被扣分后可以申诉，步骤如下：

1. 进入 **商家后台 > 违规管理**，找到对应的处罚单[1]。
2. 点击“申诉”，在 7 天内上传凭证：聊天记录、物流底单、进货凭证[1]。
3. 平台在 3 个工作日内复核，结果会发站内信[2]。

## 结果

| 情况 | 结果 |
|---|---|
| 申诉成功 | 扣分撤销，限制解除 |
| 材料不全 | 退回补充一次 |

#### 还要注意

\`\`\`
处罚单 2026-001 状态=复核中
\`\`\`

申诉期间请不要重复提交，同一处罚单只能申诉一次。\`状态\` 一栏会显示进度。`;

/** What attacks a page, in Markdown and out of it. */
export const EVIL = `<img src=x onerror="window.hit=1"> <script>window.hit=2</script>

[点我](javascript:window.hit=3) [看](https://evil.example/steal?c=1) https://evil.example/bare ![图](https://evil.example/x.png)

<svg onload=window.hit=4><iframe srcdoc="<script>parent.hit=5</script>"></iframe>

| a | b |
|---|---|
| <b onmouseover=window.hit=6>x</b> | [y](data:text/html,<script>1</script>) |

&lt;script&gt;window.hit=7&lt;/script&gt; [1]`;

/** A model with a name that attacks, as a configuration that was copied somewhere may have. */
export const HOSTILE_MODEL = '<img/src=x/onerror=window.hit=1>';

const answers = {
  quick: { pieces: [STEPS], pause: 0 },
  slow: { pieces: cut(STEPS, 3), pause: 55, first: 700 },
  // A thousand tokens of lists, tables and code, as fast as a fast model writes.
  long: { pieces: cut(long(), 4).slice(0, 1000), pause: 4 },
  evil: { pieces: cut(EVIL, 7), pause: 1 },
  thinking: { reasoning: ['先看资料一：', '它说的是申诉的步骤，适用。'], pieces: cut('可以申诉[1]。', 2), pause: 30 },
  // What `say` of the provider was set to.
  echo: { said: true, pause: 0 },
  // The same at the pace of somebody who reads along.
  reader: { said: true, pause: 55, first: 300 },
  broken: { status: 500 },
  // A key that is not taken, and a question that is not: the provider's own reasons are for whoever runs it.
  unauthorized: { status: 401 },
  refuses: { status: 400 },
  [HOSTILE_MODEL]: { pieces: [STEPS], pause: 0 },
  breaks: { pieces: cut(STEPS, 3).slice(0, 30), pause: 5, breaks: true },
};

export const MODELS = Object.keys(answers);

function cut(text, size) {
  const signs = [...text];
  return Array.from({ length: Math.ceil(signs.length / size) }, (_, at) => signs.slice(at * size, (at + 1) * size).join(''));
}

function long() {
  let text = '';
  for (let n = 1; text.length < 6000; n++) {
    text += `## 第 ${n} 步\n\n先看**规则**，再按下面的表格准备材料[1]。\n\n| 类目 | 金额 |\n|---|--:|\n| 普通 | ${n}0,000 元 |\n| 食品 | ${n}5,000 元 |\n\n- 在 \`商家后台\` 打开页面；\n- 上传凭证，等待审核[2]。\n\n\`\`\`\nstatus = "第 ${n} 步"\n\`\`\`\n\n`;
  }
  return text;
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Listens on a free port; `calls` counts, `say` is what the model `echo` answers. `upTo(n)` holds the model `slow` after
 *  `n` pieces until it is let on, so that what a check does in mid-answer is done there however long it takes. */
export async function startProvider() {
  const calls = [];
  let most = Infinity;
  const provider = { calls, say: '', upTo: (pieces = Infinity) => void (most = pieces) };
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const model = body ? JSON.parse(body).model : '';
    const { said, pieces = said ? cut(provider.say, 5) : [], reasoning = [], pause = 0, first = 0, breaks, status } = answers[model] ?? {};
    if (!answers[model] || status) return response.writeHead(status ?? 404, { 'content-type': 'application/json' }).end('{"error":{"message":"no"}}');
    calls.push(model);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    let gone = false;
    response.on('close', () => (gone = true));
    const say = (delta, finish_reason = null) =>
      response.write(`data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model, choices: [{ index: 0, delta, finish_reason }] })}\n\n`);
    await sleep(first);
    for (const piece of reasoning) {
      say({ reasoning_content: piece });
      await sleep(pause);
    }
    for (const [n, piece] of pieces.entries()) {
      while (model === 'slow' && n >= most && !gone) await sleep(20);
      if (gone) return;
      say({ content: piece });
      if (pause) await sleep(pause);
    }
    if (breaks) return response.destroy();
    say({}, 'stop');
    response.end('data: [DONE]\n\n');
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  return Object.assign(provider, { url: `http://127.0.0.1:${server.address().port}/v1`, stop: () => (server.closeAllConnections(), server.close()) });
}
