// The MCP inspector's command line against our /mcp, in the older of the protocol's two eras. inspector.mjs BASE MEMBER_KEY

import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { check, end, must, peer } from './checks.mjs';

const [base, key] = process.argv.slice(2);
const cli = peer.resolve('@modelcontextprotocol/inspector-cli/build/index.js');

async function ask(method, more = [], bearer = key) {
  const header = ['--header', `Authorization: Bearer ${bearer}`];
  const words = [cli, `${base}/mcp`, '--transport', 'http', '--method', method, ...more, ...header];
  // It looks for its own package.json from where it is run.
  const how = { cwd: dirname(cli), timeout: 120_000, maxBuffer: 1 << 24 };
  const { stdout } = await promisify(execFile)(process.execPath, words, how);
  return JSON.parse(stdout);
}

const call = (tool, pairs) => ask('tools/call', ['--tool-name', tool, ...pairs.flatMap((pair) => ['--tool-arg', pair])]);
const read = (result) => result.structuredContent ?? JSON.parse(result.content[0].text);

// Each is a program of its own that takes a second to start.
const [listed, found, answered, refused, wrong] = await Promise.allSettled([
  ask('tools/list'),
  call('search_knowledge', ['query=被扣分了怎么申诉？', 'top=3']),
  call('ask', ['question=被扣分了怎么申诉？', 'model=builtin']),
  ask('tools/list', [], 'mc_member_wrong'),
  call('get_entry', ['id=none']),
]);
const value = (settled) => {
  must(settled.status === 'fulfilled', String(settled.reason?.stderr ?? settled.reason));
  return settled.value;
};

await check('the inspector lists the tools', () => {
  const names = value(listed).tools.map((tool) => tool.name).sort();
  must(JSON.stringify(names) === '["ask","get_entry","search_knowledge"]', JSON.stringify(names));
});

await check('the inspector searches and reads what it found', async () => {
  const { results } = read(value(found));
  const row = read(await call('get_entry', [`id=${results[0].id}`]));
  must(results.length >= 1 && row.question === results[0].title, JSON.stringify(row));
});

await check('the inspector asks and gets an answer with its sources', () => {
  const answer = read(value(answered));
  must(answer.text && answer.sources.length > 0 && answer.status === 'completed', JSON.stringify(answer));
});

await check('the inspector sees a failure of a tool in its result, and a wrong key refused', () => {
  const result = value(wrong);
  must(result.isError === true && read(result).error.code === 'entry_not_found', JSON.stringify(result));
  must(refused.status === 'rejected', 'a wrong key was let in');
});

end();
