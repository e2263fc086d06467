// What goes over the wire: WebSocket `copilot.v1` and the JSON of the HTTP doors.
// Generated from the Rust types by src/http/ws/wire_ts.rs: `UPDATE_WIRE=1 cargo test --lib wire_ts`.
// All offsets and lengths count Unicode code points.

// ── client → server ──

export type SessionOpen = { type: 'session.open', id: string } & { 
/**
 * Left out when the upgrade request showed who asks.
 */
token?: string, visitor_token?: string, 
/**
 * A token of the shop's backend that says who the visitor is.
 */
identity?: string, 
/**
 * Goes on after a broken line.
 */
resume?: { conversation_id: string, last_seq: number }, };

export type MessageCreate = { type: 'message.create', id: string } & { text: string, client_msg_id: string, conversation_id?: string, model?: string, market?: string, locale?: string, 
/**
 * A message edited and asked again: its id, or that of the answer to it.
 */
replaces?: string, };

export type ResponseCancel = { type: 'response.cancel', id: string } & { response_id: string, };

export type ResponseRegenerate = { type: 'response.regenerate', id: string } & { response_id: string, 
/**
 * Another model; left out, the one that answered before.
 */
model?: string, };

export type Rating = "up" | "down" | "none";

export type FeedbackCreate = { type: 'feedback.create', id: string } & { response_id: string, rating: Rating, reasons?: Array<string>, comment?: string, };

export type Ping = { type: 'ping', id: string };

export type ClientFrame = SessionOpen | MessageCreate | ResponseCancel | ResponseRegenerate | FeedbackCreate | Ping;

// ── server → client ──

export type ModelInfo = { id: string, name: string, provider: string, };

export type Limits = { message_chars: number, frame_bytes: number, per_minute: number, };

export type AiMark = { 
/**
 * Under Chinese answers.
 */
zh: string, 
/**
 * Under English ones.
 */
en: string, };

export type SessionReady = { "type": "session.ready", ref?: string, session_id: string, tenant: string, visitor_token?: string, 
/**
 * Empty when the shop keeps the choice to itself.
 */
models: Array<ModelInfo>, 
/**
 * Says under an answer that AI made it; an empty text says nothing.
 */
ai_mark: AiMark, 
/**
 * Where links in answers may lead beside the hosts of their sources; `null`: anywhere.
 */
link_hosts: Array<string> | null, limits: Limits, server_time: string, };

export type Stage = "retrieving" | "generating";

export type Decision = "direct" | "grounded" | "none";

export type Source = { 
/**
 * What `[n]` refers to, from 1.
 */
n: number, 
/**
 * The row.
 */
entry_id: string, 
/**
 * Its question or heading.
 */
title: string, 
/**
 * The retrieved part of its answer.
 */
snippet: string, 
/**
 * Where it is published, if anywhere.
 */
url: string | null, 
/**
 * Confidence from 0 to 1.
 */
score: number, };

export type Citation = { n: number, start: number, end: number, };

export type Status = "completed" | "incomplete" | "cancelled" | "failed";

export type BesideReport = { purpose: string, model: string, prompt_tokens: number, completion_tokens: number, cost: number, currency: string, };

export type UsageReport = { prompt_tokens: number, completion_tokens: number, cost: number, currency: string, cached?: boolean, beside?: Array<BesideReport>, };

export type Timings = { 
/**
 * Waiting for the turn before.
 */
queue: number, 
/**
 * Searching the knowledge.
 */
retrieval: number, 
/**
 * From the question's arrival to the first text.
 */
first_token: number, 
/**
 * From the question's arrival to the end.
 */
total: number, };

export type ErrorReport = { code: string, message: string, retryable: boolean, retry_after_ms?: number, };

export type Done = { 
/**
 * How it ended.
 */
status: Status, 
/**
 * `stop`, `length`, `content_filter`, `cancelled`, `error`, `interrupted`.
 */
finish_reason: string, 
/**
 * Tokens and money.
 */
usage: UsageReport, 
/**
 * Where the answer quotes its sources.
 */
citations: Array<Citation>, 
/**
 * Questions that could come next.
 */
suggestions: Array<string>, 
/**
 * Time per stage.
 */
timings_ms: Timings, 
/**
 * What went wrong, unless completed or cancelled.
 */
error?: ErrorReport, };

