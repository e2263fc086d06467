// aimock as Anthropic, Azure and Gemini behind us, the `openai` package from npm in front:
//   dialects.mjs BASE MEMBER_KEY AIMOCK_URL AIMOCK_KEY

import { check, end, must, peer } from './checks.mjs';

const OpenAI = peer('openai');
const [base, apiKey, aimock, aimockKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey, maxRetries: 0 });
const messages = [{ role: 'user', content: '那什么时候可以退还保证金？' }];
const ANSWER = '🏮 保证金在满足退还条件后原路退回[1]。𠮷店也一样，最长 15 天到账[1]，有未结纠纷的要先处理完。';

/** aimock's own record of what it was asked. */
async function calls() {
  const reply = await fetch(`${aimock}/__aimock/journal`, { headers: { authorization: `Bearer ${aimockKey}` } });
  must(reply.ok, `aimock's journal answers ${reply.status}`);
  return reply.json();
}

/** A streamed answer, put together, and the calls it cost. */
async function ask(model, { breaksOff = false } = {}) {
  const before = (await calls()).length;
  const stream = await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } });
  const told = { text: '', reasoning: '', deltas: 0, finish: undefined, usage: undefined, model: undefined };
  try {
    for await (const chunk of stream) {
      const delta = chunk.choices[0]?.delta ?? {};
      told.text += delta.content ?? '';
      told.reasoning += delta.reasoning_content ?? '';
      told.deltas += delta.content ? 1 : 0;
      told.finish = chunk.choices[0]?.finish_reason ?? told.finish;
      told.usage = chunk.usage ?? told.usage;
      told.model = chunk.model;
    }
  } catch (error) {
    if (!breaksOff) throw error;
    told.error = error;
  }
  return { ...told, called: (await calls()).slice(before) };
}

for (const [dialect, path] of [
  ['z-anthropic', /^\/v1\/messages/],
  ['z-azure', /^\/openai\/deployments\/peer-answer\/chat\/completions/],
  ['z-gemini', /chat\/completions/],
]) {
  await check(`${dialect}: a streamed answer`, async () => {
    const { text, deltas, finish, usage, called } = await ask(`${dialect}/peer-answer`);
    must(text === ANSWER, text);
    must(deltas > 5 && finish === 'stop', `${deltas} deltas, ${finish}`);
    must(usage.prompt_tokens > 0 && usage.completion_tokens > 0, JSON.stringify(usage));
    must(called.length === 1 && path.test(called[0].path ?? called[0].url ?? ''), JSON.stringify(called.map(({ path, url, method }) => ({ path, url, method }))));
    return `${usage.prompt_tokens} + ${usage.completion_tokens} tokens, ${called[0].path}`;
  });
}

for (const dialect of ['z-anthropic', 'z-gemini']) {
  await check(`${dialect}: reasoning has a field of its own`, async () => {
    const { text, reasoning } = await ask(`${dialect}/peer-reasoning`);
    must(reasoning === '先看资料一：它说的是退还的条件和时间，适用。', reasoning);
    must(text === '保证金在满足退还条件后原路退回[1]。', text);
  });
}

await check('z-anthropic: an answer cut by its length', async () => {
  const { finish } = await ask('z-anthropic/peer-length');
  must(finish === 'length', finish);
});

for (const [model, code] of [
  ['z-anthropic/peer-500', 'model_unavailable'],
  ['z-anthropic/peer-429', 'model_rate_limited'],
  ['z-gemini/peer-429', 'model_rate_limited'],
]) {
  await check(`${model} → ${code}`, async () => {
    const error = await client.chat.completions.create({ model, messages }).catch((error) => error);
    must(error.code === code, `${error.status} ${error.code} ${error.message}`);
    return `${error.status}`;
  });
}

await check('z-anthropic: what broke off is kept, and said to be so', async () => {
  const { text, error, finish } = await ask('z-anthropic/peer-breaks-off', { breaksOff: true });
  must(text.startsWith('保证金') && text.length < 40, text);
  must(error?.code && !finish, `it ends like a whole answer: ${finish}`);
  return `${text} ${error.code}`;
});

await check('a provider that hangs up is stood in for', async () => {
  const { text, model, called } = await ask('z-spare/peer-disconnect');
  must(text === ANSWER && model === 'z-azure/peer-answer', `${model}: ${text}`);
  return `after ${called.length} calls`;
});

await check('a member does not see how providers are', async () => {
  const statuses = await fetch(`${base}/api/v1/models`, { headers: { authorization: `Bearer ${apiKey}` } });
  must(statuses.status === 403, 'a member sees no provider health');
});

end();
