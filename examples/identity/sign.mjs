// Says who is in front of the page, with what Node brings:
//   IDENTITY_SECRET=mc_identity_… node sign.mjs merchant-7
import { createHmac } from 'node:crypto';
import { fileURLToPath } from 'node:url';

export function identity(secret, user, seconds = 300) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: user, exp: Math.floor(Date.now() / 1000) + seconds })}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(identity(process.env.IDENTITY_SECRET, process.argv[2]));
