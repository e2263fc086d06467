// The panel's entry: mounts into the launcher's shadow root and answers to the launcher.

import { render } from 'preact';
import tokens from '../shared/tokens.css?inline';
import type { Host, Panel, PanelScript } from './host';
import css from './panel.css?inline';
import { Session } from './session';
import { PanelView } from './view/Panel';
import { wordsOf, type Words } from './words';

function mount(host: Host, say: Words): Panel {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(tokens + css);
  host.root.adoptedStyleSheets = [...host.root.adoptedStyleSheets, sheet];
  const place = document.createElement('div');
  host.root.append(place);

  const session = new Session({ siteKey: host.siteKey, server: host.server, lang: () => host.lang });
  let visible = false;
  let focusWish = 0;
  const ended = () => session.view.chat.turns.filter((turn) => turn.answer && turn.answer.status !== 'running').length;
  let seen = ended();

  const draw = () => {
    place.lang = host.lang;
    render(
      <PanelView session={session} say={say} greeting={host.greeting} visible={visible} focusWish={focusWish} close={panel.hide} />,
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
      if (!visible) return;
      const inside = !!host.root.activeElement;
      visible = false;
      seen = ended();
      session.shown(false);
      draw();
      host.closed(inside);
    },
    ask: (text) => session.ask(text),
    speak: (lang) =>
      void wordsOf(host.server, lang).then(
        (words) => {
          say = words;
          draw();
        },
        () => undefined, // the words that are there are better than none
      ),
  };

  session.watch(() => {
    if (!visible) host.unread(Math.max(0, ended() - seen));
  });
  return panel;
}

const script = document.currentScript as PanelScript | null;
if (script?.mc) {
  const { host, mounted } = script.mc;
  wordsOf(host.server, host.lang).then(
    (say) => mounted(mount(host, say)),
    (event: Event) => script.onerror?.(event), // a panel without words could not be loaded
  );
}
