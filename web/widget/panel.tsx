// The panel's entry: mounts into the launcher's shadow root and answers to the launcher.

import { render } from 'preact';
import tokens from '../shared/tokens.css?inline';
import type { Host, LoadedScript, Panel, PanelSeam } from './host';
import { fetched } from './identity';
import { contactHref } from './links';
import css from './panel.css?inline';
import { Session } from './session';
import { PanelView, type Site } from './view/Panel';
import { wordsOf, type Words } from './words';

function mount(host: Host, say: Words): Panel {
  host.root.adoptedStyleSheets = [...host.root.adoptedStyleSheets, host.sheet(tokens + css)];
  const place = document.createElement('div');
  place.className = 'place';
  host.root.append(place);

  const { identity: hands } = host.options;
  if (hands && host.identity === undefined) host.identity = fetched(hands);
  const session = new Session({ siteKey: host.options.key ?? '', server: host.server, lang: () => host.lang, identity: () => host.identity, tell: host.tell });
  let visible = false;
  let focusWish = 0;
  const ended = () => session.view.chat.turns.filter((turn) => turn.answer && turn.answer.status !== 'running').length;
  let seen = ended();

  const draw = () => {
    place.lang = host.lang;
    render(
      <PanelView session={session} say={say} lang={host.lang} site={siteOf(host)} visible={visible} focusWish={focusWish} close={panel.hide} />,
      place,
    );
  };

  const panel: Panel = {
    show(focus) {
      visible = true;
      if (focus) focusWish++;
      seen = ended();
      host.unread(0);
      session.shown(true);
      draw();
    },
    hide() {
      if (!visible || host.whole) return;
      const inside = !!host.root.activeElement;
      visible = false;
      seen = ended();
      session.shown(false);
      draw();
      host.closed(inside);
    },
    ask: (text) => session.ask(text),
    speak: (lang) =>
      void wordsOf(host, lang).then(
        (words) => {
          say = words;
          draw();
        },
        () => undefined, // the words that are there are better than none
      ),
    identify: () => session.identify(),
  };

  session.watch(() => {
    if (!visible) host.unread(Math.max(0, ended() - seen));
  });
  return panel;
}

/** What the shop says on its script element, in the language that is spoken. */
function siteOf({ options, lang, whole, load, root, sheet, tell }: Host): Site {
  const said = (name: string) => options[name + (lang === 'zh' ? 'Zh' : 'En')] ?? options[name];
  const starters = (said('starters') ?? '').split('|').map((text) => text.trim());
  return { name: said('title'), greeting: said('greeting'), starters: starters.filter(Boolean), contact: contactHref(said('contact')), whole, load, root, sheet, tell };
}

const script = document.currentScript as LoadedScript<PanelSeam> | null;
if (script?.mc) {
  const { host, mounted } = script.mc;
  wordsOf(host, host.lang).then(
    (say) => mounted(mount(host, say)),
    (event: Event) => script.onerror?.(event), // a panel without words could not be loaded
  );
}
