//! `message.create`, the one way to ask on our own wires, as a [`ChatRequest`]; and what comes back
//! for wires that carry a single answer.

use std::collections::VecDeque;

use futures::stream::{self, Stream, StreamExt};
use serde::Deserialize;

use crate::chat::engine::Accepted;
use crate::chat::resume::too_slow;
use crate::chat::{ChatEvent, ChatRequest, EventKind, Replaces};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ids::{ConversationId, TurnId};
use crate::tenants::{Caller, Role};

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
    /// A message edited and asked again: its id, or that of the answer to it.
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub replaces: Option<TurnId>,
}

impl MessageCreate {
    /// The question in the engine's words.
    pub fn into_request(self, channel: &'static str) -> ChatRequest {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        ChatRequest {
            text: self.text,
            client_msg_id: self.client_msg_id,
            conversation_id: self.conversation_id,
            model: given(self.model),
            market: given(self.market),
            locale: given(self.locale),
            replaces: self.replaces.map(Replaces::Edited),
            channel,
            ..ChatRequest::default()
        }
    }
}

/// A site key is everybody's, so a shop may keep the choice of the model to itself.
///
/// # Errors
/// `model_choice_off` when a visitor names a model all the same.
pub fn check_choice(config: &Config, caller: &Caller, model: Option<&str>) -> Result<()> {
    let named = model.is_some_and(|model| !model.is_empty());
    if !named || caller.role != Role::Site || config.answers.visitors_choose_model(caller.tenant.as_str()) {
        return Ok(());
    }
    Err(Error::forbidden("model_choice_off", "Visitors do not choose the model here. Leave `model` out."))
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
            Err(slow) => Some((VecDeque::from([Err(too_slow(slow))]), None)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crate::chat::replay::EventLog;
    use crate::chat::{Done, Status, Timings, UsageReport};

    #[test]
    fn empty_choices_are_none_and_an_edited_message_names_the_old_one() {
        let create = |body| serde_json::from_value::<MessageCreate>(body).unwrap().into_request("sse");
        assert_eq!(create(json!({"text": "保证金退还", "model": "", "unknown": 1})).model, None);
        let edited = create(json!({"text": "a", "replaces": "r_1"})).replaces;
        assert!(matches!(edited, Some(Replaces::Edited(old)) if old.as_str() == "r_1"));
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
