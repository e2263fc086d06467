// Preact for scripts that are loaded after the panel, so that they need not bring another.

import { Fragment, h, type FunctionComponent } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Host } from './host';

/** What the panel leaves on the element of such a script. */
export interface Kit<T> {
  h: typeof h;
  Fragment: typeof Fragment;
  useEffect: typeof useEffect;
  useRef: typeof useRef;
  useState: typeof useState;
  done(component: FunctionComponent<T>): void;
}

/** The component in `/widget/<file>.js`. */
export function borrower<T>({ load }: Pick<Host, 'load'>, file: string): Promise<FunctionComponent<T>> {
  return load<FunctionComponent<T>>(file, (done): Kit<T> => ({ h, Fragment, useEffect, useRef, useState, done }));
}
