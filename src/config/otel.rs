//! `[otel]`: where traces go.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Secret;

/// `[otel]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct OtelConfig {
    pub endpoint: String,
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    pub service_name: String,
    pub sample: f64,
    pub content: bool,
}
