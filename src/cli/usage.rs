//! `usage`: what models cost a tenant in a month, by model.

use clap::Args;
use serde_json::json;

use super::{DONE, print};
use crate::app::Ground;
use crate::error::Result;
use crate::ledger::{Ledger, Line, Report};

/// `usage …`
#[derive(Debug, Args)]
pub struct Usage {
    /// As 2026-11; the current one by default
    #[arg(long, value_name = "MONTH")]
    month: Option<String>,
}

impl Usage {
    /// Runs it.
    pub async fn run(self, ground: Ground, tenant: &str, json: bool) -> Result<u8> {
        let tenant = ground.tenant(tenant).await?;
        let config = &ground.config;
        let ledger = Ledger::new(ground.db.clone(), ground.clock.clone(), config.zone(), config.spend.clone(), &[])?;
        let report = ledger.report(&tenant, self.month.as_deref()).await?;
        ground.db.close().await;
        if json {
            print::json(&json!(report));
        } else {
            show(&report);
        }
        Ok(DONE)
    }
}

fn show(report: &Report) {
    print::line(format!("{:34} {:>7} {:>12} {:>12} {:>14}", report.month, "calls", "tokens in", "tokens out", "cost"));
    report.models.iter().for_each(line);
    if report.models.is_empty() {
        print::line("no model was asked");
    }
    for (currency, cost) in &report.cost {
        print::line(format!("{:68} {cost:>14.6} {currency}", "total"));
    }
    if let Some(limit) = &report.limit {
        let (spent, month, currency) = (limit.spent, limit.month, &limit.currency);
        print::line(format!("{spent:.4} of {month:.2} {currency} that may be spent; it starts again on {}", limit.resets_on));
    }
}

fn line(line: &Line) {
    let Line { model, calls, prompt_tokens, completion_tokens, cost, currency, .. } = line;
    print::line(format!("{model:34} {calls:>7} {prompt_tokens:>12} {completion_tokens:>12} {cost:>14.6} {currency}"));
}
