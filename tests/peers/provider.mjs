// @copilotkit/aimock as the model's provider, npm `ws` as the client of copilot.v1:
//   provider.mjs BASE MEMBER_KEY AIMOCK_URL AIMOCK_KEY shown|hidden
// The last word is what the server was told about reasoning.

import { check, end, must, peer } from './checks.mjs';

const { WebSocket } = peer('ws');
const [base, token, aimock, aimockKey, reasoning] = process.argv.slice(2);
const QUESTION = '那什么时候可以退还保证金？';
const ANSWER = '🏮 保证金在满足退还条件后原路退回[1]。𠮷店也一样，最长 15 天到账[1]，有未结纠纷的要先处理完。';

/** A session: what came, and waiting for what comes. */
async function open() {
  const socket = new WebSocket(`${base.replace('http', 'ws')}/ws`, 'copilot.v1');
  const frames = [];
  let wake = () => {};
  socket.on('message', (data) => (frames.push(JSON.parse(data)), wake()));
  socket.on('close', () => wake());
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  const send = (frame) => socket.send(JSON.stringify(frame));
  const wait = async (wanted, what, ms = 30_000) => {
    const deadline = Date.now() + ms;
    for (;;) {
      const found = frames.find(wanted);
      if (found) return found;
      must(socket.readyState === WebSocket.OPEN, `the socket closed before ${what}`);
      must(Date.now() < deadline, `${what} did not come; came: ${frames.map((frame) => frame.type).join(' ')}`);
      await new Promise((next) => ((wake = next), setTimeout(next, 100)));
    }
  };
  send({ type: 'session.open', id: 'open', token });
  const ready = await wait((frame) => frame.type === 'session.ready', 'session.ready');
  return { socket, frames, send, wait, ready };
}

let number = 0;

/** Asks one question in a session of its own and waits for the end, and a little longer. */
async function ask(model, also = async () => {}) {
  const before = (await calls()).length;
  const { socket, frames, send, wait } = await open();
  send({ type: 'message.create', id: 'ask', client_msg_id: `provider-${process.pid}-${++number}`, text: QUESTION, ...(model && { model }) });
  await also({ frames, send, wait });
  const done = await wait((frame) => frame.type === 'response.done', 'response.done');
  await new Promise((next) => setTimeout(next, 250));
  socket.close();
  const of = (type) => frames.filter((frame) => frame.type === type);
  must(of('response.created').length === 1, `${of('response.created').length} response.created`);
  must(of('response.done').length === 1, `${of('response.done').length} response.done`);
  must(frames.at(-1) === done, `${frames.at(-1).type} after response.done`);
  const seqs = frames.map((frame) => frame.seq).filter((seq) => seq !== undefined);
  must(seqs.every((seq, i) => i === 0 || seq > seqs[i - 1]), `seq does not grow: ${seqs}`);
  const deltas = of('response.text.delta');
  const text = deltas.map((frame) => frame.delta).join('');
  must(of('response.text.done').every((frame) => frame.text === text), 'response.text.done has another text than the deltas');
  return { done, deltas, text, of, frames, called: (await calls()).slice(before) };
}

/** aimock's own record of what it was asked. */
async function calls() {
  const reply = await fetch(`${aimock}/__aimock/journal`, { headers: { authorization: `Bearer ${aimockKey}` } });
  must(reply.ok, `aimock's journal answers ${reply.status}`);
  return reply.json();
}

/** A turn that must end badly, in exactly one way. */
function fault(model, { status, code, tries, retryable = true, said = '' }) {
  return check(`${model} → ${status}`, async () => {
    const { done, text, called } = await ask(model);
    must(done.status === status, `status ${done.status}`);
    must(done.error?.code === code, `error ${JSON.stringify(done.error)}`);
    must(done.error.message && done.error.retryable === retryable, `error ${JSON.stringify(done.error)}`);
    must(text.startsWith(said) && (said || !text), `text ${text}`);
    must(called.length === tries, `the provider was called ${called.length} times, not ${tries}`);
    must(!JSON.stringify(done).includes('sk-'), 'the key is repeated');
    return tries > 1 ? `${code} after ${tries} calls` : code;
  });
}

await check('the environment’s model is the default and listed', async () => {
  const { socket, ready } = await open();
  socket.close();
  must(ready.models.some((model) => model.id === 'peer-answer' && model.provider === 'openai'), JSON.stringify(ready.models));
  const { of } = await ask();
  must(of('response.created')[0].model === 'peer-answer', of('response.created')[0].model);
});