/** Every frame of a turn; `seq` grows strictly within the conversation. */
export type TurnFrame = { ref?: string } & { 
/**
 * The thread.
 */
conversation_id: string, 
/**
 * The answer, once there is one.
 */
response_id?: string, 
/**
 * Strictly increasing within the conversation.
 */
seq: number, } & ({ "type": "message.accepted", 
/**
 * The stored question.
 */
message_id: string, 
/**
 * Whether it had been stored before.
 */
duplicate: boolean, } | { "type": "response.created", 
/**
 * The question it answers.
 */
message_id: string, 
/**
 * Who answers.
 */
model: string, 
/**
 * The answer whose place this one takes.
 */
replaces?: string, } | { "type": "response.status", 
/**
 * The step.
 */
stage: Stage, 
/**
 * A sentence about it.
 */
detail?: string, 
/**
 * Who answers, when it is another model than `response.created` said.
 */
model?: string, } | { "type": "response.sources", 
/**
 * How sure retrieval is.
 */
decision: Decision, 
/**
 * In rank order; empty when nothing was found.
 */
sources: Array<Source>, 
/**
 * A greeting or thanks: nothing was asked, so nothing is missing. Left out otherwise.
 */
courtesy?: boolean, 
/**
 * A model answers all the same, from what it knows itself: the shop allows it. Left out otherwise.
 */
unsourced?: boolean, } | { "type": "response.reasoning.delta", 
/**
 * The piece.
 */
delta: string, } | { "type": "response.text.delta", 
/**
 * The piece.
 */
delta: string, 
/**
 * Code points sent before it.
 */
offset: number, } | { "type": "response.text.done", 
/**
 * The answer.
 */
text: string, } | { "type": "response.done" } & Done);

export type ErrorFrame = { type: 'error', ref?: string, code: string, message: string, details?: Record<string, unknown>, retryable: boolean, retry_after_ms?: number };

export type Pong = { type: 'pong', ref?: string };

export type ServerFrame = SessionReady | TurnFrame | ErrorFrame | Pong;

export type TextDelta = Extract<TurnFrame, { type: 'response.text.delta' }>;

export type ResponseStatus = Status;

// ── HTTP ──

/** `GET /api/v1/responses/{response_id}/sources/{n}`: the row an answer quoted. */
export type SourceRow = { n: number, entry_id: string, question: string | null, answer: string, category: string | null, market: string | null, locale: string | null, valid_from: string | null, valid_to: string | null, source: string | null, url: string | null, snippet: string | null };

/** `GET /api/v1/session`: who is signed in to the console, and where links in answers may lead besides what their sources name; null: anywhere. */
export type SessionInfo = { tenant: string, role: string, expires_at?: string, link_hosts: Array<string> | null };

/** `rank` counts from 1; 0 when the leg did not list the entry but could score it. */
export type LegScore = { rank: number, score: number };

/** `score` is the confidence from 0 to 1, the scale of the thresholds; `fused` ranks; `matched` are the question's words that the entry has. */
export type SearchHit = { id: string, question: string | null, answer: string, score: number, lexical: LegScore | null, semantic: LegScore | null, passed: boolean, fused: number, matched: string[], market?: string, rerank?: number, folded?: string[], direct_refused?: string, reason?: string | null };

/** What ranks and decides: the lexical leg's weight against the semantic one, what a confidence has to reach, and how the legs are put together. */
export type SearchSettings = { weight: number, grounded_threshold: number, direct_threshold: number, fusion: 'weighted' | 'rrf' };

/** `GET /api/v1/knowledge/search`, the object of `kb search --json` with the settings it was made by. */
export type SearchAnswer = { query: string, decision: Decision, hits: Array<SearchHit>, fusion: 'weighted' | 'rrf', weights?: { lexical: number, lexical_bare: number }, rerank?: { model: string, candidates: number, error?: { code: string, message: string } }, timings_ms: Record<string, number>, settings?: SearchSettings };

/** A row as it is kept: `GET /api/v1/knowledge/entries/{id}`. */
export type Entry = EntryContent & { id: string, revision: number, created_ms: number, updated_ms: number };

