// What goes over the wire: WebSocket `copilot.v1` and the JSON of the HTTP doors.
// Only wire types live here, because this file will be generated from the Rust types.
// All offsets and lengths count Unicode code points.

// ── client → server ──

export interface SessionOpen {
  type: 'session.open';
  id: string;
  token: string;
  visitor_token?: string;
  identity?: string;
  resume?: { conversation_id: string; last_seq: number };
}

export interface MessageCreate {
  type: 'message.create';
  id: string;
  text: string;
  client_msg_id: string;
  conversation_id?: string;
  model?: string;
  market?: string;
  locale?: string;
  replaces?: string;
  metadata?: Record<string, unknown>;
}

export interface ResponseCancel {
  type: 'response.cancel';
  id: string;
  response_id: string;
}

export interface ResponseRegenerate {
  type: 'response.regenerate';
  id: string;
  response_id: string;
  model?: string;
}

export interface FeedbackCreate {
  type: 'feedback.create';
  id: string;
  response_id: string;
  rating: 'up' | 'down' | 'none';
  reasons?: string[];
  comment?: string;
}

export interface Ping {
  type: 'ping';
  id: string;
}

export type ClientFrame =
  | SessionOpen
  | MessageCreate
  | ResponseCancel
  | ResponseRegenerate
  | FeedbackCreate
  | Ping;

// ── server → client ──

/** Carried by every frame of a turn; `seq` grows strictly within the conversation. */
export interface TurnFrame {
  conversation_id?: string;
  response_id?: string;
  seq?: number;
}

export interface ModelInfo {
  id: string;
  name?: string | null;
  provider?: string;
}

export interface Limits {
  /** The longest message, in code points. */
  message_chars?: number;
  frame_bytes?: number;
  per_minute?: number;
}

export interface SessionReady {
  type: 'session.ready';
  ref?: string;
  session_id: string;
  tenant: string;
  visitor_token?: string | null;
  models: ModelInfo[];
  limits?: Limits;
  server_time: string | number;
}

export interface MessageAccepted extends TurnFrame {
  type: 'message.accepted';
  ref: string;
  message_id: string;
  duplicate: boolean;
}

export interface ResponseCreated extends TurnFrame {
  type: 'response.created';
  response_id: string;
  message_id: string;
  model: string;
}

export type Stage = 'retrieving' | 'generating';

export interface ResponseStatusFrame extends TurnFrame {
  type: 'response.status';
  stage: Stage;
  detail?: string | null;
}

export type Decision = 'direct' | 'grounded' | 'none';

export interface Source {
  n: number;
  entry_id: string;
  title: string;
  snippet: string;
  url?: string | null;
  score?: number;
}

export interface ResponseSources extends TurnFrame {
  type: 'response.sources';
  decision: Decision;
  sources: Source[];
}

export interface ReasoningDelta extends TurnFrame {
  type: 'response.reasoning.delta';
  delta: string;
}

export interface TextDelta extends TurnFrame {
  type: 'response.text.delta';
  delta: string;
  /** Code points already sent before this delta. */
  offset: number;
}

export interface TextDone extends TurnFrame {
  type: 'response.text.done';
  text: string;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  cost?: number | null;
  currency?: string | null;
}

export interface Citation {
  n: number;
  start: number;
  end: number;
}

export interface Timings {
  queue?: number;
  retrieval?: number;
  first_token?: number | null;
  total?: number;
}

export interface WireError {
  code: string;
  message: string;
  retryable?: boolean;
  details?: Record<string, unknown>;
}

export type ResponseStatus = 'completed' | 'incomplete' | 'cancelled' | 'failed';

export interface ResponseDone extends TurnFrame {
  type: 'response.done';
  response_id: string;
  status: ResponseStatus;
  finish_reason?: string | null;
  usage?: Usage | null;
  citations?: Citation[];
  suggestions?: string[];
  timings_ms?: Timings;
  error?: WireError | null;
}

export interface ErrorFrame extends TurnFrame {
  type: 'error';
  ref?: string | null;
  code: string;
  message: string;
  retryable: boolean;
  retry_after_ms?: number | null;
}

export interface Pong {
  type: 'pong';
  ref?: string;
}

export type ServerFrame =
  | SessionReady
  | MessageAccepted
  | ResponseCreated
  | ResponseStatusFrame
  | ResponseSources
  | ReasoningDelta
  | TextDelta
  | TextDone
  | ResponseDone
  | ErrorFrame
  | Pong;

// ── HTTP ──

/** `GET /api/v1/responses/{response_id}/sources/{n}`: the row an answer quoted. */
export interface SourceRow {
  n: number;
  entry_id: string;
  question: string | null;
  answer: string;
  category: string | null;
  market: string | null;
  locale: string | null;
  valid_from: string | null;
  valid_to: string | null;
  source: string | null;
  url: string | null;
  snippet: string | null;
}

/** `GET /api/v1/session`: who is signed in to the console. */
export interface SessionInfo {
  tenant: string;
  role: string;
  expires_at?: string;
}

/** `GET /api/v1/knowledge/stats`. */
export interface KnowledgeStats {
  entries: number;
  passages: number;
  revision: number;
  by_category: Record<string, number>;
  by_locale: Record<string, number>;
  /** `""` is for all markets. */
  by_market: Record<string, number>;
  expiring_7d: number;
  expired: number;
  /** Entries that will be served later. */
  coming?: number;
  embedder: string;
}

export interface LegScore {
  /** From 1; 0 when the leg did not list the entry but could score it. */
  rank: number;
  score: number;
}

export interface SearchHit {
  id: string;
  question: string | null;
  answer: string;
  /** Confidence from 0 to 1, the scale of the thresholds. */
  score: number;
  lexical: LegScore | null;
  semantic: LegScore | null;
  passed: boolean;
  reason?: string | null;
}

/** `GET /api/v1/knowledge/search`, the same object as `kb search --json`. */
export interface SearchAnswer {
  query: string;
  decision: Decision;
  hits: SearchHit[];
  timings_ms: Record<string, number>;
}

/** The body of every HTTP error. */
export interface ErrorBody {
  error: WireError;
}
