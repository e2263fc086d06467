//! `prompt preview`: what a model would be asked for a real question, with tokens and price.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::super::{DONE, print};
use crate::app::{App, ServerLock};
use crate::chat::preview::{Preview as Previewed, Trying};
use crate::config::{ChannelsConfig, Config};
use crate::error::{Error, Result};
use crate::ids::TenantId;

/// `prompt preview --question …`
#[derive(Debug, Args)]
pub struct Preview {
    /// The question, as a merchant would ask it
    #[arg(long)]
    question: String,
    /// The template; the one of the question's language otherwise
    name: Option<String>,
    /// A file instead of what is in force
    #[arg(long, value_name = "FILE", requires = "name", conflicts_with = "version")]
    file: Option<PathBuf>,
    /// A saved version instead of what is in force
    #[arg(long, value_name = "N", requires = "name")]
    version: Option<i64>,
    /// The market asked about
    #[arg(long)]
    market: Option<String>,
    /// The model that would answer
    #[arg(long)]
    model: Option<String>,
}

impl Preview {
    pub async fn run(self, config: Config, tenant: &str, json: bool) -> Result<u8> {
        let config = Config { channels: ChannelsConfig::default(), ..config };
        // Without a server on the data this process keeps the index.
        let lock = ServerLock::take(&config.data_dir).ok();
        let app = if lock.is_some() { App::build(config).await? } else { App::beside(config).await? };
        let previewed = self.preview(&app, tenant).await;
        app.db.close().await;
        let preview = previewed?;
        if json {
            print::json(&json!(preview));
        } else {
            show(&preview);
        }
        Ok(DONE)
    }

    async fn preview(self, app: &App, tenant: &str) -> Result<Previewed> {
        let tenant = app.tenants.get(&TenantId::parse(tenant)?).await?.id;
        app.knowledge.catch_up().await?;
        let template = match (&self.name, &self.file, self.version) {
            (Some(name), Some(path), _) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Error::invalid("file_unreadable", format!("{} cannot be read: {error}.", path.display())))?;
                Some(Arc::new(app.prompts.draft(&tenant, name, &text).await?))
            }
            (Some(name), None, Some(version)) => Some(app.prompts.version_of(&tenant, name, version).await?),
            (Some(name), None, None) => Some(Arc::clone(app.prompts.of(&tenant).await?.get(name)?)),
            (None, ..) => None,
        };
        let Self { question, market, model, .. } = self;
        app.engine.preview(&tenant, Trying { question, market, model, template, search: None }).await
    }
}

fn show(preview: &Previewed) {
    for message in &preview.messages {
        print::line(format!("--- {} ({}, {} tokens)\n{}", json!(message.role), message.part, message.tokens, message.content));
    }
    let tokens = preview.tokens;
    print::line(format!("--- {} {}, {}", preview.template, preview.version, preview.model));
    for (part, tokens) in [
        ("instruction", tokens.instruction),
        ("reasoning", tokens.reasoning),
        ("output", tokens.output),
        ("demos", tokens.demos),
        ("context", tokens.context),
        ("input", tokens.input),
    ] {
        print::line(format!("{part:12} {tokens:>7} tokens"));
    }
    let kind = if preview.exact { "counted" } else { "estimated" };
    print::line(format!("{:12} {:>7} tokens of {} ({kind})", "prompt", tokens.total, tokens.budget));
    let price = &preview.price;
    if price.priced {
        print::line(format!("{:12} {:.6} {}, at most {:.6} with its answer", "price", price.prompt, price.currency, price.most));
    } else {
        print::line(format!("{:12} none is configured for {}", "price", preview.model));
    }
    if preview.unsourced {
        print::line("The base has nothing on it: a model would be asked under `unsourced.*` instead, for an answer without sources.");
    } else if !preview.asks_model {
        print::line(format!("No model would be asked: the decision is {}.", json!(preview.decision)));
    }
}
