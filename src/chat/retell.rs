//! A stored turn told as events again (pure): under the numbers it had, from where its reader left,
//! or under fresh ones for somebody who asks the same again.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::numbers::{self, Numbers};
use super::replay::EventLog;
use super::{ChatEvent, Decision, Done, EventKind, Status};
use crate::memory::Turn;

/// Events that tell a stored turn to somebody who asks the same again, beside its acceptance.
pub const ANSWER_EVENTS: u64 = 4;

/// What a reader who has seen everything up to `after` has not seen of a turn; of a running one, as
/// far as it was stored.
pub fn retell(turn: &Turn, after: u64) -> Vec<ChatEvent> {
    let numbers: Numbers = read(&turn.numbers);
    let start = numbers::start_of(turn.ordinal);
    let or = |number: u64, otherwise: u64| if number > 0 { number } else { otherwise };
    let created = or(numbers.created, start + 2);
    let mut told = vec![(created - 1, accepted(turn, false)), (created, created_event(turn))];
    let ended = turn.status != "running";
    if ended || turn.decision.is_some() {
        told.push((or(numbers.sources, created + 1), sources(turn)));
    }
    told.extend(rest_of_text(turn, &numbers, after));
    if ended {
        let end = numbers::end_of(turn.ordinal);
        told.push((or(numbers.text_done, end - 1), EventKind::ResponseTextDone { text: turn.answer.clone() }));
        told.push((end, EventKind::ResponseDone(Box::new(done(turn)))));
    }
    told.retain(|(seq, _)| *seq > after);
    told.into_iter().map(|(seq, kind)| event(turn, seq, kind)).collect()
}

/// The text that comes after what the reader has, as one delta. Turns of an earlier version do not
/// know their numbers: their text comes whole with `response.text.done`.
fn rest_of_text(turn: &Turn, numbers: &Numbers, after: u64) -> Option<(u64, EventKind)> {
    let total = numbers::chars(&turn.answer);
    let seen = numbers.seen(after, total);
    if numbers.text.is_empty() || seen >= total {
        return None;
    }
    let delta = turn.answer.chars().skip(seen).collect();
    Some((numbers.at(total), EventKind::ResponseTextDelta { delta, offset: seen }))
}

/// The answer of a stored turn under the log's next numbers.
pub fn tell_answer(log: &Arc<EventLog>, turn: &Turn) {
    let id = Some(&turn.id);
    log.push(id, created_event(turn));
    log.push(id, sources(turn));
    log.push(id, EventKind::ResponseTextDone { text: turn.answer.clone() });
    log.close(&turn.id, 0, EventKind::ResponseDone(Box::new(done(turn))));
}

/// The end of a turn that could not tell it itself.
pub fn tell_end(log: &Arc<EventLog>, turn: &Turn) {
    log.push(Some(&turn.id), EventKind::ResponseTextDone { text: turn.answer.clone() });
    log.close(&turn.id, turn.ordinal, EventKind::ResponseDone(Box::new(done(turn))));
}

/// The acceptance of a turn's message.
pub fn accepted(turn: &Turn, duplicate: bool) -> EventKind {
    EventKind::MessageAccepted { message_id: turn.message_id.clone(), duplicate }
}

fn created_event(turn: &Turn) -> EventKind {
    EventKind::ResponseCreated {
        message_id: turn.message_id.clone(),
        model: turn.model.clone().unwrap_or_default(),
        replaces: turn.replaces.clone(),
    }
}

fn sources(turn: &Turn) -> EventKind {
    let decision = match turn.decision.as_deref() {
        Some("direct") => Decision::Direct,
        Some("grounded") => Decision::Grounded,
        _ => Decision::None,
    };
    // As the overview counts them.
    let courtesy = turn.decision.is_none() && turn.status == "completed";
    EventKind::ResponseSources { decision, sources: read(&turn.sources), courtesy, unsourced: turn.is_unsourced() }
}

fn done(turn: &Turn) -> Done {
    let status = match turn.status.as_str() {
        "completed" => Status::Completed,
        "cancelled" => Status::Cancelled,
        "failed" => Status::Failed,
        _ => Status::Incomplete,
    };
    Done {
        status,
        finish_reason: turn.finish_reason.clone().unwrap_or_else(|| "interrupted".to_owned()),
        usage: read(&turn.usage),
        citations: read(&turn.citations),
        suggestions: read(&turn.suggestions),
        timings_ms: read(&turn.timings),
        error: turn.error.clone().and_then(|error| serde_json::from_value(error).ok()),
    }
}

fn event(turn: &Turn, seq: u64, kind: EventKind) -> ChatEvent {
    ChatEvent { conversation_id: turn.conversation_id.clone(), response_id: Some(turn.id.clone()), seq, kind }
}

/// What an earlier version stored otherwise counts as not stored.
fn read<T: DeserializeOwned + Default>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_default()
}
