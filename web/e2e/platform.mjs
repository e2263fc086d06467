// What bots and webhooks speak to in the console's scripts, on this machine: a DingTalk that takes messages or refuses
// them, a receiver of events, and a server that is configured for both.

import { createHmac, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServer } from './embed/house.mjs';

const SECRET = 'a-secret-of-the-app';

/** The platform and the receiver behind one address; `refuse` is the status of the next message, `reject` of the next event,
 *  `excuse` what the gateway says that is down. */
async function startPlatform(excuse) {
  const platform = { said: [], heard: [], refuse: 0, reject: 0, excuse };
  const http = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const answer = (status, value) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    const once = (what) => {
      const status = platform[what];
      platform[what] = 0;
      return status;
    };
    switch (new URL(request.url, 'http://platform').pathname) {
      case '/v1.0/oauth2/accessToken':
        return answer(200, { accessToken: 'token', expireIn: 7200 });
      case '/v1.0/robot/groupMessages/send': {
        const status = once('refuse');
        if (status) return answer(status, { code: 'Forbidden.AccessDenied', message: 'no' });
        platform.said.push(JSON.parse(JSON.parse(body).msgParam).text);
        return answer(200, { processQueryKey: 'key' });
      }
      case '/hooks': {
        const status = once('reject');
        if (!status) platform.heard.push(JSON.parse(body));
        return answer(status || 200, {});
      }
      default:
        // A gateway that is down, for the bot that keeps a line.
        return answer(503, { code: 'ServiceUnavailable', message: platform.excuse });
    }
  });
  await new Promise((ready) => http.listen(0, '127.0.0.1', ready));
  platform.host = `127.0.0.1:${http.address().port}`;
  platform.stop = () => (http.closeAllConnections(), http.close());
  return platform;
}

const config = (host) => `
[channels.dingtalk.support]
client_id = "dingapp"
client_secret = "${SECRET}"
api_base = "http://${host}"
duty_group = "cid_duty"

[channels.dingtalk.line]
mode = "stream"
client_id = "dingline"
client_secret = "${SECRET}"
api_base = "http://${host}"

[channels.wecom.shop]
token = "token"
encoding_aes_key = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"

[webhooks.erp]
url = "http://${host}/hooks"
secret = "whsec_${Buffer.from('twenty-four random bytes').toString('base64')}"
events = ["answer.given", "entry.changed"]
private_hosts = ["${host}"]
`;

/** A server with bots and a receiver; `ask` is a merchant in a group, `stop` ends it all. */
export async function startHouse(binary, excuse = 'later') {
  const platform = await startPlatform(excuse);
  const place = mkdtempSync(join(tmpdir(), 'mc-channels-'));
  const file = join(place, 'server.toml');
  writeFileSync(file, config(platform.host));
  const env = { COPILOT_CONFIG: file, COPILOT_LIMITS__KEY_PER_MINUTE: '6000', COPILOT_LIMITS__ADDRESS_PER_MINUTE: '6000' };
  const server = await startServer(binary, { env });
  return {
    platform,
    server,
    ask: (text) => callback(server.url, text),
    /** As somebody without the secret. */
    forge: (text) => callback(server.url, text, 'wrong'),
    stop: async () => {
      await server.kill('SIGTERM');
      server.clear();
      platform.stop();
      rmSync(place, { recursive: true, force: true });
    },
  };
}

async function callback(server, text, secret = SECRET) {
  const now = Date.now();
  const message = {
    msgtype: 'text', msgId: randomUUID(), createAt: now, text: { content: ` ${text} ` }, conversationType: '2', conversationId: 'cid1',
    conversationTitle: '商家交流群', isInAtList: true, senderId: '$:LWCP_v1:$u1', senderStaffId: 'u1', senderNick: 'u1', robotCode: 'dingapp',
  };
  const sign = createHmac('sha256', secret).update(`${now}\n${secret}`).digest('base64');
  const reply = await fetch(`${server}/webhooks/dingtalk/support`, {
    method: 'POST', headers: { 'content-type': 'application/json', timestamp: String(now), sign }, body: JSON.stringify(message),
  });
  return { status: reply.status, body: await reply.json() };
}
