// The sheets, loaded after the panel, and Preact for them, so that they need not bring another.

import { Fragment, h } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Host } from './host';
import type { History } from './view/History';
import type { Menu } from './view/Menu';
import type { Reasons } from './view/Reasons';
import type { Sheet } from './view/Sheet';

export interface Sheets {
  History: typeof History;
  Sheet: typeof Sheet;
  Reasons: typeof Reasons;
  Menu: typeof Menu;
  css: string;
}

/** What the panel leaves on the element of their script. */
export interface Kit {
  h: typeof h;
  Fragment: typeof Fragment;
  useEffect: typeof useEffect;
  useRef: typeof useRef;
  useState: typeof useState;
  done(sheets: Sheets): void;
}

let loading: Promise<Sheets> | undefined;

/** The sheets; a failure is forgotten, so that the next wish tries again. */
export function sheets({ load, root, sheet }: Pick<Host, 'load' | 'root' | 'sheet'>): Promise<Sheets> {
  return (loading ??= load<Sheets>('sheets', (done): Kit => ({ h, Fragment, useEffect, useRef, useState, done })).then(
    (sheets) => {
      root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet(sheets.css)];
      return sheets;
    },
    (error: unknown) => {
      loading = undefined;
      throw error;
    },
  ));
}
