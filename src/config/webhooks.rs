//! `[webhooks.<name>]`: who is told of what happens in a shop.

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

/// Names go into ids and addresses.
pub(super) fn validate(webhooks: &BTreeMap<String, WebhookConfig>) -> Result<()> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    match webhooks.keys().find(|name| name.is_empty() || !name.chars().all(legal)) {
        None => Ok(()),
        Some(name) => {
            let message = format!("`webhooks.{name}`: use lower-case letters, digits, `-` and `_` in the name.");
            Err(Error::invalid("bad_config", message))
        }
    }
}
