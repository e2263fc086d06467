//! A turn as operators see it: one line in the log, and the numbers of `/metrics`.

use super::Turning;
use crate::knowledge::SearchOutcome;
use crate::ledger;
use crate::telemetry;

impl Turning {
    /// One line a turn: who reads logs sees what happened, never what was said.
    fn log_line(&self) {
        let usage = &self.outcome.usage;
        tracing::info!(
            tenant = self.tenant.as_str(),
            conversation = self.turn.conversation_id.as_str(),
            response = self.turn.id.as_str(),
            channel = self.request.channel,
            model = self.model.card().id,
            decision = self.outcome.decision.as_deref().unwrap_or_default(),
            status = self.outcome.status,
            finish_reason = self.outcome.finish_reason,
            error = self.outcome.error.as_ref().and_then(|error| error["code"].as_str()).unwrap_or_default(),
            refused = self.checked.refused,
            cached = usage["cached"].as_bool().unwrap_or_default(),
            prompt_tokens = usage["prompt_tokens"].as_u64().unwrap_or_default(),
            completion_tokens = usage["completion_tokens"].as_u64().unwrap_or_default(),
            cost = usage["cost"].as_f64().unwrap_or_default(),
            queue_ms = self.timings.queue,
            retrieval_ms = self.timings.retrieval,
            first_token_ms = self.timings.first_token,
            total_ms = self.timings.total,
            "turn"
        );
    }

    /// Time per leg of the search.
    pub(super) fn measure_legs(&self, found: &SearchOutcome) {
        for (leg, time) in [("lexical", found.timings.lexical), ("semantic", found.timings.semantic)] {
            metrics::histogram!(telemetry::LEG_SECONDS, "tenant" => self.tenant.to_string(), "leg" => leg).record(time / 1000.0);
        }
    }

    pub(super) fn measure(&self) {
        self.log_line();
        if let Some(spent) = &self.outcome.spent {
            ledger::measure(&self.tenant, spent);
        }
        let (tenant, model) = (self.tenant.to_string(), self.model.card().id.clone());
        let decision = self.outcome.decision.clone().unwrap_or_default();
        let status = self.outcome.status.clone();
        metrics::counter!(telemetry::TURNS, "tenant" => tenant.clone(), "decision" => decision, "status" => status).increment(1);
        // A turn without a word has no first one.
        if self.timings.first_token > 0.0 {
            metrics::histogram!(telemetry::FIRST_TOKEN, "tenant" => tenant.clone()).record(self.timings.first_token / 1000.0);
        }
        metrics::histogram!(telemetry::TURN_SECONDS, "tenant" => tenant.clone()).record(self.timings.total / 1000.0);
        metrics::histogram!(telemetry::RETRIEVAL_SECONDS, "tenant" => tenant.clone()).record(self.timings.retrieval / 1000.0);
        let failed = self.outcome.error.as_ref().and_then(|error| error["code"].as_str()).filter(|code| code.starts_with("model_"));
        if let Some(code) = failed {
            metrics::counter!(telemetry::MODEL_ERRORS, "model" => model, "code" => code.to_owned()).increment(1);
        }
    }
}
