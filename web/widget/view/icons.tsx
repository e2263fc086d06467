import type { VNode } from 'preact';

const paths = {
  fresh: 'M12 5H6.5A1.5 1.5 0 0 0 5 6.5v11A1.5 1.5 0 0 0 6.5 19h11a1.5 1.5 0 0 0 1.5-1.5V12M18 4l2 2-8 8-3 1 1-3z',
  menu: 'M5 12h.01M12 12h.01M19 12h.01',
  close: 'M6 6l12 12M18 6L6 18',
  send: 'M12 19V5M6 11l6-6 6 6',
  stop: 'M6 6h12v12H6z',
  below: 'M12 5v14M6 13l6 6 6-6',
  up: 'M7 11v8H4v-8zm0 0 4-7a2 2 0 0 1 2 2v4h5a2 2 0 0 1 2 2l-1 5a2 2 0 0 1-2 2H7',
  down: 'M17 13V5h3v8zm0 0-4 7a2 2 0 0 1-2-2v-4H6a2 2 0 0 1-2-2l1-5a2 2 0 0 1 2-2h10',
};

export function Icon({ name }: { name: keyof typeof paths }): VNode {
  return (
    <svg viewBox="0 0 24 24" class={`icon icon-${name}`} aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
