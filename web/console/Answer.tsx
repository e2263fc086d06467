// An answer as merchants read it: its Markdown as elements, by the widget's renderer, never as HTML text.

import type { VNode } from 'preact';
import { Markdown } from '../widget/markdown';

export function Answer({ text, live = false }: { text: string; live?: boolean }): VNode {
  return (
    <div class="answered">
      <Markdown text={text} live={live} />
    </div>
  );
}