export type EntryContent = { question: string, answer: string, similar: Array<string>, not: Array<string>, category: string | null, tags: Array<string>, market: string | null, locale: string | null, valid_from: string | null, valid_to: string | null, source: string | null, url: string | null, direct: boolean };

/** `GET /api/v1/knowledge/entries`; `total` on the first page only. */
export type EntryPage = { entries: Array<Entry>, next: string | null, total?: number };

/** What an entry said before a change. */
export type EntryVersion = { revision: number, action: 'changed' | 'deleted', by: string, at_ms: number, before: Partial<EntryContent> };

/** `skipped` only once it is applied: somebody left it out. */
export type Fate = 'added' | 'changed' | 'unchanged' | 'duplicate' | 'conflicting' | 'failed' | 'deleted' | 'skipped';

/** A row of a file, and what would become of it. */
export type PlannedRow = { n: number, fate: Fate, file: string, sheet?: string, row: number, id?: string, code?: string, message?: string, details?: Record<string, unknown>, new?: Partial<EntryContent>, old?: Partial<EntryContent> & { id?: string }, over?: Partial<EntryContent>, instead?: Partial<EntryContent>, cells?: Record<string, string> };

export type ImportCounts = { added: number, changed: number, unchanged: number, duplicates: number, conflicts: number, failed: number, deleted?: number, skipped?: number, notes?: Array<string>, revision: number };

/** What taking an import back did; `left` were changed by somebody since and stay. */
export type TakenBack = { restored: number, deleted: number, left: number, revision: number };

/** `POST /api/v1/knowledge/imports`, and `GET` of one, with a page of its plan; once applied, of what became of its rows. */
export type ImportPlan = { id: string, state: 'planned' | 'applying' | 'applied', created_ms: number, expires_ms: number, by: string, applied_ms: number | null, files: Array<string>, plan: ImportCounts, applied: ImportCounts | null, undone: TakenBack | null, rows: Array<PlannedRow>, next: number | null };

/** An import in the list of them; `undoable`: it wrote something and can still be taken back. */
export type PastImport = { id: string, files: Array<string>, by: string, created_ms: number, applied_ms: number | null, expires_ms: number, state: 'planned' | 'applying' | 'applied' | 'undone', counts: Partial<Omit<ImportCounts, 'notes' | 'revision'>>, undoable: boolean };

/** `GET /api/v1/knowledge/imports`, the newest first. */
export type ImportPage = { imports: Array<PastImport>, next: string | null };

export type Conversation = { id: string, channel: string, title: string, turns: number, created_ms: number, updated_ms: number };

export type Feedback = { rating: Rating, reasons: Array<string>, comment: string | null, rated_ms: number };

/** A question with its answer, as stored; its trace has a door of its own. */
export type StoredTurn = { id: string, conversation_id: string, ordinal: number, question: string, query: string, answer: string, decision: Decision | null, model: string | null, status: Status | 'running', finish_reason: string | null, error: WireError | null, sources: Array<Source>, unsourced: boolean, usage: Partial<UsageReport>, timings: Partial<Timings>, created_ms: number, done_ms: number | null, market: string | null, replaces: string | null, replaced_by: string | null, feedback: Feedback | null };

/** `GET /api/v1/models`. Prices are for a million tokens. */
export type ModelState = { id: string, name: string, provider: string, price_in: number, price_out: number, price_cached?: number, currency: string, context?: number, default: boolean, fallback: Array<string>, health: 'unknown' | 'ok' | 'failing' | 'open' | 'probing', last_error?: { code: string, message: string, at_ms: number } };

/** A template in force: `GET /api/v1/prompts`. `published` is the shop's own version. */
export type PromptHead = { name: string, version: number | string, description: string, origin: string, published: number | null, digest: string, label: string };

export type PromptText = PromptHead & { text: string, variables: Array<{ name: string, kind: string, optional: boolean }> };

export type PromptFinding = { line: number, level: 'error' | 'warning', code: string, details: Record<string, unknown>, message: string };

export type PromptVersion = { version: number, author: string, note: string, created_ms: number };

