//! A short call of a model beside the answer: for the notes on a conversation, or for a better query. Paid
//! and measured like an answer, within a time limit; whoever asks goes on without it when nothing comes.

use std::sync::Arc;
use std::time::Duration;

use super::engine::ChatEngine;
use crate::error::Result;
use crate::ids::TenantId;
use crate::ledger::{Beside, Heard};
use crate::models::{CompletionRequest, Model};

impl ChatEngine {
    /// Asks, and waits so long at most: the text without its reasoning, or in a word why there is none; and what
    /// came with it.
    pub(super) async fn aside(
        &self,
        model: &Arc<Model>,
        tenant: &TenantId,
        purpose: &'static str,
        request: CompletionRequest,
        within: Duration,
        beside: &Beside,
    ) -> Result<(std::result::Result<String, &'static str>, Heard)> {
        let heard = self.0.parts.ledger.ask(tenant, model, purpose, request, within, beside).await?;
        let text = match heard.broke_off {
            Some(why) => Err(why),
            None => Some(heard.text.clone()).filter(|text| !text.is_empty()).ok_or("empty"),
        };
        Ok((text, heard))
    }
}
