// The `openai` package from npm as a client of our /v1: openai_client.mjs BASE MEMBER_KEY

import { check, end, must, peer } from './checks.mjs';

const OpenAI = peer('openai');
const [base, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey, maxRetries: 0 });
const messages = [{ role: 'user', content: '被扣分了怎么申诉？' }];

await check('a stream', async () => {
  const stream = await client.chat.completions.create({ model: 'builtin', messages, stream: true, stream_options: { include_usage: true } });
  let text = '';
  let finish;
  let usage;
  const annotations = [];
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? '';
    annotations.push(...(chunk.choices[0]?.delta.annotations ?? []));
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  must(text.length > 10, `text: ${text}`);
  must(finish === 'stop', `finish: ${finish}`);
  must(usage?.total_tokens > 0, `usage: ${JSON.stringify(usage)}`);
  must(annotations.length > 0, 'no annotations');
  const whole = await client.chat.completions.create({ model: 'builtin', messages });
  must(whole.choices[0].message.content === text, 'the completion has another text');
  return `${text.length} units`;
});

await check('leaving a stream early is taken well', async () => {
  const stream = await client.chat.completions.create({ model: 'peer-slow', messages, stream: true });
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
  must((await client.models.list()).data.length > 1, 'no models');
});

await check('a conversation goes by a header', async () => {
  const place = async (name) => {
    const headers = name ? { 'x-conversation-id': name } : {};
    const { data, response } = await client.chat.completions.create({ model: 'builtin', messages }, { headers }).withResponse();
    must(data.choices[0].message.content, 'no answer');
    return response.headers.get('x-conversation-id');
  };
  const first = await place('node chat');
  must((await place('node chat')) === first && (await place(first)) === first, 'the same name is another conversation');
  must((await place()) !== first, 'no name is the same conversation');
  const refused = await client.chat.completions.create({ model: 'builtin', messages, n: 3 }).catch((error) => error);
  must(refused instanceof OpenAI.BadRequestError && refused.param === 'n', `${refused}`);
});

await check('errors have their classes', async () => {
  const wrong = new OpenAI({ baseURL: `${base}/v1`, apiKey: 'mc_member_wrong', maxRetries: 0 });
  const caught = await wrong.models.list().catch((error) => error);
  must(caught instanceof OpenAI.AuthenticationError, `${caught}`);
  const unknown = await client.chat.completions.create({ model: 'none', messages }).catch((error) => error);
  must(unknown instanceof OpenAI.NotFoundError, `${unknown}`);
});

end();
