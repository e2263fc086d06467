import type { RefObject, VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { fill, type Lang } from '../../shared/i18n';
import type { Source } from '../../shared/wire';
import { sentences } from '../announce';
import type { Link } from '../connection';
import type { Host } from '../host';
import type { Session } from '../session';
import { isOpen, openTurn, type Turn, type View } from '../state';
import { why, type Words } from '../words';
import { Composer } from './Composer';
import { useFollow } from './follow';
import { sheets, type Sheets } from '../lend';
import { Icon } from './icons';
import { noteOf, outcomeText, TurnView, useCountdown } from './Turn';

/** What the shop decides about its widget. */
export interface Site extends Pick<Host, 'whole' | 'load' | 'root' | 'sheet' | 'tell'> {
  name?: string;
  greeting?: string;
  starters: string[];
  /** Where a person can be reached. */
  contact?: string;
}

interface Props {
  session: Session;
  say: Words;
  lang: Lang;
  site: Site;
  visible: boolean;
  /** Grows with each request to put the focus into the composer. */
  focusWish: number;
  close(): void;
}

/** What lies over the conversation: the row behind a marker, or the earlier conversations. */
type Opened = { opener?: HTMLElement; source?: { responseId: string; source: Source } };

const PHONE = '(max-width: 479px)';

export function PanelView({ session, say, lang, site, visible, focusWish, close }: Props): VNode {
  const view = useSession(session);
  const { turns } = view.chat;
  const panel = useRef<HTMLElement>(null);
  const history = useRef<HTMLDivElement>(null);
  const box = useRef<HTMLTextAreaElement>(null);
  const [menu, setMenu] = useState(false);
  const [opened, setOpened] = useState<Opened>();
  const [lent, setLent] = useState<Sheets>();
  const { below, toLast, toEnd } = useFollow(history, view.chat, turns.length);
  const phone = !site.whole && matchMedia(PHONE).matches;
  const name = site.name || say.name;
  const busy = openTurn(view.chat);

  const toComposer = () => box.current?.focus();
  useEffect(() => {
    if (focusWish) toComposer();
  }, [focusWish]);
  useLayoutEffect(() => {
    if (visible) toLast();
  }, [visible]);
  useViewport(panel);

  const closeSheet = () => setOpened(undefined);
  const covered = useRef<Opened | undefined>(undefined);
  // With the drawing that takes the sheet away and no later, or a key pressed at once is lost; no earlier, as the
  // rest of the panel is inert under the sheet.
  useLayoutEffect(() => {
    const { current: before } = covered;
    covered.current = opened;
    if (before && !opened) (before.opener?.isConnected ? before.opener : box.current)?.focus();
  }, [opened]);
  const lend = (use?: () => void) =>
    void sheets(site).then(
      (sheets) => (setLent(sheets), use?.()),
      () => session.complain('unreachable', say.unavailable),
    );
  // Under way with the first answer; whoever wants them before, or after this failed, asks once more.
  const asked = turns.length > 0;
  useEffect(() => {
    if (asked) sheets(site).then(setLent, () => undefined);
  }, [asked]);
  const open = (what: Opened) => {
    setMenu(false);
    lend(() => setOpened(what));
  };
  const askFrom = (text: string) => {
    session.ask(text);
    if (!matchMedia('(pointer: coarse)').matches) toComposer();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === 'Tab' && phone) return keepInside(event, panel.current!);
    if (event.key !== 'Escape') return;
    event.stopPropagation();
    if (opened) closeSheet();
    else if (menu) setMenu(false), toComposer();
    else if (view.editing) session.edit(undefined);
    else if (!site.whole) close();
  };

  return (
    <section class="panel" ref={panel} role={site.whole ? 'region' : 'dialog'} aria-label={name} aria-modal={site.whole ? undefined : phone} data-testid="panel" hidden={!visible} onKeyDown={onKeyDown}>
      <div class="frame" inert={!!opened}>
        <div class="head">
          <div class="title">
            <h2>{name}</h2>
            <LinkLine say={say} link={view.link} />
          </div>
          <button type="button" class="tool" aria-label={say.fresh} title={say.fresh} data-testid="new-conversation" disabled={!turns.length} onClick={() => (session.fresh(), toComposer())}>
            <Icon name="fresh" />
          </button>
          <button type="button" class="tool" aria-label={say.menu} title={say.menu} aria-expanded={menu} data-testid="menu" onClick={() => (menu ? setMenu(false) : lend(() => setMenu(true)))}>
            <Icon name="menu" />
          </button>
          {!site.whole && (
            <button type="button" class="tool" aria-label={say.close} title={say.close} data-testid="close" onClick={close}>
              <Icon name="close" />
            </button>
          )}
        </div>
        {menu && lent && (
          <lent.Menu lang={lang} models={view.models} model={view.model} openHistory={() => open({})} choose={(model) => (session.choose(model), setMenu(false), toComposer())} />
        )}
        <div class="history" ref={history} role="log" aria-live="off" aria-label={say.history} tabIndex={0} data-testid="history">
          {turns.length === 0 && <Welcome say={say} site={site} ask={askFrom} />}
          {turns.map((turn, i) => (
            <TurnView
              key={turn.id}
              say={say}
              turn={turn}
              last={i === turns.length - 1}
              busy={!!busy}
              lang={lang}
              reasons={lent?.Reasons}
              mark={view.mark?.[lang] ?? say.aiMark}
              linkHosts={view.linkHosts}
              contact={site.contact}
              called={() => site.tell('contact')}
              again={(turn) => session.again(turn)}
              regenerate={(turn) => session.regenerate(turn)}
              edit={(turn) => (session.edit(turn), toComposer())}
              rate={(turn, feedback) => {
                session.rate(turn, feedback);
                if (feedback.rating === 'down') lend();
              }}
              ask={askFrom}
              openSource={(answer, n, opener) => {
                const source = answer.sources.find((source) => source.n === n);
                if (source) open({ opener, source: { responseId: answer.id, source } });
              }}
            />
          ))}
        </div>
        <div class="dock">
          {below && (
            <button type="button" class="below" data-testid="new-below" onClick={toEnd}>
              <Icon name="below" /> {say.newBelow}
            </button>
          )}
          <Notice say={say} view={view} connect={() => session.connect()} />
          <Composer
            say={say}
            box={box}
            draft={view.draft}
            editing={!!view.editing}
            letBe={() => (session.edit(undefined), toComposer())}
            longest={view.longest}
            busy={!!busy}
            stopping={!!busy?.stopping}
            send={(text) => session.ask(text, true)}
            stop={() => (session.stop(), toComposer())}
            tookDraft={() => session.takeDraft()}
          />
        </div>
      </div>
      {lent && opened?.source && (
        <lent.Sheet
          key={`${opened.source.responseId}/${opened.source.source.n}`}
          say={say}
          lang={lang}
          place={session.place}
          {...opened.source}
          close={closeSheet}
        />
      )}
      {lent && opened && !opened.source && (
        <lent.History
          say={say}
          lang={lang}
          current={view.chat.conversationId}
          place={session.place}
          choose={(chat) => session.recall(chat)}
          removed={(id) => session.removed(id)}
          close={closeSheet}
        />
      )}
      <Announcer say={say} turn={turns.at(-1)} notice={noticeOf(say, view)} />
    </section>
  );
}

