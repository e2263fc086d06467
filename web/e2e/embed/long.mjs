// Where the panel stands while a long answer comes, measured.

import { check, must, until } from '../checks.mjs';
import { visit } from './visit.mjs';

const ASKED = '被扣分了怎么申诉？';

/** How far the last answer's first line is below the top of what is seen, and how much of it lies below the end. */
const placed = (me) =>
  me.id('history').evaluate((box) => {
    const seen = box.getBoundingClientRect();
    const answer = [...box.querySelectorAll('.answer')].at(-1).getBoundingClientRect();
    return { first: Math.round(answer.top - seen.top), beyond: Math.round(answer.bottom - seen.bottom), left: Math.round(box.scrollHeight - box.clientHeight - box.scrollTop) };
  });

/** An answer longer than the panel is read from its beginning, unless its reader goes on to the end. */
export async function long(house) {
  const { upTo } = house.provider;
  for (const reducedMotion of ['no-preference', 'reduce']) {
    await check(`a long answer stays at its first line, after a reload too, and who goes to the end stays there (motion: ${reducedMotion})`, async () => {
      const me = await visit(house, {}, { viewport: { width: 420, height: 480 }, reducedMotion });
      const near = ({ first, beyond }) => first >= -1 && first < 60 && beyond > 40;
      const stays = async (when) => must(near(await placed(me)), `${when}: ${JSON.stringify(await placed(me))}`);
      await me.open();
      await me.choose('slow');
      upTo(80);
      await me.ask(ASKED);
      await me.midway(1);
      await until(async () => near(await placed(me)), 'its first line does not come to rest at the top');
      await me.id('new-below').waitFor();
      const held = await placed(me);
      await me.reload();
      await me.midway(1);
      await until(async () => near(await placed(me)), 'after a reload its first line is not at the top');
      upTo(105);
      await me.id('new-below').waitFor();
      await stays('resumed');
      await me.id('new-below').click();
      await until(async () => (await placed(me)).left <= 1, 'not at the end');
      upTo();
      must((await me.ended(1)) === 'completed', await me.status());
      await until(async () => (await placed(me)).left <= 1, 'who went to the end is not kept there');
      // The next one, asked by keyboard from the end.
      await me.id('composer').focus();
      await me.page.keyboard.type(ASKED);
      await me.page.keyboard.press('Enter');
      must((await me.ended(2)) === 'completed', await me.status());
      await stays('ended');
      await me.context.close();
      return JSON.stringify(held);
    }).finally(() => upTo());
  }
}
