// The widget's one object with a life: joins conversation, connection and storage,
// and tells the view once per animation frame that something changed.

import type { Lang } from '../shared/i18n';
import type { ErrorFrame, ServerFrame, SessionOpen, SessionReady, WireError } from '../shared/wire';
import { Connection, type Link } from './connection';
import type { Place } from './doors';
import type { Identity, Tell } from './host';
import { Signed } from './identity';
import { ask, before, change, emptyChat, forget, isOpen, lose, newId, openTurn, receive, regenerate, restore, unsend, withdraw } from './state';
import type { Chat, Feedback, Problem, Turn, View } from './state';
import { Store } from './store';

/** No frame of the resumed turn for this long: the rest is not coming. */
const RESUME_WITHIN = 20_000;
/** A repeated message whose answer does not follow by itself is fetched by resuming. */
const REPEAT_WITHIN = 3_000;
/** A stop that nobody confirms. */
const STOP_WITHIN = 8_000;
const SAVE_AFTER = 300;
const IDLE_AFTER = 60_000;

interface Options {
  siteKey: string;
  server: string;
  lang(): Lang;
  identity?(): Identity;
  tell?: Tell;
}

export class Session {
  view: View;
  /** For what is asked beside the socket. */
  readonly place: Place;
  readonly #options: Options;
  readonly #store: Store;
  readonly #connection: Connection;
  readonly #signed: Signed;
  readonly #tell: Tell;
  /** Whose conversation is shown: a verified user's, an anonymous visitor's, or (null) that is not known yet. */
  #who: string | undefined | null = null;
  #visible = false;
  /** A refused token was fetched once more. */
  #renewed = false;
  readonly #watchers = new Set<() => void>();
  #greeting: SessionOpen | undefined;
  /** The turn whose message was repeated because resuming failed. */
  #repeated: string | undefined;
  #painting = false;
  #saver: ReturnType<typeof setTimeout> | undefined;
  #resumer: ReturnType<typeof setTimeout> | undefined;
  #idler: ReturnType<typeof setTimeout> | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.#store = new Store(options.siteKey);
    this.#signed = new Signed(() => options.identity?.());
    this.#tell = options.tell ?? (() => undefined);
    this.place = { server: options.server, siteKey: options.siteKey, signed: this.#signed, store: this.#store };
    this.view = { chat: emptyChat, link: { state: 'idle', attempts: 0 }, models: [], model: '' };
    if (!this.#signed.renews) this.#signed.renew(), this.#be();
    this.#connection = new Connection({
      prepare: () => this.#signed.renew()?.then(() => this.#be()) ?? this.#be(),
      url: options.server.replace(/^http/, 'ws') + '/ws',
      greet: () => this.#greet(),
      // 4401, 4403 and 4429 are the statuses as close codes, when the server itself gives them; all else says as little as no answer.
      ask: () => {
        this.#greeting = undefined;
        return fetch(options.server + '/ws', { method: 'POST', body: options.siteKey })
          .then(async (reply) => ((await reply.json()).error.code && [401, 403, 429].includes(reply.status) ? 4000 + reply.status : 1006))
          .catch(() => 1006);
      },
      onFrame: (frame) => this.#take(frame),
      onLink: (link) => this.#linked(link),
    });
    addEventListener('online', () => (this.#connection.nudge(), this.#set({})));
    addEventListener('offline', () => this.#set({}));
    addEventListener('pagehide', () => this.#save());
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.#save();
      else this.#connection.nudge();
    });
  }

  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  // ── what the merchant does ──

  /** The panel came up or went away. An idle hidden panel gives its socket back. */
  shown(visible: boolean): void {
    clearTimeout(this.#idler);
    this.#visible = visible;
    if (visible) this.connect();
    else this.#idler = setTimeout(() => openTurn(this.view.chat) || this.#connection.close(), IDLE_AFTER);
  }

  connect(): void {
    if (this.view.link.state !== 'ready') this.#connection.open();
  }

  /** Asks, unless an answer still runs: then the text waits in the composer. `edited`: in the place of the edited one. */
  ask(text: string, edited = false): boolean {
    const trimmed = text.trim();
    if (!trimmed) return false;
    if (openTurn(this.view.chat)) {
      this.#set({ draft: trimmed });
      return false;
    }
    const { chat, model } = this.view;
    const editing = edited ? this.view.editing : undefined;
    const replaces = chat.turns.find((turn) => turn.id === editing)?.messageId;
    const turn = { id: newId(), text: trimmed, locale: this.#options.lang(), model: model || undefined, replaces };
    this.#set({ chat: ask(editing ? before(chat, editing) : chat, turn), editing: edited ? undefined : this.view.editing, problem: undefined, link: { ...this.view.link, code: undefined } });
    this.#tell('question', { text: trimmed });
    this.connect();
    this.#flush();
    this.#paint(); // one's own question shows at once
    return true;
  }

  again(turn: Turn): void {
    if (openTurn(this.view.chat)) return;
    this.#set({ chat: withdraw(this.view.chat, turn.id) });
    this.ask(turn.text);
  }

  /** Another answer to the same question, by the chosen model. */
  regenerate(turn: Turn): void {
    if (openTurn(this.view.chat) || !turn.answer?.id) return;
    this.#set({ chat: regenerate(this.view.chat, turn.id), problem: undefined });
    this.connect();
    this.#flush();
  }

  /** Gives a question back to the composer, to be asked in other words; or lets it be, which gives the
   *  composer back what was typed before. */
  edit(turn: Turn | undefined): void {
    this.#set(turn ? { editing: turn.id, draft: turn.text } : this.#unedited());
  }

  /** The composer gets back what was typed before. */
  #unedited(): Partial<View> {
    return this.view.editing ? { editing: undefined, draft: '' } : {};
  }

  rate(turn: Turn, feedback: Feedback): void {
    if (!turn.answer) return;
    this.#set({ chat: change(this.view.chat, turn.id, { answer: { ...turn.answer, feedback } }) });
    this.#tell('feedback', { rating: feedback.rating });
    this.connect();
    this.#flush();
    this.#paint(); // what is pressed next builds on it
  }

  stop(): void {
    const turn = openTurn(this.view.chat);
    if (!turn) return;
    if (turn.delivery === 'waiting' && turn.before) return this.#set({ chat: restore(this.view.chat, turn.id) });
    if (turn.delivery === 'waiting' && !turn.answer) return this.#set({ chat: withdraw(this.view.chat, turn.id), draft: turn.text });
    this.#set({ chat: change(this.view.chat, turn.id, { stopping: true }) });
    this.#cancel(turn);
    setTimeout(() => openTurn(this.view.chat)?.id === turn.id && this.#set({ chat: lose(this.view.chat) }), STOP_WITHIN);
  }

  fresh(): void {
    const turn = openTurn(this.view.chat);
    if (turn) this.#cancel(turn);
    this.#set({ chat: emptyChat, ...this.#unedited() });
  }

  choose(model: string): void {
    this.#set({ model });
  }

  complain(code: string, message: string): void {
    this.#set({ problem: { code, message } });
  }

  takeDraft(): void {
    this.#set({ draft: undefined });
  }

  /** Goes on with an earlier conversation; an answer that still runs in it comes along. */
  recall(chat: Chat): void {
    this.#set({ chat, ...this.#unedited(), problem: undefined });
    if (openTurn(chat)) this.#connection.reopen();
  }

  /** A conversation was deleted, perhaps the one on the screen. */
  removed(id: string): void {
    if (this.view.chat.conversationId === id) this.#set({ chat: emptyChat, ...this.#unedited() });
  }

  // ── who is there ──

  /** The page says that somebody else is in front of it: what was said before is not theirs to see. */
  identify(): void {
    this.#save();
    this.#connection.close();
    this.#signed.drop();
    this.#who = null;
    this.#set({ chat: emptyChat, problem: undefined, editing: undefined, draft: undefined });
    if (this.#visible) this.connect();
  }

  /** Shows what this tab keeps of whoever is there now; what they asked in the meantime comes after it. */
  #be(): undefined {
    const { user } = this.#signed;
    if (this.#who === user) return;
    const asked = this.view.chat.turns.filter((turn) => turn.delivery === 'waiting');
    this.#who = this.#store.user = user;
    const kept = this.#store.load();
    const chat = unsend(kept?.chat ?? emptyChat);
    this.#set({ chat: { ...chat, turns: [...chat.turns, ...asked] }, model: kept?.model ?? '', mark: kept?.mark, linkHosts: kept?.linkHosts });
  }

  /** The token was not taken: once another is fetched, then it is the page's affair. */
  #identityRefused(code: string): boolean {
    if (!/identity/.test(code)) return false;
    const again = this.#signed.renews && !this.#renewed;
    this.#renewed = true;
    if (again) {
      this.#signed.drop();
      this.#connection.reopen();
    } else this.#tell('identity', { code });
    return again;
  }

  // ── what the connection does ──

  #greet(): SessionOpen {
    const { conversationId, lastSeq, turns } = this.view.chat;
    const running = turns.some((turn) => turn.delivery === 'accepted' && isOpen(turn));
    this.#greeting = {
      type: 'session.open',
      id: this.#connection.nextId(),
      token: this.#options.siteKey,
      visitor_token: this.#signed.token ? undefined : this.#store.visitorToken(),
      identity: this.#signed.token,
      resume: running && conversationId ? { conversation_id: conversationId, last_seq: lastSeq } : undefined,
    };
    return this.#greeting;
  }

  #linked(link: Link): void {
    clearTimeout(this.#resumer);
    const { code } = link;
    const dead = link.state === 'waiting' || link.state === 'stopped';
    if (dead && code === 1009) this.#giveBack();
    if (dead && code === 4401 && this.#greeting?.visitor_token) {
      // Perhaps only the visitor that was shown is unknown here: come back as a new one, which shows none.
      this.#store.keepVisitorToken('');
      this.#set({ chat: unsend(forget(lose(this.view.chat))), link });
      this.#connection.open();
      return;
    }
    this.#set({ link, chat: dead ? unsend(this.view.chat) : this.view.chat });
    if (link.state === 'ready') {
      if (this.#greeting?.resume) this.#resumer = setTimeout(() => this.#set({ chat: lose(this.view.chat) }), RESUME_WITHIN);
      const turn = openTurn(this.view.chat);
      if (turn?.stopping) this.#cancel(turn);
      this.#flush();
    }
  }

  #take(frame: ServerFrame): void {
    if (frame.type === 'session.ready') return this.#ready(frame);
    if (frame.type === 'error') return this.#failed(frame);
    if (frame.type === 'pong') return;
    clearTimeout(this.#resumer);
    this.#set({ chat: receive(this.view.chat, frame) });
    if (frame.type === 'response.done') {
      const turn = this.view.chat.turns.find(({ answer }) => answer?.id === frame.response_id);
      const { answer, id } = turn ?? {};
      if (answer) this.#tell('answer', { text: answer.text, status: answer.status, sources: answer.sources.length });
      if (id && frame.error) this.#set({ chat: change(this.view.chat, id, { problem: due(frame.error) }) });
    }
    if (frame.type === 'message.accepted' && frame.duplicate) {
      this.#resumer = setTimeout(() => this.#connection.reopen(), REPEAT_WITHIN);
    }
    if (frame.type === 'response.created') {
      const turn = openTurn(this.view.chat);
      if (turn?.stopping) this.#cancel(turn);
    }
  }

  #ready(frame: SessionReady): void {
    if (frame.visitor_token) this.#store.keepVisitorToken(frame.visitor_token);
    const models = frame.models ?? [];
    const model = models.some(({ id }) => id === this.view.model) ? this.view.model : '';
    this.#renewed = false;
    this.#set({ models, model, longest: frame.limits?.message_chars, mark: frame.ai_mark, linkHosts: frame.link_hosts });
    this.#tell('ready', { verified: !!this.#signed.token });
  }

  #failed(frame: ErrorFrame): void {
    if (frame.ref && frame.ref === this.#greeting?.id) {
      if (this.#identityRefused(frame.code)) return;
      // Without a resume to refuse, the close code that follows says it.
      if (this.#greeting.resume) this.#cannotResume();
      return;
    }
    const { chat } = this.view;
    const turn = chat.turns.find((turn) => turn.id === frame.ref);
    const problem = due(frame);
    if (!turn) {
      if (!frame.ref) this.#set({ problem });
    } else if (turn.before) {
      this.#notRegenerated(turn, frame.code, problem);
    } else if (chat.conversationId && /not_found$/.test(frame.code)) {
      // The server forgot this conversation (or this visitor's claim to it): begin another.
      this.#set({ chat: change(forget(chat), turn.id, { delivery: 'waiting' }) });
      this.#flush();
    } else {
      const next = receive(chat, frame);
      this.#set({ chat: next === chat ? chat : change(next, turn.id, { problem }) });
    }
  }

  /** The line broke before the server's word came: what it is telling by now comes by resuming. */
  #notRegenerated(turn: Turn, code: string, problem: Problem): void {
    if (code === 'response_replaced') {
      this.#set({ chat: change(this.view.chat, turn.id, { delivery: 'accepted' }) });
      this.#connection.reopen();
    } else this.#set({ chat: change(restore(this.view.chat, turn.id), turn.id, { problem }), problem });
  }

  /** Repeating the message under its id makes the server tell the turn again; once. Else the rest is lost. */
  #cannotResume(): void {
    const { chat, link } = this.view;
    const turn = openTurn(chat);
    const repeat = turn && this.#repeated !== turn.id;
    this.#repeated = turn?.id;
    this.#set({ chat: repeat ? change(chat, turn.id, { delivery: 'waiting' }) : lose(chat) });
    if (link.state === 'ready') this.#flush();
    else setTimeout(() => this.view.link.state === 'connecting' && this.#connection.reopen(), 1000);
  }

  #flush(): void {
    for (const turn of this.view.chat.turns) {
      this.#sendFeedback(turn);
      if (turn.delivery !== 'waiting') continue;
      const sent = this.#connection.send(
        turn.before
          ? { type: 'response.regenerate', id: turn.id, response_id: turn.before.id, model: this.view.model || undefined }
          : {
              type: 'message.create',
              id: turn.id,
              client_msg_id: turn.id,
              text: turn.text,
              locale: turn.locale,
              model: turn.model,
              conversation_id: this.view.chat.conversationId,
              replaces: turn.replaces,
            },
      );
      if (sent) this.#set({ chat: change(this.view.chat, turn.id, { delivery: 'sent' }) });
    }
  }

  #sendFeedback({ id, answer }: Turn): void {
    const said = answer?.feedback;
    if (!answer || !said || said.sent) return;
    const { rating, reasons, comment } = said;
    if (this.#connection.send({ type: 'feedback.create', id: this.#connection.nextId(), response_id: answer.id, rating, reasons, comment })) {
      this.#set({ chat: change(this.view.chat, id, { answer: { ...answer, feedback: { ...said, sent: true } } }) });
    }
  }

  #cancel(turn: Turn): void {
    if (turn.answer?.id) this.#connection.send({ type: 'response.cancel', id: this.#connection.nextId(), response_id: turn.answer.id });
  }

  /** A message too large to send must not go out again by itself. */
  #giveBack(): void {
    const turn = this.view.chat.turns.find((turn) => turn.delivery === 'sent');
    if (turn) this.#set({ chat: withdraw(this.view.chat, turn.id), draft: turn.text });
  }

  // ── telling and keeping ──

  #set(patch: Partial<View>): void {
    this.view = { ...this.view, ...patch };
    this.#saver ??= setTimeout(() => this.#save(), SAVE_AFTER);
    if (this.#painting) return;
    this.#painting = true;
    if (document.hidden) setTimeout(this.#paint, 250);
    else requestAnimationFrame(this.#paint);
  }

  #paint = (): void => {
    this.#painting = false;
    for (const watcher of this.#watchers) watcher();
  };

  #save(): void {
    clearTimeout(this.#saver);
    this.#saver = undefined;
    if (this.#who === null) return;
    const { chat, model, mark, linkHosts } = this.view;
    this.#store.save({ chat, model, mark, linkHosts });
  }
}

/** An error with the moment from which asking again makes sense. */
function due(error: WireError): Problem {
  return { ...error, retryAt: error.retry_after_ms && Date.now() + error.retry_after_ms };
}
