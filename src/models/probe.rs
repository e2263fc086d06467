//! Asks a provider whether it is there and takes our key, for `doctor`: one short GET, no tokens.

use std::time::Duration;

use reqwest::StatusCode;

use super::ModelError;
use crate::config::ProviderConfig;

/// Asks for the list of models, which costs nothing.
pub async fn probe(provider: &ProviderConfig, limit: Duration) -> Result<(), ModelError> {
    let unavailable = |error: reqwest::Error| ModelError::Unavailable(error.without_url().to_string());
    let client = reqwest::Client::builder().connect_timeout(limit).timeout(limit * 2).build().map_err(unavailable)?;
    let mut request = client.get(format!("{}/models", provider.base_url.trim_end_matches('/')));
    if !provider.api_key.is_empty() {
        request = request.bearer_auth(provider.api_key.reveal());
    }
    let reply =
        request.send().await.map_err(|error| if error.is_timeout() { ModelError::Timeout("doctor") } else { unavailable(error) })?;
    match reply.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(ModelError::Unauthorized(reply.status().to_string())),
        status if status.is_server_error() => Err(ModelError::Unavailable(status.to_string())),
        // Some providers have no such list; that they answer is what matters.
        _ => Ok(()),
    }
}
