//! `[webhooks.<name>]` and `[notices.<name>]`: who is told of what happens in a shop.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Secret;
use crate::error::{Error, Result};

/// `[webhooks.<name>]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct WebhookConfig {
    #[serde(default = "super::demo")]
    pub tenant: String,
    /// It may hold a token, so it is told nobody.
    pub url: Secret,
    pub secret: Secret,
    #[serde(default)]
    pub events: Vec<String>,
    #[serde(default)]
    pub private_hosts: Vec<String>,
}

/// `[notices.<name>]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct NoticeConfig {
    #[serde(default = "super::demo")]
    pub tenant: String,
    /// The address has the robot's token in it.
    pub robot: Secret,
    #[serde(default)]
    pub secret: Option<Secret>,
    #[serde(default)]
    pub about: Vec<String>,
    #[serde(default = "morning")]
    pub at: String,
    #[serde(default = "chinese")]
    pub language: String,
}

fn morning() -> String {
    "09:00".to_owned()
}

fn chinese() -> String {
    "zh".to_owned()
}

/// Names go into ids and addresses.
pub(super) fn validate(webhooks: &BTreeMap<String, WebhookConfig>, notices: &BTreeMap<String, NoticeConfig>) -> Result<()> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let tables = webhooks.keys().map(|name| ("webhooks", name)).chain(notices.keys().map(|name| ("notices", name)));
    for (table, name) in tables {
        if name.is_empty() || !name.chars().all(legal) {
            let message = format!("`{table}.{name}`: use lower-case letters, digits, `-` and `_` in the name.");
            return Err(Error::invalid("bad_config", message));
        }
    }
    Ok(())
}
