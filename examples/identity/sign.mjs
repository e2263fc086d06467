// Says who is in front of the page, with what Node brings:
//   IDENTITY_SECRET=mc_identity_… node sign.mjs merchant-7
import { createHmac } from 'node:crypto';
import { fileURLToPath } from 'node:url';

export function identity(secret, user, seconds = 300) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: user, exp: Math.floor(Date.now() / 1000) + seconds })}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { IDENTITY_SECRET } = process.env;
  // An empty secret would sign as well, and anybody could do the same.
  if (!IDENTITY_SECRET) {
    console.error('IDENTITY_SECRET is not set: give it the secret of `merchant-copilot key issue --role identity`.');
    process.exit(1);
  }
  console.log(identity(IDENTITY_SECRET, process.argv[2]));
}
