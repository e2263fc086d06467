// The seam between the launcher (loaded on every page) and the panel (loaded on first open).

import type { Lang } from '../shared/i18n';

export interface Host {
  root: ShadowRoot;
  siteKey: string;
  server: string;
  lang: Lang;
  greeting: string;
  /** The panel went away; `focus`: the focus was inside and goes back to the launcher. */
  closed(focus: boolean): void;
  /** Answers that came while the panel was closed. */
  unread(count: number): void;
}

export interface Panel {
  show(focus: boolean): void;
  hide(): void;
  ask(text: string): void;
  speak(lang: Lang): void;
}

/** The launcher leaves its host on the script element; the panel answers by calling `mounted`. */
export interface PanelScript extends HTMLScriptElement {
  mc?: { host: Host; mounted(panel: Panel): void };
}
