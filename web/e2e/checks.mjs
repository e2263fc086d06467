// One line per check, and what checks of a page need again and again.

let failures = 0;

/** Runs one check; what it returns is printed as a remark. */
export async function check(name, action) {
  const start = Date.now();
  try {
    const remark = await action();
    console.log(`ok    ${name}${remark ? ` — ${remark}` : ''} (${Date.now() - start} ms)`);
    return true;
  } catch (error) {
    failures++;
    console.log(`FAIL  ${name} — ${String(error.message ?? error).split('\n')[0]}`);
    return false;
  }
}

export function must(fact, otherwise) {
  if (!fact) throw new Error(otherwise);
}

/** Waits until something holds; `otherwise` may be asked for at the end. */
export async function until(condition, otherwise, timeout = 20_000) {
  const end = Date.now() + timeout;
  while (Date.now() < end) {
    const value = await condition();
    if (value) return value;
    await new Promise((next) => setTimeout(next, 30));
  }
  throw new Error(typeof otherwise === 'function' ? otherwise() : otherwise);
}

/** Waits until a place says just this. */
export async function reads(place, expected) {
  let text;
  await until(async () => (text = await place.innerText()) === expected, () => `it says “${text}”, not “${expected}”`);
}

/** SLOW=6: the page runs at a sixth of its speed, as on a busy machine. Finds checks that do not wait for what they look at. */
export async function slowed(page) {
  if (!process.env.SLOW) return;
  const session = await page.context().newCDPSession(page);
  await session.send('Emulation.setCPUThrottlingRate', { rate: Number(process.env.SLOW) });
}

/** The last line; true when all went well. */
export function passed() {
  console.log(failures ? `${failures} failed` : 'all passed');
  return !failures;
}

/** Ends the run when it hangs. */
export function overdue(ms) {
  const timer = setTimeout(() => {
    console.log(`FAIL  not done after ${ms / 1000} s`);
    process.exit(1);
  }, ms);
  return () => clearTimeout(timer);
}