/** Version 0 is the one of the file. */
export type PromptVersions = { in_force: number, versions: Array<PromptVersion>, publications: Array<PromptVersion & { revision: number }> };

export type PromptPreview = { template: string, version: string, model: string, decision: Decision, asks_model: boolean, messages: Array<{ role: string, part: string, content: string, tokens: number }>, tokens: { total: number, budget: number }, price: { prompt: number, most: number, currency: string, priced: boolean }, sources: Array<{ n: number, entry_id: string, title: string }> };

/** `GET` and `PUT /api/v1/knowledge/words`: words kept whole, and groups that mean the same. */
export type ShopWords = { words: Array<string>, synonyms: Array<Array<string>>, revision: number, updated_ms?: number, updated_by?: string };

/** What a guardrail did, never the text: `GET /api/v1/safety/verdicts`. */
export type Verdict = { id: string, response_id: string, stage: 'question' | 'source' | 'answer', rule: string, action: 'flag' | 'redact' | 'refuse', hits: number, created_ms: number };

export type WireError = { code: string, message: string, retryable?: boolean, retry_after_ms?: number, details?: Record<string, unknown> };

/** The body of every HTTP error. */
export type ErrorBody = { error: WireError };

export type Role = "admin" | "member" | "site" | "identity";

/** `GET /api/v1/keys`. */
export type ApiKey = { 
/**
 * Its public name.
 */
id: string, 
/**
 * Whose it is.
 */
tenant: string, 
/**
 * What it may do.
 */
role: Role, 
/**
 * What it is for, in the words of whoever issued it.
 */
label: string, 
/**
 * Where a site key may be used from.
 */
origins: Array<string>, 
/**
 * When it was issued.
 */
created_ms: number, 
/**
 * From when on it is refused.
 */
expires_ms: number | null, 
/**
 * Since when it is refused.
 */
revoked_ms: number | null, };

export type Figures = { 
/**
 * Questions that have an answer.
 */
questions: number, 
/**
 * Answered from the knowledge, or with a courtesy.
 */
answered: number, 
/**
 * Answered that the knowledge has nothing, or not at all because a guardrail said so.
 */
refused: number, 
/**
 * Failed, broken off or stopped.
 */
failed: number, 
/**
 * Rated up.
 */
up: number, 
/**
 * Rated down.
 */
down: number, 
/**
 * Given again from the cache.
 */
cached: number, 
/**
 * Milliseconds to the first text that half of the answers took at most.
 */
first_token_p50: number | null, 
/**
 * The same for 95 of 100.
 */
first_token_p95: number | null, 
/**
 * Milliseconds to the end that half of the answers took at most.
 */
total_p50: number | null, 
/**
 * The same for 95 of 100.
 */
total_p95: number | null, 
/**
 * Money by currency.
 */
cost: { [key in string]: number }, };

export type OverviewPart = { 
/**
 * The day, as 2026-11-23, or the channel.
 */
name: string, 
/**
 * Questions that have an answer.
 */
questions: number, 
/**
 * Answered from the knowledge, or with a courtesy.
 */
answered: number, 
/**
 * Answered that the knowledge has nothing, or not at all because a guardrail said so.
 */
refused: number, 
/**
 * Failed, broken off or stopped.
 */
failed: number, 
/**
 * Rated up.
 */
up: number, 
/**
 * Rated down.
 */
down: number, 
/**
 * Given again from the cache.
 */
cached: number, 
/**
 * Milliseconds to the first text that half of the answers took at most.
 */
first_token_p50: number | null, 
/**
 * The same for 95 of 100.
 */
first_token_p95: number | null, 
/**
 * Milliseconds to the end that half of the answers took at most.
 */
total_p50: number | null, 
/**
 * The same for 95 of 100.
 */
total_p95: number | null, 
/**
 * Money by currency.
 */
cost: { [key in string]: number }, };

export type AskedQuestion = { 
/**
 * As it was asked last.
 */
question: string, 
/**
 * How often.
 */
count: number, 
/**
 * How often it was refused.
 */
refused: number, 
/**
 * How often its answer was rated down.
 */
down: number, 
/**
 * Where it was asked last.
 */
conversation_id: string, };

