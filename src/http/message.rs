//! `message.create`, the one way to ask on our own wires, as a [`ChatRequest`]; and what comes back
//! for wires that carry a single answer.

use std::collections::VecDeque;

use futures::stream::{self, Stream, StreamExt};
use serde::Deserialize;

use crate::chat::engine::Accepted;
use crate::chat::replay::TooSlow;
use crate::chat::{ChatEvent, ChatRequest, EventKind};
use crate::error::{Error, Result};
use crate::ids::{ConversationId, TurnId};

/// The fields of `message.create`; unknown ones are ignored.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct MessageCreate {
    pub text: String,
    #[cfg_attr(test, ts(type = "string"))]
    pub client_msg_id: Option<String>,
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub conversation_id: Option<ConversationId>,
    #[cfg_attr(test, ts(optional))]
    pub model: Option<String>,
    #[cfg_attr(test, ts(optional))]
    pub market: Option<String>,
    #[cfg_attr(test, ts(optional))]
    pub locale: Option<String>,
    #[cfg_attr(test, ts(optional))]
    pub replaces: Option<String>,
}

impl MessageCreate {
    /// The question in the engine's words, which also checks it.
    ///
    /// # Errors
    /// `not_supported_yet` for an edited message.
    pub fn into_request(self, channel: &'static str) -> Result<ChatRequest> {
        if self.replaces.is_some() {
            return Err(Error::invalid("not_supported_yet", "`replaces` is not supported yet: send the edited text as a new message."));
        }
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(ChatRequest {
            text: self.text,
            client_msg_id: self.client_msg_id,
            conversation_id: self.conversation_id,
            model: given(self.model),
            market: given(self.market),
            locale: given(self.locale),
            channel,
            ..ChatRequest::default()
        })
    }
}

/// The events of one answer up to and including its `response.done`.
pub fn events(accepted: Accepted) -> impl Stream<Item = Result<ChatEvent>> + Send {
    let Accepted { response_id, events: cursor, .. } = accepted;
    let batches = stream::unfold(Some((cursor, response_id)), |reader| async move {
        let (mut cursor, id) = reader?;
        match cursor.next().await {
            Ok(batch) => {
                let (batch, ended) = of_answer(batch, &id);
                Some((batch, (!ended).then_some((cursor, id))))
            }
            Err(TooSlow) => Some((VecDeque::from([Err(too_slow())]), None)),
        }
    });
    batches.flat_map(stream::iter)
}

/// Leaves out other answers of the same conversation and whatever follows the end.
fn of_answer(batch: Vec<ChatEvent>, id: &TurnId) -> (VecDeque<Result<ChatEvent>>, bool) {
    let mut kept = VecDeque::with_capacity(batch.len());
    for event in batch.into_iter().filter(|event| event.response_id.as_ref().is_none_or(|other| other == id)) {
        let ended = matches!(event.kind, EventKind::ResponseDone(_)) && event.response_id.as_ref() == Some(id);
        kept.push_back(Ok(event));
        if ended {
            return (kept, true);
        }
    }
    (kept, false)
}

/// The reader is beyond help: it has to ask for the stored answer instead.
pub fn too_slow() -> Error {
    Error::unavailable(
        "too_slow",
        "The connection is too slow: events were lost. The answer is kept; read it with GET /api/v1/conversations/{id}.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crate::chat::replay::EventLog;
    use crate::chat::{Done, Status, Timings, UsageReport};

    #[test]
    fn empty_choices_are_none_and_an_edited_message_is_refused() {
        let create = |body| serde_json::from_value::<MessageCreate>(body).unwrap().into_request("sse");
        assert_eq!(create(json!({"text": "保证金退还", "model": "", "unknown": 1})).unwrap().model, None);
        assert_eq!(create(json!({"text": "a", "replaces": "r_1"})).unwrap_err().code(), "not_supported_yet");
    }

    #[tokio::test]
    async fn an_answer_ends_with_its_done_and_leaves_others_out() {
        let conversation = ConversationId::from_text("c");
        let (ours, other) = (TurnId::from_text("r1"), TurnId::from_text("r2"));
        let log = EventLog::new(conversation.clone());
        let done = || {
            EventKind::ResponseDone(Box::new(Done {
                status: Status::Completed,
                finish_reason: "stop".into(),
                usage: UsageReport::default(),
                citations: vec![],
                suggestions: vec![],
                timings_ms: Timings::default(),
                error: None,
            }))
        };
        log.push(Some(&ours), EventKind::MessageAccepted { message_id: "m".into(), duplicate: false });
        log.push(Some(&other), EventKind::ResponseTextDone { text: "theirs".into() });
        log.push(Some(&other), done());
        log.push(Some(&ours), done());
        log.push(Some(&ours), EventKind::ResponseTextDone { text: "late".into() });
        let accepted = Accepted { conversation_id: conversation, response_id: ours, duplicate: false, events: log.after(0) };
        let events: Vec<ChatEvent> = events(accepted).map(|event| event.unwrap()).collect().await;
        assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 4]);
    }
}
