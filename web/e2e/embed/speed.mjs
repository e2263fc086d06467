// How quick it feels: the first paint of the panel, and a thousand tokens without a long frame. What the page itself
// does is held to the budget as it is: the best of a few first paints, and the processor's time of each task in the best
// of a few answers, which hardly grows when others want the processor too. So are the frames of the best answer; only
// when a busy machine leaves none of the few without a longer one may the longest take up to three times the budget, and
// it is said so. The page's first moment, when its script may be still to come, has three times the budget as well.

import { check, must } from '../checks.mjs';
import { visit } from './visit.mjs';

/** Milliseconds to the panel's first paint, and between two frames. */
const PAINT = 100;
const FRAME = 50;
const PATIENCE = 3;

/** First paints that are looked at, at most. */
const TIMES = 6;
/** Long answers that are looked at, at most: one that comes at a bad moment is given another. */
const RUNS = 4;

/** The processor's time of the page's tasks, in milliseconds, the longest first. */
function tasksOf(trace) {
  const { traceEvents } = JSON.parse(trace.toString());
  const mains = traceEvents.filter(({ name, args }) => name === 'thread_name' && args?.name === 'CrRendererMain').map(({ pid, tid }) => `${pid} ${tid}`);
  const tasks = traceEvents.filter(({ name, pid, tid, tdur }) => name.endsWith('RunTask') && tdur !== undefined && mains.includes(`${pid} ${tid}`));
  return tasks.map(({ tdur }) => tdur / 1000).sort((a, b) => b - a);
}

/** From the click to a frame that shows the panel. */
const opening = () =>
  new Promise((done) => {
    const root = document.querySelector('merchant-copilot').shadowRoot;
    const from = performance.now();
    const look = () => (root.querySelector('[data-testid=panel]:not([hidden])') ? requestAnimationFrame(() => done(performance.now() - from)) : requestAnimationFrame(look));
    root.querySelector('[data-testid=launcher]').click();
    look();
  });

export async function speed(house) {
  const me = await visit(house, {}, { viewport: { width: 1280, height: 860 } });
  await check('figures: first paint of the panel', async () => {
    const cold = await me.page.evaluate(opening);
    const agains = [];
    while (agains.length < TIMES && !agains.some((ms) => ms <= PAINT)) {
      await me.page.evaluate(() => window.MerchantCopilot.close());
      await me.id('panel').waitFor({ state: 'hidden' });
      agains.push(await me.page.evaluate(opening));
    }
    const again = Math.min(...agains);
    // A finger or a key gives no warning: what is there by then came while the page had nothing to do.
    const aheads = [];
    while (aheads.length < TIMES && !aheads.some((ms) => ms <= PAINT)) {
      const other = await visit(house, {}, { viewport: { width: 1280, height: 860 } });
      await other.page.waitForTimeout(1500);
      aheads.push(await other.page.evaluate(opening));
      await other.context.close();
    }
    const ahead = Math.min(...aheads);
    const figures = `${ahead.toFixed(0)} ms by touch or key, ${cold.toFixed(0)} ms in the page's first moment, ${again.toFixed(0)} ms opened again (budget ${PAINT})`;
    must(ahead <= PAINT && again <= PAINT && cold <= PATIENCE * PAINT, figures);
    return figures;
  });
  await check('figures: 1,000 streamed tokens', async () => {
    await me.open();
    await me.choose('long');
    await me.page.evaluate(() => {
      const frames = (window.frames_ = []);
      let last = performance.now();
      const tick = (now) => {
        frames.push(now - last);
        last = now;
        requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
      window.long_ = [];
      new PerformanceObserver((list) => list.getEntries().forEach((entry) => window.long_.push(entry.duration))).observe({ type: 'longtask' });
    });
    const runs = [];
    const best = () => runs.find((run) => run.task <= FRAME && !run.over);
    while (runs.length < RUNS && !best()) runs.push(await streamed(house, me, runs.length + 1));
    const all = runs.map((run) => run.figures).join(' | ');
    const busy = runs.find((run) => run.task <= FRAME && run.longest <= PATIENCE * FRAME);
    must(runs.every((run) => run.tasks > 100) && (best() ?? busy), all);
    return best() ? best().figures : `none of ${RUNS} answers without a frame over ${FRAME} ms, none of which took ${PATIENCE} times that: ${busy.figures}`;
  });
  await me.context.close();
}

/** One long answer, from the question on: its own drawing, the stages and the sources count as well. */
async function streamed(house, me, count) {
  await house.browser.startTracing(me.page, { categories: ['toplevel', 'devtools.timeline'] });
  await me.page.waitForTimeout(300); // what the tracing itself costs is over
  await me.page.evaluate(() => ((window.frames_.length = 0), (window.long_.length = 0)));
  await me.ask(`被扣分了怎么申诉？${'？'.repeat(count)}`);
  must((await me.ended(count, 60_000)) === 'completed', await me.status());
  const { frames, long } = await me.page.evaluate(() => ({ frames: [...window.frames_], long: window.long_.length }));
  const tasks = tasksOf(await house.browser.stopTracing());
  const sorted = frames.sort((a, b) => a - b);
  const longest = sorted.at(-1);
  const over = sorted.filter((frame) => frame > FRAME).length;
  const figures = `${(await me.text()).length} characters, ${sorted.length} frames: median ${sorted[sorted.length >> 1].toFixed(1)} ms, longest ${longest.toFixed(1)} ms, ${over} over ${FRAME} ms; ${long} long tasks, ${tasks.length} in all, of which the longest took the processor ${(tasks[0] ?? 0).toFixed(1)} ms`;
  return { figures, longest, over, tasks: tasks.length, task: tasks[0] ?? 0 };
}
