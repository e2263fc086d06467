//! Every call is paid once: one that came to nothing too, and one whose turn somebody else ended meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::memory::{NewTurn, Outcome, Progress};

use crate::models::Usage;

const TOLD: Usage = Usage { prompt_tokens: 70, completion_tokens: 30, cached_tokens: 0 };
const EMPTY: Usage = Usage { prompt_tokens: 70, completion_tokens: 11, cached_tokens: 0 };

/// Ends without a word the first time, and charges for it.
#[derive(Default)]
struct SilentOnce(AtomicUsize);

#[async_trait]
impl ChatModel for SilentOnce {
    async fn stream(&self, _: CompletionRequest) -> Result<DeltaStream, ModelError> {
        let said = match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => vec![Delta::Usage(EMPTY), Delta::Finish(FinishReason::Stop)],
            _ => vec![Delta::Text(SENTENCE.to_owned()), Delta::Usage(TOLD), Delta::Finish(FinishReason::Stop)],
        };
        Ok(futures::stream::iter(said.into_iter().map(Ok)).boxed())
    }
}

#[tokio::test]
async fn a_try_that_came_to_nothing_is_paid_beside_the_answer() {
    let shop = Shop::with(Arc::new(SilentOnce::default()), |_| ()).await;
    let (_, events) = shop.ask(QUESTION, None).await;
    let Some(EventKind::ResponseDone(done)) = events.last() else { panic!("{events:?}") };
    assert_eq!((done.status, done.usage.completion_tokens), (Status::Completed, 30), "{done:?}");
    let beside: Vec<_> = done.usage.beside.iter().map(|one| (one.purpose.as_str(), one.prompt_tokens, one.completion_tokens)).collect();
    assert_eq!(beside, [("in_vain", 70, 11)]);
    let report = shop.engine.0.parts.ledger.report(&shop.caller.tenant, None).await.unwrap();
    assert_eq!((report.models[0].calls, report.models[0].completion_tokens), (2, 41), "{report:?}");
}

#[tokio::test]
async fn a_turn_that_somebody_else_ended_is_paid_once_and_whole() {
    let shop = Shop::open(Breaks(1)).await;
    let (tenant, parts) = (&shop.caller.tenant, &shop.engine.0.parts);
    let card = parts.models.select(None).unwrap().card().clone();
    let new = NewTurn {
        owner: &shop.caller.owner,
        conversation: None,
        channel: "test",
        client_msg_id: None,
        question: QUESTION,
        model: &card.id,
        market: None,
        locale: None,
        instead: None,
    };
    let turn = shop.memory.record_question(tenant, &new).await.unwrap().turn;
    let so_far = Progress {
        tenant: tenant.clone(),
        turn: turn.id.clone(),
        answer: "店铺设置".to_owned(),
        decision: None,
        unsourced: false,
        sources: json!([]),
        numbers: json!({}),
        owed: Some(parts.ledger.owed(&card, TOLD.prompt_tokens)),
    };
    shop.memory.note_progress(&[so_far]).await.unwrap();
    assert_eq!(shop.memory.end_interrupted(0, stopped).await.unwrap(), 1);
    let told = async || {
        let report = parts.ledger.report(tenant, None).await.unwrap();
        (report.models[0].calls, report.models[0].prompt_tokens, report.models[0].completion_tokens)
    };
    let (calls, prompt, completion) = told().await;
    assert!(calls == 1 && prompt == 70 && (1..30).contains(&completion), "what is known of it: {completion}");
    // Its own node was only slow, and comes to the end.
    let empty = json!([]);
    let outcome = Outcome {
        status: "completed".to_owned(),
        sources: empty.clone(),
        citations: empty.clone(),
        suggestions: empty,
        usage: json!({"prompt_tokens": 70, "completion_tokens": 30, "cost": 0.0, "currency": card.currency}),
        spent: Some(parts.ledger.spending(&card, TOLD, 0.0)),
        ..Outcome::default()
    };
    for _ in 0..2 {
        assert!(!shop.memory.record_outcome(tenant, &turn.id, &outcome).await.unwrap());
        assert_eq!(told().await, (1, 70, 30), "the rest, and no second call");
    }
}
