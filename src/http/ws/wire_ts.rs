//! Renders `web/shared/wire.ts` from the wire types and fails when the file is stale.
//! `UPDATE_WIRE=1 cargo test --lib wire_ts` writes it again.

use std::path::Path;

use ts_rs::{Config, TS};

use super::frames::{Limits, ModelInfo, ResponseCancel, ResponseRegenerate, SessionOpen, SessionReady};
use crate::channels::outgoing::EndpointState;
use crate::channels::{BotState, Calls, Health, Problem};
use crate::chat::{BesideReport, ChatEvent, Citation, Decision, Done, ErrorReport, Source, Stage, Status, Timings, UsageReport};
use crate::config::AiMark;
use crate::events::store::Delivery;
use crate::http::feedback::FeedbackCreate;
use crate::http::message::MessageCreate;
use crate::knowledge::cases::Case;
use crate::knowledge::cases::compare::{Change, Comparison, Judged, Outcome, Summary};
use crate::knowledge::store::{Due, Renewal, Stats};
use crate::knowledge::tuning::Tuning;
use crate::memory::Rating;
use crate::memory::overview::{Asked, Figures, Overview, Part};
use crate::tenants::{ApiKey, Role};

const HEAD: &str = "\
// What goes over the wire: WebSocket `copilot.v1` and the JSON of the HTTP doors.
// Generated from the Rust types by src/http/ws/wire_ts.rs: `UPDATE_WIRE=1 cargo test --lib wire_ts`.
// All offsets and lengths count Unicode code points.
";

/// A frame without fields, and all of them.
const CLIENT: &str = "\
export type Ping = { type: 'ping', id: string };

export type ClientFrame = SessionOpen | MessageCreate | ResponseCancel | ResponseRegenerate | FeedbackCreate | Ping;
";

/// What has no Rust type of its own: the two frames that `frames.rs` and `chat.rs` write by hand.
const ERRORS: &str = "\
export type ErrorFrame = { type: 'error', ref?: string, code: string, message: string, details?: Record<string, unknown>, retryable: boolean, retry_after_ms?: number };

export type Pong = { type: 'pong', ref?: string };

export type ServerFrame = SessionReady | TurnFrame | ErrorFrame | Pong;

export type TextDelta = Extract<TurnFrame, { type: 'response.text.delta' }>;

export type ResponseStatus = Status;
";

/// Bodies that the HTTP doors build with `json!`.
const HTTP: &str = "\
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
";

fn named<T: TS>(config: &Config, name: &str) -> String {
    format!("export type {name} = {};\n", T::inline(config))
}

/// A client's frame: its fields beside `type` and `id`.
fn client<T: TS>(config: &Config, name: &str, kind: &str) -> String {
    format!("export type {name} = {{ type: '{kind}', id: string }} & {};\n", T::inline(config))
}

fn render() -> String {
    let config = &Config::new().with_large_int("number");
    let parts = [
        HEAD.to_owned(),
        "// ── client → server ──\n".to_owned(),
        client::<SessionOpen>(config, "SessionOpen", "session.open"),
        client::<MessageCreate>(config, "MessageCreate", "message.create"),
        client::<ResponseCancel>(config, "ResponseCancel", "response.cancel"),
        client::<ResponseRegenerate>(config, "ResponseRegenerate", "response.regenerate"),
        named::<Rating>(config, "Rating"),
        client::<FeedbackCreate>(config, "FeedbackCreate", "feedback.create"),
        CLIENT.to_owned(),
        "// ── server → client ──\n".to_owned(),
        named::<ModelInfo>(config, "ModelInfo"),
        named::<Limits>(config, "Limits"),
        named::<AiMark>(config, "AiMark"),
        named::<SessionReady>(config, "SessionReady"),
        named::<Stage>(config, "Stage"),
        named::<Decision>(config, "Decision"),
        named::<Source>(config, "Source"),
        named::<Citation>(config, "Citation"),
        named::<Status>(config, "Status"),
        named::<BesideReport>(config, "BesideReport"),
        named::<UsageReport>(config, "UsageReport"),
        named::<Timings>(config, "Timings"),
        named::<ErrorReport>(config, "ErrorReport"),
        named::<Done>(config, "Done"),
        format!(
            "/** Every frame of a turn; `seq` grows strictly within the conversation. */\nexport type TurnFrame = {{ ref?: string }} & {};\n",
            ChatEvent::inline(config)
        ),
        ERRORS.to_owned(),
        HTTP.to_owned(),
        named::<Role>(config, "Role"),
        format!("/** `GET /api/v1/keys`. */\n{}", named::<ApiKey>(config, "ApiKey")),
        named::<Figures>(config, "Figures"),
        named::<Part>(config, "OverviewPart"),
        named::<Asked>(config, "AskedQuestion"),
        format!("/** `GET /api/v1/overview`. */\n{}", named::<Overview>(config, "Overview")),
        named::<Due>(config, "Due"),
        named::<Tuning>(config, "Tuning"),
        named::<Renewal>(config, "Renewal"),
        format!("/** `GET /api/v1/knowledge/stats`. */\n{}", named::<Stats>(config, "KnowledgeStats")),
        named::<Problem>(config, "Problem"),
        named::<Health>(config, "Health"),
        named::<Calls>(config, "Calls"),
        format!("/** `GET /api/v1/bots`. */\n{}", named::<BotState>(config, "BotState")),
        format!("/** `GET /api/v1/webhooks`. */\n{}", named::<EndpointState>(config, "EndpointState")),
        format!("/** `GET /api/v1/webhooks/deliveries`. */\n{}", named::<Delivery>(config, "Delivery")),
        format!("/** `GET /api/v1/knowledge/cases`. */\n{}", named::<Case>(config, "Case")),
        named::<Outcome>(config, "Outcome"),
        named::<Change>(config, "Change"),
        named::<Judged>(config, "Judged"),
        named::<Summary>(config, "Summary"),
        format!("/** `POST /api/v1/knowledge/evaluate`. */\n{}", named::<Comparison>(config, "Comparison")),
    ];
    parts.join("\n")
}

#[test]
fn the_pages_know_the_wire_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/shared/wire.ts");
    let fresh = render();
    if std::env::var_os("UPDATE_WIRE").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == fresh, "web/shared/wire.ts is stale: run `UPDATE_WIRE=1 cargo test --lib wire_ts`, then `npm run check` in web/");
}
