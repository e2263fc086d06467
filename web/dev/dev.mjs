// Rebuilds on change and serves with the mock server: `npm run dev`.
process.argv.push('--watch');
await import('../build.mjs');
process.argv.splice(2);
await import('./mock-server.mjs');
