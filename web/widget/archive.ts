// Earlier conversations: the list, and a stored one as the view's own turns (pure but for the asking).

import type { Citation, Decision, Rating, Source, WireError } from '../shared/wire';
import { points, type Answer, type AnswerStatus, type Chat, type Turn } from './state';

/** A line of `GET /api/v1/conversations`. */
export interface Summary {
  id: string;
  title: string;
  turns: number;
  updated_ms: number;
}

/** A turn of `GET /api/v1/conversations/{id}`, as far as it is shown. */
export interface StoredTurn {
  id: string;
  ordinal: number;
  client_msg_id: string | null;
  message_id: string;
  question: string;
  answer: string;
  decision: Decision | null;
  status: AnswerStatus;
  error: WireError | null;
  sources: Source[];
  unsourced: boolean;
  citations: Citation[];
  suggestions: string[];
  replaces: string | null;
  replaced_by: string | null;
  feedback: { rating: Rating; reasons: string[]; comment: string | null } | null;
}

/** Sequence numbers of turn n lie between n and n + 1 times this. */
const PER_TURN = 1_000_000;

/** What can be gone on with; a turn that still runs is left to be told by resuming. */
export function chatOf(conversationId: string, stored: StoredTurn[], locale: string): Chat {
  const byId = new Map(stored.map((turn) => [turn.id, turn]));
  // An answer asked for again stands where the first one stood.
  const place = (turn: StoredTurn): number => {
    const before = turn.replaces === null ? undefined : byId.get(turn.replaces);
    return before ? place(before) : turn.ordinal;
  };
  const shown = stored.filter((turn) => !turn.replaced_by).sort((a, b) => place(a) - place(b));
  const running = shown.find((turn) => turn.status === 'running');
  const last = Math.max(0, ...stored.map((turn) => turn.ordinal));
  return {
    conversationId,
    lastSeq: running ? running.ordinal * PER_TURN : last * PER_TURN + PER_TURN - 1,
    turns: shown.map((turn) => turnOf(turn, locale)),
  };
}

function turnOf(turn: StoredTurn, locale: string): Turn {
  const answer = turn.status === 'running' ? undefined : answerOf(turn);
  return { id: turn.client_msg_id ?? turn.id, text: turn.question, locale, delivery: 'accepted', messageId: turn.message_id, answer };
}

function answerOf({ id, status, decision, sources, unsourced, answer, citations, suggestions, error, feedback }: StoredTurn): Answer {
  return {
    id,
    status,
    decision: decision ?? undefined,
    sources: sources ?? [],
    unsourced,
    reasoning: '',
    text: answer,
    length: points(answer),
    early: [],
    final: true,
    citations: citations ?? [],
    suggestions: suggestions ?? [],
    error: error ?? undefined,
    feedback: feedback ? { rating: feedback.rating, reasons: feedback.reasons, comment: feedback.comment ?? undefined, sent: true } : undefined,
  };
}
