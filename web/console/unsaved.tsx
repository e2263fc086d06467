// What somebody has typed and not saved is not lost without a word: leaving asks first, whether by Escape, by
// another row, by another page, by going back, by signing out or by closing the tab.

import type { VNode } from 'preact';
import { useContext, useEffect, useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Desk } from './load';
import { holdRoute } from './route';

const unsaved = new Set<string>();

/** While `dirty`, leaving what this component belongs to asks first. */
export function useUnsaved(dirty: boolean): void {
  const id = useId();
  useEffect(() => {
    if (!dirty) return undefined;
    const stay = (event: BeforeUnloadEvent) => event.preventDefault();
    unsaved.add(id);
    addEventListener('beforeunload', stay);
    return () => {
      unsaved.delete(id);
      removeEventListener('beforeunload', stay);
    };
  }, [dirty]);
}

/** Whether anything typed is not saved yet. */
export function anyUnsaved(): boolean {
  return unsaved.size > 0;
}

/** What was typed is saved, or given up on purpose: the next step asks nothing. */
export function settled(): void {
  unsaved.clear();
}

/** The question itself; stands once in the page. */
export function Leaving(): VNode {
  const { say } = useContext(Desk);
  const [go, setGo] = useState<() => void>();
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useId();
  useEffect(() => holdRoute((go) => {
    if (!anyUnsaved()) return false;
    setGo(() => go);
    return true;
  }), []);
  // With the drawing: a dialog that closes gives the focus back, and must not take it from what opens next.
  useLayoutEffect(() => {
    if (go) dialog.current?.showModal();
    else dialog.current?.close();
  }, [go]);
  const leave = () => {
    settled();
    setGo(undefined);
    go?.();
  };
  return (
    <dialog ref={dialog} class="leaving" aria-labelledby={title} onClose={() => setGo(undefined)} onKeyDown={(event) => event.stopPropagation()} data-testid="leaving">
      <h2 id={title}>{say.unsavedTitle}</h2>
      <p>{say.unsavedLead}</p>
      <p class="buttons">
        <button type="button" class="primary" onClick={() => setGo(undefined)} data-testid="stay">{say.stay}</button>
        <button type="button" class="danger" onClick={leave} data-testid="leave">{say.leave}</button>
      </p>
    </dialog>
  );
}
