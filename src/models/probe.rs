//! Asks a provider whether it is there and takes our key, for `doctor`: one short GET, no tokens.

use std::time::Duration;

use reqwest::StatusCode;

use super::kinds::Site;
use super::{ModelError, http_client};
use crate::config::{ProviderConfig, ProviderKind};

/// Asks for the list of models, which costs nothing.
pub async fn probe(name: &str, provider: &ProviderConfig, limit: Duration) -> Result<(), ModelError> {
    let wrong = |error: crate::error::Error| ModelError::Refused(error.to_string());
    let site = Site::of(name, provider).map_err(wrong)?;
    let client = http_client::client(&site.base, limit).map_err(wrong)?;
    let mut request = client.get(site.models()).timeout(limit * 2);
    if site.kind.kind == ProviderKind::Anthropic {
        request = request.header("anthropic-version", &site.version);
    }
    if let Some((name, value)) = site.credential {
        request = request.header(name, value);
    }
    let unavailable = http_client::unreachable;
    let reply =
        request.send().await.map_err(|error| if error.is_timeout() { ModelError::Timeout("doctor") } else { unavailable(error) })?;
    match reply.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(ModelError::Unauthorized(reply.status().to_string())),
        status if status.is_server_error() => Err(ModelError::Unavailable(status.to_string())),
        // Some providers have no such list; that they answer is what matters.
        _ => Ok(()),
    }
}