/** `GET /api/v1/overview`. */
export type Overview = { 
/**
 * All of it.
 */
total: Figures, 
/**
 * Every day, also those without a question, oldest first.
 */
days: Array<OverviewPart>, 
/**
 * Every channel, the busiest first.
 */
channels: Array<OverviewPart>, 
/**
 * What was asked most.
 */
questions: Array<AskedQuestion>, };

export type Due = { 
/**
 * The entry.
 */
id: string, 
/**
 * Its question.
 */
question: string, 
/**
 * When.
 */
at_ms: number, };

export type Tuning = { 
/**
 * How the legs are put together.
 */
fusion: 'weighted' | 'rrf', 
/**
 * The lexical leg's share for entries with a question.
 */
lexical_weight: number, 
/**
 * Its share for entries that are found by their answer only.
 */
lexical_weight_bare: number, 
/**
 * Confidence below which the honest answer is "not found".
 */
grounded_threshold: number, 
/**
 * Labelled questions that it was chosen on.
 */
chosen_on: number, 
/**
 * nDCG@10 of those questions, each under what was chosen without it (cross-validation).
 */
held_out_ndcg10: number, };

export type Renewal = { 
/**
 * The embedder that makes them.
 */
embedder: string, 
/**
 * Live entries that have theirs.
 */
done: number, 
/**
 * Live entries.
 */
of: number, };

/** `GET /api/v1/knowledge/stats`. */
export type KnowledgeStats = { 
/**
 * Live entries.
 */
entries: number, 
/**
 * Their passages.
 */
passages: number, 
/**
 * The knowledge version.
 */
revision: number, 
/**
 * Live entries per category; `""` has none.
 */
by_category: { [key in string]: number }, 
/**
 * Live entries per locale.
 */
by_locale: { [key in string]: number }, 
/**
 * Live entries per market; `""` is for all markets.
 */
by_market: { [key in string]: number }, 
/**
 * Live entries per source; `""` has none.
 */
by_source: { [key in string]: number }, 
/**
 * Entries that stop being served within seven days.
 */
expiring_7d: number, 
/**
 * Entries that are no longer served.
 */
expired: number, 
/**
 * Entries that will be served later.
 */
coming: number, 
/**
 * The first of those that stop being served within seven days, soonest first.
 */
expiring: Array<Due>, 
/**
 * The first of those that will be served later, soonest first.
 */
becoming_live: Array<Due>, 
/**
 * The embedder whose vectors are searched.
 */
embedder: string, 
/**
 * How far new vectors are, while they are being made.
 */
renewal: Renewal | null, 
/**
 * Words of the shop's own dictionary.
 */
words: number, 
/**
 * Its groups of synonyms.
 */
synonyms: number, 
/**
 * What `kb eval --tune` has put in place of the configuration.
 */
tuning: Tuning | null, };

export type Problem = { 
/**
 * When.
 */
at_ms: number, 
/**
 * The error's code.
 */
code: string, 
/**
 * What happened.
 */
message: string, };

export type Health = "connected" | "connecting" | "ready" | "waiting" | "failing";

export type Calls = { 
/**
 * Messages and changes of cards since the server started.
 */
since_start: number, 
/**
 * Most calls a second.
 */
per_second: number | null, 
/**
 * Answers being written into cards now.
 */
open_cards: number | null, 
/**
 * Calls that wait for their turn now.
 */
waiting: number | null, 
/**
 * Calls of this month.
 */
month_used: number | null, 
/**
 * Most calls a month.
 */
month_limit: number | null, };

/** `GET /api/v1/bots`. */
export type BotState = { 
/**
 * `dingtalk`, `feishu`, `slack`, `wecom`.
 */
platform: string, 
/**
 * As the configuration calls it.
 */
name: string, 
/**
 * `webhook`: the platform calls us; `stream`: we keep a line open.
 */
mode: 'webhook' | 'stream', 
/**
 * How it is.
 */
state: Health, 
/**
 * When a callback or anything else of the platform came in last.
 */
seen_ms: number | null, 
/**
 * When a message was dealt with last, within seven days.
 */
last_message_ms: number | null, 
/**
 * Messages within seven days.
 */
messages_7d: number, 
/**
 * Why it is failing; when it is not, the last message since the start that was given up or may be lost.
 */
last_error: Problem | null, 
/**
 * The last callback that was refused: somebody else's, or a sign of a wrong secret.
 */
refused: Problem | null, 
/**
 * Its calls to the platform.
 */
calls: Calls, 
/**
 * Whom a test message reaches; nobody when there is nobody on duty.
 */
tests_to: Array<'user' | 'group'>, };

