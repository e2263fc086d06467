import type { VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { SessionInfo } from '../shared/wire';
import { ApiError, call } from './api';
import { explain, known } from './load';
import type { Words } from './words';

interface Props {
  say: Words;
  /** A one-time token from the address, tried at once. */
  token: string | undefined;
  note: keyof Words | undefined;
  signedIn(session: SessionInfo): void;
}

/** Opens a session by a one-time token or a key. */
export async function signInBy(secret: string): Promise<SessionInfo> {
  const session = await call<SessionInfo | undefined>('POST', '/session', { token: secret });
  return session?.tenant ? session : await call<SessionInfo>('GET', '/session');
}

/** Why a link did not sign in. */
export function problemOf(error: unknown, say: Words): string {
  return known(error).status === 401 ? say.signInUsed : explain(known(error), say);
}

export function SignIn({ say, token, note, signedIn }: Props): VNode {
  const [busy, setBusy] = useState(!!token);
  // Put into words when it is drawn, so that it follows the language.
  const [problem, setProblem] = useState<keyof Words | ApiError | undefined>(note);
  const field = useRef<HTMLInputElement>(null);

  const signIn = async (secret: string, wrong: keyof Words) => {
    setBusy(true);
    setProblem(undefined);
    try {
      signedIn(await signInBy(secret));
    } catch (error) {
      setProblem(known(error).status === 401 ? wrong : known(error));
      setBusy(false);
    }
  };
  useEffect(() => {
    if (token) void signIn(token, 'signInUsed');
  }, []);
  // With the drawing: while it is tried the box takes no focus.
  useLayoutEffect(() => {
    if (!busy) field.current?.focus();
  }, [busy]);

  return (
    <main class="sign-in">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const key = field.current!.value.trim();
          if (key) void signIn(key, 'signInWrong');
        }}
      >
        <p class="product">{say.product}</p>
        <h1>{say.signInTitle}</h1>
        <p class="lead">{say.signInLead}</p>
        <label for="key">{say.signInKey}</label>
        <input id="key" ref={field} type="password" autocomplete="off" spellcheck={false} disabled={busy} aria-describedby="sign-in-problem" data-testid="key" />
        <p id="sign-in-problem" class="wrong" role="alert">{problem instanceof ApiError ? explain(problem, say) : problem && String(say[problem])}</p>
        <button type="submit" class="primary" disabled={busy} data-testid="sign-in">{busy ? say.signingIn : say.signIn}</button>
        <p class="hint">
          {say.signInHint}
          <code>merchant-copilot key issue --role admin</code>
        </p>
      </form>
    </main>
  );
}