function LinkLine({ say, link }: { say: Words; link: Link }): VNode {
  const [state, text] = !navigator.onLine || link.state === 'stopped'
    ? ['down', say.stopped]
    : link.state === 'ready'
      ? ['up', say.online]
      : link.attempts
        ? ['wait', say.reconnecting]
        : ['wait', say.connecting];
  return <p class="link" data-state={state} data-testid="connection">{text}</p>;
}

function Welcome({ say, site, ask }: { say: Words; site: Site; ask(text: string): void }): VNode {
  return (
    <div class="welcome">
      <p class="greeting">{site.greeting || say.greeting}</p>
      {site.starters.length > 0 && <h3 class="label" id="starters">{say.startersTitle}</h3>}
      <ul class="suggestions" aria-labelledby="starters">
        {site.starters.map((text) => (
          <li key={text}>
            <button type="button" data-testid="starter" onClick={() => ask(text)}>{text}</button>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** What stands in the way of the conversation, still without its numbers. */
function noticeOf(say: Words, { link: { code, state, attempts }, problem }: View): string | undefined {
  if (!navigator.onLine) return say.offline;
  // A text that was too long stays explained after the line is back; the other closings are then over.
  if (state !== 'ready' || code === 1009) {
    const known = code === 4408 || code === 1013 ? say.slow : say[`close${code}` as keyof Words];
    if (known) return known;
    if (attempts > 2) return say.unreachable;
  }
  return problem && why(say, problem);
}

function Notice({ say, view, connect }: { say: Words; view: View; connect(): void }): VNode | null {
  const { code, state, retryAt = 0 } = view.link;
  const seconds = useCountdown(retryAt);
  const text = noticeOf(say, view);
  if (!text) return null;
  const reload = code === 4400 || code === 4401;
  return (
    <div class="notice" data-testid="notice">
      <span>{fill(text, { origin: location.origin, s: seconds })}</span>
      {state !== 'ready' && code !== 4429 && navigator.onLine && (
        <button type="button" class="plain" onClick={() => (reload ? location.reload() : connect())}>
          {reload ? say.reload : code === 4409 ? say.continueHere : say.connectNow}
        </button>
      )}
    </div>
  );
}

/** The one polite live region: whole sentences of the answer that is coming in, and notices. */
export function Announcer({ say, turn, notice }: { say: Words; turn: Turn | undefined; notice: string | undefined }): VNode {
  const heard = useRef({ id: '', next: 0, done: true });
  const [lines, setLines] = useState<string[]>([]);
  const tell = (line: string | undefined | false) => line && setLines((lines) => [...lines, line]);
  useEffect(() => void tell(notice && fill(notice, { origin: location.origin, s: 30 })), [notice]);
  const answer = turn?.answer;
  useEffect(() => {
    if (!turn) return;
    const running = isOpen(turn);
    // What was already over when the panel came is not read out again.
    if (heard.current.id !== turn.id) {
      heard.current = { id: turn.id, next: 0, done: !running };
      setLines([]);
    }
    const ear = heard.current;
    if (ear.done) return;
    ear.done = !running;
    const { said, next } = sentences(answer?.text ?? '', ear.next, ear.done);
    ear.next = next;
    tell(said);
    tell(ear.done && (outcomeText(say, turn) ?? fill(say.answered, { n: answer?.sources.length ?? 0 })) + noteOf(say, answer));
  }, [turn]);
  return (
    <div class="hidden" aria-live="polite" aria-relevant="additions" data-testid="announcer">
      {lines.map((line, i) => <p key={i}>{line}</p>)}
    </div>
  );
}

// ── small hooks ──

function useSession(session: Session): View {
  const [, paint] = useState(0);
  useLayoutEffect(() => session.watch(() => paint((n) => n + 1)), [session]);
  return session.view;
}

/** On a phone the panel fills what the on-screen keyboard leaves. */
function useViewport(panel: RefObject<HTMLElement | null>): void {
  useEffect(() => {
    const seen = window.visualViewport;
    if (!seen) return;
    seen.onresize = seen.onscroll = () => {
      panel.current?.style.setProperty('--mc-height', `${seen.height}px`);
      panel.current?.style.setProperty('--mc-top', `${seen.offsetTop}px`);
    };
  }, []);
}

/** Full screen covers the page, so Tab stays in the panel. */
function keepInside(event: KeyboardEvent, panel: HTMLElement): void {
  const stops = [...panel.querySelectorAll<HTMLElement>('button, textarea, select, summary, a, [tabindex="0"]')].filter(
    (stop) => !stop.matches(':disabled, [inert] *') && stop.offsetParent,
  );
  const current = (panel.getRootNode() as ShadowRoot).activeElement;
  const edge = event.shiftKey ? stops[0] : stops.at(-1);
  if (current !== edge) return;
  event.preventDefault();
  (event.shiftKey ? stops.at(-1) : stops[0])?.focus();
}
