import { afterEach, expect, it, vi } from 'vitest';
import { Doors, type Place } from './doors';

afterEach(() => vi.unstubAllGlobals());

it('asks for the next page by what the one before said', async () => {
  const asked: string[] = [];
  const pages = [
    { conversations: [{ id: 'a', title: '一', turns: 1, updated_ms: 2 }, { id: 'b', title: '空', turns: 0, updated_ms: 1 }], next: '1:b' },
    { conversations: [], next: null },
  ];
  vi.stubGlobal('fetch', (url: string) => {
    asked.push(url);
    return Promise.resolve(new Response(JSON.stringify(pages[asked.length - 1])));
  });
  const place = { server: 'https://s', siteKey: 'k', signed: { token: undefined, renew: () => undefined }, store: { visitorToken: () => 'v' } };
  const doors = new Doors(place as unknown as Place);
  const first = await doors.conversations();
  expect(first.conversations.map(({ id }) => id)).toEqual(['a']);
  await doors.conversations(first.next!);
  expect(asked).toEqual(['https://s/api/v1/conversations?limit=50', 'https://s/api/v1/conversations?limit=50&before=1%3Ab']);
});