/** `GET /api/v1/webhooks`. */
export type EndpointState = { 
/**
 * As the configuration calls it; a group's begins with `notices.`.
 */
name: string, 
/**
 * `webhook`: a program; `notice`: a group.
 */
kind: 'webhook' | 'notice', 
/**
 * The receiver's host.
 */
host: string, 
/**
 * What it is told.
 */
events: Array<string>, 
/**
 * Deliveries that will be tried.
 */
waiting: number, 
/**
 * Deliveries that arrived.
 */
delivered: number, 
/**
 * Deliveries that were given up.
 */
failed: number, 
/**
 * When one arrived last.
 */
last_delivered_ms: number | null, };

/** `GET /api/v1/webhooks/deliveries`. */
export type Delivery = { 
/**
 * Its own id: an event's for one endpoint.
 */
id: string, 
/**
 * The event's, which the receiver sees as `webhook-id`.
 */
event_id: string, 
/**
 * What happened.
 */
event: string, 
/**
 * To whom it is told.
 */
endpoint: string, 
/**
 * `waiting`, `delivered`, `failed`.
 */
state: 'waiting' | 'delivered' | 'failed', 
/**
 * Tries so far.
 */
attempts: number, 
/**
 * When a waiting one is tried next.
 */
due_ms: number, 
/**
 * The receiver's last status.
 */
status: number | null, 
/**
 * What went wrong last: `http_500`, `timeout`, `unreachable`, `private_address`, …
 */
problem: string | null, 
/**
 * When it happened.
 */
created_ms: number, 
/**
 * When it was tried last.
 */
updated_ms: number, };

/** `GET /api/v1/knowledge/cases`. */
export type Case = { 
/**
 * Follows from question and market.
 */
id: string, 
/**
 * What is asked.
 */
query: string, 
/**
 * Asked of this market.
 */
market: string | null, 
/**
 * Rows that answer it; empty when the base cannot.
 */
relevant: Array<string>, 
/**
 * A group to report by.
 */
kind: string | null, 
/**
 * When it was kept.
 */
created_ms: number, 
/**
 * The key that kept it.
 */
created_by: string, };

export type Outcome = { 
/**
 * The place of the first row that answers it, from 1; none when it is not among the first fifty.
 */
rank: number | null, 
/**
 * What would be done with the question.
 */
decision: Decision, };

export type Change = "worse" | "better" | "same";

export type Judged = { 
/**
 * The case.
 */
id: string, 
/**
 * What is asked.
 */
query: string, 
/**
 * Asked of this market.
 */
market: string | null, 
/**
 * Whether the base can answer it.
 */
answerable: boolean, 
/**
 * Whether every row that answers it is gone.
 */
gone: boolean, 
/**
 * Under the settings in force.
 */
before: Outcome, 
/**
 * Under the others.
 */
after: Outcome | null, 
/**
 * What they do to it.
 */
change: Change | null, };

export type Summary = { 
/**
 * nDCG@10 of the answerable ones.
 */
"ndcg@10": number, 
/**
 * Questions that the base can answer.
 */
answerable: number, 
/**
 * Of those, refused.
 */
lost: number, 
/**
 * Questions that it cannot answer.
 */
unanswerable: number, 
/**
 * Of those, refused.
 */
refused: number, };

/** `POST /api/v1/knowledge/evaluate`. */
export type Comparison = { 
/**
 * Questions kept.
 */
cases: number, 
/**
 * Questions asked; fewer when there are more than 2,000, or when time was up.
 */
asked: number, 
/**
 * Under the settings in force.
 */
before: Summary, 
/**
 * Under the others.
 */
after: Summary | null, 
/**
 * Every question, what got worse first, then what got better; without other settings what comes out badly first.
 */
questions: Array<Judged>, };
