// `dingtalk-stream` from npm as a bot on our local platform, which it thereby judges: open, callback, reply by
// session webhook, ping, disconnect, reconnect. It leaves a disconnect unanswered and waits to be hung up on.
// dingtalk_sdk.mjs BINARY

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { check, end, must, peer } from './checks.mjs';

const platform = spawn(process.argv[2], ['simulate', 'platform', '--text', '你好'], { stdio: ['ignore', 'pipe', 'inherit'] });
const lines = createInterface({ input: platform.stdout })[Symbol.asyncIterator]();
const line = async () => {
  const late = new Promise((_, reject) => setTimeout(reject, 90_000, new Error('the local platform said nothing for 90 s')).unref());
  const { value } = await Promise.race([lines.next(), late]);
  must(value, 'the local platform ended');
  return JSON.parse(value);
};
const told = await line();

const { DWClient, TOPIC_ROBOT } = peer('dingtalk-stream');
// Its address is a constant: only the host is another, what it sends stays its own.
const opened = [];
peer('axios').interceptors.request.use((request) => {
  opened.push({ ...request.data });
  return { ...request, url: request.url.replace(/^https:\/\/api\.dingtalk\.com/, told.api_base) };
});
console.info = () => {}; // the SDK's own remarks are no checks
const client = new DWClient({ clientId: told.client_id, clientSecret: told.client_secret });
const heard = [];
client.registerCallbackListener(TOPIC_ROBOT, async (frame) => {
  const message = JSON.parse(frame.data);
  heard.push(message);
  client.socketCallBackResponse(frame.headers.messageId, 'OK');
  const markdown = { msgtype: 'markdown', markdown: { title: '标题', text: '**好的**' }, at: { atUserIds: [message.senderStaffId] } };
  const headers = { 'content-type': 'application/json' };
  await fetch(message.sessionWebhook, { method: 'POST', headers, body: JSON.stringify(markdown) });
});
client.connect();
let outcome;

await check('the Node SDK opens a line, and another one after it was hung up on', async () => {
  outcome = await line();
  must(opened.length === 2, `${opened.length} times opened`);
  const topics = opened[0].subscriptions.map((one) => one.topic);
  must(topics.includes(TOPIC_ROBOT), JSON.stringify(topics));
});

await check("the Node SDK understands the local platform's messages", () => {
  must(heard.length === 2, JSON.stringify(heard));
  const [first] = heard;
  must(first.text.content.trim() === '你好' && first.senderStaffId && first.conversationType === '2', JSON.stringify(first));
});

await check('the Node SDK acknowledges messages and pings', () => {
  const kinds = outcome.acknowledged.filter(([, ack]) => ack.code === 200).map(([kind]) => kind);
  must(JSON.stringify(kinds) === '["message","ping","message"]', JSON.stringify(outcome.acknowledged));
});

await check("the local platform understands the Node SDK's replies", () => {
  const said = outcome.shown.filter((one) => one.kind === 'message');
  must(said.length === 2 && said[0].text === '**好的**' && said[0].at.length === 1, JSON.stringify(outcome.shown));
});

client.disconnect();
platform.kill();
end();
