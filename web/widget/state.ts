// The conversation as the merchant sees it, and how each frame changes it.
// Pure: no clock, no socket, no storage. Everything here survives JSON, so a reload can restore it.

import type {
  AiMark,
  Citation,
  Decision,
  ErrorFrame,
  ModelInfo,
  Rating,
  ResponseStatus,
  ServerFrame,
  Source,
  Stage,
  TextDelta,
  WireError,
} from '../shared/wire';
import type { Link } from './connection';

/** `lost`: the connection went while it ran, and the rest could not be fetched. */
export type AnswerStatus = 'running' | 'lost' | ResponseStatus;

export interface Answer {
  id: string;
  status: AnswerStatus;
  stage?: Stage;
  decision?: Decision;
  sources: Source[];
  /** A model answers what the shop's rows do not. */
  unsourced?: boolean;
  reasoning: string;
  text: string;
  /** Code points in `text`: where the next delta belongs. */
  length: number;
  /** Deltas that came before the text they follow. */
  early: { offset: number; delta: string }[];
  /** The authoritative text has arrived; later deltas are echoes. */
  final: boolean;
  citations: Citation[];
  suggestions: string[];
  error?: WireError;
  feedback?: Feedback;
}

/** What the merchant thinks of an answer; `sent` once it is on the wire. */
export interface Feedback {
  rating: Rating;
  reasons: string[];
  comment?: string;
  sent?: boolean;
}

/** `waiting`: not on the wire yet; `sent`: on the wire, not confirmed; `accepted`: the server has stored it. */
export type Delivery = 'waiting' | 'sent' | 'accepted' | 'refused';

export interface Problem {
  code: string;
  message: string;
  retryable?: boolean;
  /** When asking again makes sense (ms since the epoch). */
  retryAt?: number;
}

export interface Turn {
  /** The client_msg_id, also the `id` of the frame that carries it. */
  id: string;
  text: string;
  locale: string;
  model?: string;
  delivery: Delivery;
  /** The merchant pressed stop before there was a response to cancel. */
  stopping?: boolean;
  messageId?: string;
  problem?: Problem;
  answer?: Answer;
  /** The message this one is the edited form of. */
  replaces?: string;
  /** The answer that stood here before another was asked for. */
  before?: Answer;
}

export interface Chat {
  conversationId?: string;
  lastSeq: number;
  turns: Turn[];
}

/** All that is drawn. */
export interface View {
  chat: Chat;
  link: Link;
  models: ModelInfo[];
  /** The chosen model; empty: the server's default. */
  model: string;
  /** The longest message the server takes, in code points. */
  longest?: number;
  problem?: Problem;
  /** Under every answer, as the shop wants it; until it is known, as the words say. */
  mark?: AiMark;
  /** Hosts that links may lead to beside those of the sources; `null`: any. */
  linkHosts?: string[] | null;
  /** A text given to the composer; empty: what was typed before may come back. */
  draft?: string;
  /** The turn whose question is being edited. */
  editing?: string;
}

export const emptyChat: Chat = { lastSeq: 0, turns: [] };

/** A turn is open while an end is still to come: unsent, or its answer is running. */
export function isOpen(turn: Turn): boolean {
  if (turn.answer) return turn.answer.status === 'running';
  return turn.delivery !== 'refused';
}

export function openTurn(chat: Chat): Turn | undefined {
  return chat.turns.find(isOpen);
}

// ── what the merchant does ──

export function ask(chat: Chat, turn: Pick<Turn, 'id' | 'text' | 'locale' | 'model' | 'replaces'>): Chat {
  return { ...chat, turns: [...chat.turns, { ...turn, delivery: 'waiting' }] };
}

/** Takes a turn out, e.g. to ask it again under a new id. */
export function withdraw(chat: Chat, id: string): Chat {
  return { ...chat, turns: chat.turns.filter((turn) => turn.id !== id) };
}

/** The question stays, another answer is to come in the place of its own. */
export function regenerate(chat: Chat, id: string): Chat {
  const before = chat.turns.find((turn) => turn.id === id)?.answer;
  return before ? change(chat, id, { delivery: 'waiting', stopping: undefined, answer: undefined, before }) : chat;
}

/** No other answer comes: the one before stands again. */
export function restore(chat: Chat, id: string): Chat {
  const before = chat.turns.find((turn) => turn.id === id)?.before;
  return before ? change(chat, id, { delivery: 'accepted', stopping: undefined, answer: before, before: undefined }) : chat;
}

/** The turns before one that was edited; it and what followed no longer count. */
export function before(chat: Chat, id: string): Chat {
  const at = chat.turns.findIndex((turn) => turn.id === id);
  return at < 0 ? chat : { ...chat, turns: chat.turns.slice(0, at) };
}

export function change(chat: Chat, id: string, patch: Partial<Turn>): Chat {
  return { ...chat, turns: chat.turns.map((turn) => (turn.id === id ? { ...turn, ...patch } : turn)) };
}

// ── what the connection does ──

/** What was on the wire without a confirmation goes out again; the same id makes that harmless. */
export function unsend(chat: Chat): Chat {
  return { ...chat, turns: chat.turns.map((turn) => (turn.delivery === 'sent' ? { ...turn, delivery: 'waiting' } : turn)) };
}