await check('a cited answer is streamed', async () => {
  const { done, deltas, text, of, frames, called } = await ask('peer-answer');
  must(done.status === 'completed' && done.finish_reason === 'stop', `${done.status} ${done.finish_reason}`);
  must(text === ANSWER, text);
  must(deltas.length > 5, `only ${deltas.length} deltas`);
  let sent = 0;
  for (const { delta, offset } of deltas) {
    must(offset === sent, `offset ${offset} after ${sent} code points`);
    sent += [...delta].length;
  }
  must(done.citations.length === 2, JSON.stringify(done.citations));
  for (const { n, start, end } of done.citations) must([...text].slice(start, end).join('') === `[${n}]`, `${n} ${start} ${end}`);
  const [sources] = of('response.sources');
  must(sources.decision === 'grounded' && sources.sources[0].n === 1, JSON.stringify(sources));
  must(frames.indexOf(sources) < frames.indexOf(deltas[0]), 'the text came before the sources');
  must(done.usage.prompt_tokens === 321 && done.usage.completion_tokens === 45, JSON.stringify(done.usage));
  const [{ body }] = called;
  must(called.length === 1 && body.stream === true && body.stream_options?.include_usage, JSON.stringify(body).slice(0, 300));
  must(body.messages[0].role === 'system' && body.messages.at(-1).content.includes(QUESTION), 'the prompt is not instruction … question');
  must(body.messages.at(-1).content.includes('退'), 'the sources are not in the prompt');
  return `${deltas.length} deltas, ${body.messages.length} messages in the prompt`;
});

await check(`reasoning_content is ${reasoning}`, async () => {
  const { text, of } = await ask('peer-reasoning');
  const told = of('response.reasoning.delta').map((frame) => frame.delta).join('');
  must(told === (reasoning === 'shown' ? '先看资料一：它说的是退还的条件和时间，适用。' : ''), `told: ${told}`);
  must(text === '保证金在满足退还条件后原路退回[1]。', text);
});

await check(`inline <think> is ${reasoning}`, async () => {
  const { text, done, of } = await ask('peer-think-tags');
  const told = of('response.reasoning.delta').map((frame) => frame.delta).join('');
  must(told === (reasoning === 'shown' ? '资料一适用，资料九不存在。' : ''), `told: ${told}`);
  must(text.startsWith('保证金会原路退回[1]') && !text.includes('[9]') && !text.includes('think'), `a marker without a source stays: ${text}`);
  must(done.citations.length === 1, JSON.stringify(done.citations));
  return text;
});

if (reasoning === 'shown') {
  await check('an answer cut by its length is incomplete', async () => {
    const { done, text } = await ask('peer-length');
    must(done.status === 'incomplete' && done.finish_reason === 'length', `${done.status} ${done.finish_reason}`);
    must(text.startsWith('保证金原路退回[1]'), text);
  });
  const [unavailable, broken, limited, refused] = ['model_unavailable', 'model_stream_broken', 'model_rate_limited', 'model_unauthorized'];
  await fault('peer-500', { status: 'failed', code: unavailable, tries: 3 });
  await fault('peer-429', { status: 'failed', code: limited, tries: 3 });
  await fault('peer-disconnect', { status: 'failed', code: unavailable, tries: 3 });
  await fault('peer-malformed', { status: 'failed', code: broken, tries: 3 });
  // After the first token nothing is tried again, and what came is kept.
  await fault('peer-breaks-off', { status: 'incomplete', code: broken, tries: 1, said: '保证金' });
  // Waiting does not help against an empty account or a wrong key (which aimock does not write down).
  await fault('peer-quota', { status: 'failed', code: refused, tries: 1, retryable: false });
  await fault('peer-locked', { status: 'failed', code: refused, tries: 0, retryable: false });

  await check('cancel stops a slow answer at once', async () => {
    let asked = 0;
    const { done, text } = await ask('peer-slow', async ({ send, wait }) => {
      const { response_id } = await wait((frame) => frame.type === 'response.text.delta', 'the first text');
      send({ type: 'response.cancel', id: 'stop', response_id });
      asked = Date.now();
      await wait((frame) => frame.type === 'response.done', 'response.done');
      asked = Date.now() - asked;
    });
    must(done.status === 'cancelled', done.status);
    // The rest of the answer takes five seconds.
    must(asked < 2500, `it took ${asked} ms`);
    must([...text].length < 100, `${[...text].length} characters were sent`);
    return `${asked} ms`;
  });
}

end();
