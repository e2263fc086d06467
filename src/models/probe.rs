//! Asks a provider whether it is there, takes our key and knows our models, for `doctor`: one short GET for its list of
//! models, and one token of each model that is not in it, because lists leave names out that are understood.

use std::collections::HashSet;
use std::time::Duration;

use futures::StreamExt;
use reqwest::StatusCode;
use serde_json::Value;
use tokio::time::timeout;

use super::kinds::Site;
use super::registry::Lines;
use super::{ChatModel, CompletionRequest, Message, ModelError, Role, http_client};
use crate::config::{ProviderConfig, ProviderKind};

/// Models asked at the same time.
const AT_ONCE: usize = 4;

/// The models among the configured ones that the provider says it does not have.
///
/// # Errors
/// Why the provider cannot be asked at all.
pub async fn probe(name: &str, provider: &ProviderConfig, limit: Duration) -> Result<Vec<String>, ModelError> {
    let wrong = |error: crate::error::Error| ModelError::Refused(error.to_string());
    let listed = listed(&Site::of(name, provider).map_err(wrong)?, limit).await?;
    let mut lines = Lines::open(name, provider).map_err(wrong)?;
    let connect_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let mut asked = Vec::new();
    for model in provider.models.iter().filter(|model| !listed.contains(&model.id)) {
        let chat = lines.chat(model, connect_ms).map_err(wrong)?;
        asked.push(async move { is_unknown(&*chat, limit).await.then(|| model.id.clone()) });
    }
    let unknown: Vec<Option<String>> = futures::stream::iter(asked).buffered(AT_ONCE).collect().await;
    Ok(unknown.into_iter().flatten().collect())
}

/// The names in its list; none where it has no list.
async fn listed(site: &Site, limit: Duration) -> Result<HashSet<String>, ModelError> {
    let wrong = |error: crate::error::Error| ModelError::Refused(error.to_string());
    let client = http_client::client(&site.base, limit).map_err(wrong)?;
    let mut request = client.get(site.models());
    if site.kind.kind == ProviderKind::Anthropic {
        request = request.header("anthropic-version", &site.version);
    }
    let request = request.build().map_err(http_client::unreachable)?;
    let heard = async {
        let reply = site.keys.send(&client, request).await?;
        match reply.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(ModelError::Unauthorized(reply.status().to_string())),
            status if status.is_server_error() => Err(ModelError::Unavailable(status.to_string())),
            // Some providers have no such list; that they answer is what matters.
            _ => Ok(names(&reply.json::<Value>().await.unwrap_or_default())),
        }
    };
    timeout(limit * 2, heard).await.unwrap_or(Err(ModelError::Timeout("doctor")))
}

fn names(list: &Value) -> HashSet<String> {
    let items = list["data"].as_array().or(list["models"].as_array());
    let name = |item: &Value| item["id"].as_str().or(item["name"].as_str()).map(|name| name.trim_start_matches("models/").to_owned());
    items.into_iter().flatten().filter_map(name).collect()
}

/// Whether it says that it has no such model. Whatever else is wrong with one token tells nothing of the name.
async fn is_unknown(chat: &dyn ChatModel, limit: Duration) -> bool {
    let question = Message { role: Role::User, content: "Hi".to_owned() };
    let request = CompletionRequest { messages: vec![question], max_tokens: Some(1), ..CompletionRequest::default() };
    let first = async {
        match chat.stream(request).await {
            Ok(mut deltas) => deltas.next().await.and_then(Result::err),
            Err(error) => Some(error),
        }
    };
    matches!(timeout(limit * 2, first).await, Ok(Some(ModelError::Unknown(_))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_of_every_dialect_are_read() {
        let both = HashSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(names(&json!({"object": "list", "data": [{"id": "a", "object": "model"}, {"id": "models/b"}]})), both);
        assert_eq!(names(&json!({"models": [{"name": "a"}, {"name": "models/b"}]})), both);
        assert_eq!(names(&json!({"error": {"message": "no"}})), HashSet::new());
    }
}
