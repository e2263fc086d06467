//! Renders `web/shared/wire.ts` from the wire types and fails when the file is stale.
//! `UPDATE_WIRE=1 cargo test --lib wire_ts` writes it again.

use std::path::Path;

use ts_rs::{Config, TS};

use super::frames::{Limits, ModelInfo, ResponseCancel, ResponseRegenerate, SessionOpen, SessionReady};
use crate::chat::{ChatEvent, Citation, Decision, Done, ErrorReport, Source, Stage, Status, Timings, UsageReport};
use crate::http::feedback::FeedbackCreate;
use crate::http::message::MessageCreate;
use crate::knowledge::store::{Due, Stats};
use crate::knowledge::tuning::Tuning;
use crate::memory::Rating;

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

/** `GET /api/v1/session`: who is signed in to the console. */
export type SessionInfo = { tenant: string, role: string, expires_at?: string };

/** `rank` counts from 1; 0 when the leg did not list the entry but could score it. */
export type LegScore = { rank: number, score: number };

/** `score` is the confidence from 0 to 1, the scale of the thresholds. */
export type SearchHit = { id: string, question: string | null, answer: string, score: number, lexical: LegScore | null, semantic: LegScore | null, passed: boolean, rerank?: number, folded?: string[], reason?: string | null };

/** `GET /api/v1/knowledge/search`, the same object as `kb search --json`. */
export type SearchAnswer = { query: string, decision: Decision, hits: Array<SearchHit>, fusion: 'weighted' | 'rrf', rerank?: { model: string, candidates: number, error?: { code: string, message: string } }, timings_ms: Record<string, number> };

export type WireError = { code: string, message: string, retryable?: boolean, details?: Record<string, unknown> };

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
        named::<SessionReady>(config, "SessionReady"),
        named::<Stage>(config, "Stage"),
        named::<Decision>(config, "Decision"),
        named::<Source>(config, "Source"),
        named::<Citation>(config, "Citation"),
        named::<Status>(config, "Status"),
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
        named::<Due>(config, "Due"),
        named::<Tuning>(config, "Tuning"),
        format!("/** `GET /api/v1/knowledge/stats`. */\n{}", named::<Stats>(config, "KnowledgeStats")),
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
