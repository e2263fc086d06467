// A whole shop in one file, to see verified identity work: two users, one page, one backend.
//   IDENTITY_SECRET=mc_identity_… SITE_KEY=site_… node shop.mjs      then open http://localhost:8000/?user=merchant-7
import { createServer } from 'node:http';
import { identity } from './sign.mjs';

const { IDENTITY_SECRET, SITE_KEY, COPILOT = 'http://127.0.0.1:8787', PORT = 8000 } = process.env;
// An empty secret would sign as well, and anybody could do the same.
if (!IDENTITY_SECRET || !SITE_KEY) {
  console.error('Set IDENTITY_SECRET and SITE_KEY: `merchant-copilot key issue` makes them, with --role identity and --role site.');
  process.exit(1);
}

createServer((request, response) => {
  // A real shop asks its own session who this is, and never the page.
  const user = /user=([\w-]+)/.exec(request.headers.cookie ?? '')?.[1];
  if (request.url === '/copilot-identity') {
    return user ? response.end(identity(IDENTITY_SECRET, user)) : response.writeHead(401).end();
  }
  const signingIn = /^\/\?user=([\w-]+)/.exec(request.url)?.[1];
  if (signingIn) response.setHeader('set-cookie', `user=${signingIn}; HttpOnly; SameSite=Lax; Path=/`);
  response.setHeader('content-type', 'text/html; charset=utf-8');
  response.end(`<!doctype html><title>Shop</title><h1>Shop of ${signingIn ?? user ?? 'nobody'}</h1>
<script src="${COPILOT}/widget.js" data-key="${SITE_KEY}" data-identity="/copilot-identity" async></script>`);
}).listen(Number(PORT), '127.0.0.1', function () {
  console.log(`http://localhost:${this.address().port}/?user=merchant-7`);
});
