//! A short call of a model beside the answer: for the notes on a conversation, or for a better query. Paid
//! and measured like an answer, within a time limit; whoever asks goes on without it when nothing comes.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::engine::ChatEngine;
use super::reason::{Piece, ReasonSplitter};
use crate::error::Result;
use crate::ids::TenantId;
use crate::ledger::Allowance;
use crate::models::{Attempts, CompletionRequest, Delta, DeltaStream, Model, Usage};
use crate::telemetry;

/// What came of a call.
pub(super) enum Aside {
    /// The whole text, without its reasoning, and what it took.
    Said(String, Usage),
    /// Nothing that could be used; why, in a word.
    Nothing(&'static str),
}

impl ChatEngine {
    /// Asks, and waits so long at most; `attempts` hears of it. A provider that never said a word is not paid.
    pub(super) async fn aside(
        &self,
        model: &Arc<Model>,
        tenant: &TenantId,
        request: CompletionRequest,
        within: Duration,
        attempts: &Attempts,
    ) -> Result<Aside> {
        let deadline = Instant::now() + within;
        let ledger = &self.0.parts.ledger;
        let prompt_tokens = model.count(request.messages.iter().map(|message| message.content.as_str())) as u64;
        let completion_tokens = request.max_tokens.unwrap_or_default().into();
        let most = Usage { prompt_tokens, completion_tokens, cached_tokens: 0 };
        let Allowance::Granted(_held) = ledger.allow(tenant, &model.most_costs(most)).await? else {
            return Ok(Aside::Nothing("spend_limit_reached"));
        };
        let started = match timeout_at(deadline, model.stream(request, attempts)).await {
            Ok(Ok(started)) => started,
            Ok(Err(error)) => {
                tracing::warn!(%error, model = model.card().id, "a call beside the answer failed");
                return Ok(Aside::Nothing(error.code()));
            }
            Err(_) => return Ok(Aside::Nothing("timeout")),
        };
        let heard = listen(started.deltas, started.model.thinks_first(), deadline).await;
        let counted = started.model.family().count(&heard.text) as u64;
        let usage = heard.told.unwrap_or(Usage { completion_tokens: counted, ..most });
        ledger.record(tenant, &started.model, usage).await?;
        measure(&started.model, tenant, usage);
        Ok(match heard.broke_off {
            Some(why) => Aside::Nothing(why),
            None if heard.text.is_empty() => Aside::Nothing("empty"),
            None => Aside::Said(heard.text, usage),
        })
    }
}

/// What a model said.
struct Heard {
    text: String,
    /// The tokens that the provider told.
    told: Option<Usage>,
    /// Why it is not whole.
    broke_off: Option<&'static str>,
}

async fn listen(mut deltas: DeltaStream, thinks_first: bool, deadline: Instant) -> Heard {
    let mut split = if thinks_first { ReasonSplitter::inside() } else { ReasonSplitter::unsure() };
    let (mut pieces, mut told, mut broke_off) = (Vec::new(), None, None);
    loop {
        match timeout_at(deadline, deltas.next()).await {
            Ok(None) => break,
            Ok(Some(Ok(Delta::Text(text)))) => pieces.extend(split.push(&text)),
            Ok(Some(Ok(Delta::Usage(usage)))) => told = Some(usage).filter(|usage| usage.prompt_tokens > 0).or(told),
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => {
                tracing::warn!(%error, "a call beside the answer broke off");
                broke_off = Some(error.code());
                break;
            }
            Err(_) => {
                broke_off = Some("timeout");
                break;
            }
        }
    }
    pieces.extend(split.finish());
    let text: String = pieces.into_iter().filter_map(|piece| if let Piece::Text(text) = piece { Some(text) } else { None }).collect();
    Heard { text: text.trim().to_owned(), told, broke_off }
}

fn measure(model: &Model, tenant: &TenantId, usage: Usage) {
    for (direction, tokens) in [("in", usage.prompt_tokens), ("out", usage.completion_tokens)] {
        let labels = [("tenant", tenant.to_string()), ("model", model.card().id.clone()), ("direction", direction.to_owned())];
        metrics::counter!(telemetry::MODEL_TOKENS, &labels).increment(tokens);
    }
}