/** The rest of every accepted, unfinished answer will not come. */
export function lose(chat: Chat): Chat {
  return {
    ...chat,
    turns: chat.turns.map((turn) => {
      if (turn.delivery !== 'accepted' || !isOpen(turn)) return turn;
      return { ...turn, answer: { ...(turn.answer ?? blank('')), status: 'lost' } };
    }),
  };
}

/** The server no longer knows this conversation: the next message starts another. */
export function forget(chat: Chat): Chat {
  return { lastSeq: 0, turns: chat.turns };
}

/** Applies one frame. Frames of another conversation, and frames already seen, change nothing. */
export function receive(chat: Chat, frame: ServerFrame): Chat {
  switch (frame.type) {
    case 'session.ready':
    case 'pong':
      return chat;
    case 'message.accepted': {
      const turn = chat.turns.find((turn) => turn.id === frame.ref);
      if (!turn) return chat;
      const conversationId = frame.conversation_id ?? chat.conversationId;
      const moved = conversationId !== chat.conversationId;
      // A repeated acceptance says nothing about the frames in between, so it does not move lastSeq.
      const lastSeq = frame.duplicate ? (moved ? 0 : chat.lastSeq) : Math.max(moved ? 0 : chat.lastSeq, frame.seq ?? 0);
      return change({ ...chat, conversationId, lastSeq }, turn.id, { delivery: 'accepted', messageId: frame.message_id });
    }
    case 'error':
      return refuse(chat, frame);
  }

  if (frame.conversation_id && frame.conversation_id !== chat.conversationId) return chat;
  if (frame.seq !== undefined && frame.seq <= chat.lastSeq) return chat;
  const seen: Chat = { ...chat, lastSeq: Math.max(chat.lastSeq, frame.seq ?? 0) };

  if (frame.type === 'response.created') {
    const turn =
      seen.turns.find((turn) => turn.messageId === frame.message_id) ??
      seen.turns.find((turn) => !turn.answer && turn.delivery === 'accepted');
    if (!turn || !frame.response_id || turn.answer?.id === frame.response_id) return seen;
    return change(seen, turn.id, { answer: blank(frame.response_id), before: undefined });
  }

  const turn = frame.response_id
    ? seen.turns.findLast((turn) => turn.answer?.id === frame.response_id)
    : seen.turns.findLast((turn) => turn.answer?.status === 'running');
  if (!turn?.answer) return seen;
  // A late frame shows that a lost answer is alive after all.
  const answer: Answer = turn.answer.status === 'lost' ? { ...turn.answer, status: 'running' } : turn.answer;
  if (answer.status !== 'running') return seen;

  switch (frame.type) {
    case 'response.status':
      return put({ ...answer, stage: frame.stage });
    case 'response.sources':
      return put({ ...answer, decision: frame.courtesy ? undefined : frame.decision, sources: frame.sources, unsourced: frame.unsourced });
    case 'response.reasoning.delta':
      return put({ ...answer, reasoning: answer.reasoning + frame.delta });
    case 'response.text.delta':
      return put(append(answer, frame));
    case 'response.text.done':
      return put({ ...answer, text: frame.text, length: points(frame.text), early: [], final: true });
    case 'response.done':
      return put({
        ...answer,
        early: [],
        status: frame.status,
        citations: frame.citations ?? [],
        suggestions: frame.suggestions ?? [],
        error: frame.error ?? undefined,
      });
    default:
      return seen;
  }

  function put(answer: Answer): Chat {
    return change(seen, turn!.id, { answer });
  }
}

function blank(id: string): Answer {
  return { id, status: 'running', sources: [], reasoning: '', text: '', length: 0, early: [], final: false, citations: [], suggestions: [] };
}

function refuse(chat: Chat, frame: ErrorFrame): Chat {
  const turn = chat.turns.find((turn) => turn.id === frame.ref);
  if (!turn || turn.delivery === 'accepted') return chat;
  // Part of an answer is worth more than the news that the rest cannot be told again.
  if (turn.answer) return change(chat, turn.id, { delivery: 'accepted', answer: { ...turn.answer, status: 'lost' } });
  return change(chat, turn.id, { delivery: 'refused', problem: frame });
}

/** Adds a delta where its offset says: an overlap is cut off, a gap waits for what is missing. */
function append(answer: Answer, { offset, delta }: Pick<TextDelta, 'offset' | 'delta'>): Answer {
  if (answer.final) return answer;
  const early = [...answer.early, { offset, delta }].sort((a, b) => a.offset - b.offset);
  let { text, length } = answer;
  while (early[0] && early[0].offset <= length) {
    const piece = early.shift()!;
    const fresh = skip(piece.delta, length - piece.offset);
    text += fresh;
    length += points(fresh);
  }
  return { ...answer, text, length, early };
}

/** Unicode code points in a text. */
export function points(text: string): number {
  return [...text].length;
}

function skip(text: string, count: number): string {
  return count <= 0 ? text : [...text].slice(count).join('');
}

/** randomUUID is missing on plain http pages; this is not. */
export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join('-');
}
