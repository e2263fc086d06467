// Preact for scripts that are loaded after the panel, so that they need not bring another.

import * as preact from 'preact'; // as a whole: the build puts `h` and `Fragment` into every file itself
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Host } from './host';

/** What the panel leaves on the element of such a script. */
export interface Kit<T> {
  h: typeof preact.h;
  Fragment: typeof preact.Fragment;
  useEffect: typeof useEffect;
  useRef: typeof useRef;
  useState: typeof useState;
  done(component: preact.FunctionComponent<T>): void;
}

/** The component in `/widget/<file>.js`. */
export function borrower<T>({ load }: Pick<Host, 'load'>, file: string): Promise<preact.FunctionComponent<T>> {
  return load<preact.FunctionComponent<T>>(file, (done): Kit<T> => ({ h: preact.h, Fragment: preact.Fragment, useEffect, useRef, useState, done }));
}
