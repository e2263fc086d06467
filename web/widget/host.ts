// The seam between the launcher (loaded on every page) and the panel (loaded on first open).

import type { Lang } from '../shared/i18n';
import type { Words } from './words';

/** A token that the shop's backend signed, or how to get one; nothing: an anonymous visitor. */
export type Identity = string | null | undefined | (() => string | null | undefined | Promise<string | null | undefined>);

/** What the page can hear with `MerchantCopilot.on`. */
export interface Events {
  open: undefined;
  close: undefined;
  /** The line to the server stands. */
  ready: { verified: boolean };
  question: { text: string };
  answer: { text: string; status: string; sources: number };
  feedback: { rating: string };
  unread: { count: number };
  /** A person is wanted: the link of `data-contact` was followed. */
  contact: undefined;
  /** The identity token was not taken: it was forged, has expired, or is another shop's. */
  identity: { code: string };
}

export type Tell = <T extends keyof Events>(type: T, detail?: Events[T]) => void;

export interface Host {
  root: ShadowRoot;
  /** The script element's `data-` attributes. */
  options: DOMStringMap;
  server: string;
  lang: Lang;
  /** Fills its place for good: no launcher, nothing to close. */
  whole: boolean;
  identity?: Identity;
  /** The words of the language it starts in, under way beside the panel. */
  words?: Partial<Record<Lang, Promise<Words>>>;
  /** A style sheet in the wished light. */
  sheet(css: string): CSSStyleSheet;
  /** Loads another of the server's scripts, which finds `mc` on its element. */
  load<T>(file: string, mc: (done: (value: T) => void) => unknown): Promise<T>;
  tell: Tell;
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
  /** Somebody else is in front of the page. */
  identify(): void;
}

/** The launcher leaves on the element of each further script what that script wants. */
export interface LoadedScript<T> extends HTMLScriptElement {
  mc?: T;
}

/** What the panel's script finds. */
export type PanelSeam = { host: Host; mounted(panel: Panel): void };
