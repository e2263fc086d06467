// An answer as merchants read it: its Markdown as elements, by the widget's renderer, never as HTML text,
// and with links where the widget would have them.

import type { VNode } from 'preact';
import { useContext } from 'preact/hooks';
import { hostsOf, type Sourced } from '../widget/links';
import { Markdown } from '../widget/markdown';
import { Desk } from './load';

export function Answer({ text, of, live = false }: { text: string; of: Sourced & { unsourced?: boolean | undefined }; live?: boolean }): VNode {
  const { say, linkHosts } = useContext(Desk);
  const cites = { known: hostsOf(of, linkHosts), has: () => false, label: String, open: () => undefined };
  return (
    <div class="answered">
      <Markdown text={text} live={live} cites={cites} version={`${of.sources.length}/${of.decision}/${linkHosts}`} />
      {of.unsourced && <p class="quiet small" data-testid="unsourced">{say.unsourced}</p>}
    </div>
  );
}
