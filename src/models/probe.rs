//! Asks a provider whether it is there, takes our key and knows our models, for `doctor`: a short GET for its list of
//! models, with the key and without it, because a list that everybody gets tells nothing of a key; and one token of each
//! model that is not in it, because lists leave names out that are understood.

use std::collections::HashSet;
use std::time::Duration;

use futures::StreamExt;
use reqwest::{Client, Request, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use super::kinds::Site;
use super::registry::Lines;
use super::{ChatModel, CompletionRequest, Message, ModelError, Role, http_client};
use crate::config::{ProviderConfig, ProviderKind};

/// Models asked at the same time.
const AT_ONCE: usize = 4;

/// What a provider has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The models among the configured ones that it says it does not have.
    pub unknown: Vec<String>,
    /// What is known of the key.
    pub key: KeySeen,
}

/// What a provider has shown of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySeen {
    /// There is none.
    None,
    /// It is taken: what it opens is shut without it, or a model has answered.
    Taken,
    /// Nothing that was answered needed it.
    Untried,
}

/// Asks it. With `spend` a model is asked for one token also where the list tells nothing of what calls are taken with.
///
/// # Errors
/// Why the provider cannot be asked at all, or that it refuses the key.
pub async fn probe(name: &str, provider: &ProviderConfig, limit: Duration, spend: bool) -> Result<Seen, ModelError> {
    let wrong = |error: crate::error::Error| ModelError::Refused(error.to_string());
    let keyless = provider.api_key.is_empty() && provider.key_file.as_os_str().is_empty();
    let (listed, mut key) = list(&Site::of(name, provider).map_err(wrong)?, keyless, limit).await?;
    let mut lines = Lines::open(name, provider).map_err(wrong)?;
    let connect_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let mut asked = Vec::new();
    for model in provider.models.iter().filter(|model| !listed.contains(&model.id)) {
        let chat = lines.chat(model, connect_ms).map_err(wrong)?;
        asked.push(async move { (&model.id, one_token(&*chat, limit).await) });
    }
    let answers: Vec<_> = futures::stream::iter(asked).buffered(AT_ONCE).collect().await;
    // Before anything is said of a refusal: it must not matter which model was asked first.
    if !keyless && answers.iter().any(|(_, answer)| answer.is_ok()) {
        key = KeySeen::Taken;
    }
    let mut unknown = Vec::new();
    for (id, answer) in answers {
        match answer {
            Err(ModelError::Unknown(_)) => unknown.push(id.clone()),
            // Where the key is known to be taken, it is this model that it does not open.
            Err(refused @ ModelError::Unauthorized(_)) if key != KeySeen::Taken => return Err(refused),
            // Whatever else is wrong with one token tells nothing of the name.
            _ => {}
        }
    }
    let first = provider.models.iter().find(|model| !unknown.contains(&model.id));
    if let Some(model) = first.filter(|_| spend && key != KeySeen::Taken) {
        match one_token(&*lines.chat(model, connect_ms).map_err(wrong)?, limit).await {
            Ok(()) if keyless => {}
            Ok(()) => key = KeySeen::Taken,
            Err(ModelError::Unknown(_)) => unknown.push(model.id.clone()),
            Err(refused @ ModelError::Unauthorized(_)) => return Err(refused),
            // The provider has answered before; that it is busy, or dislikes so short a question, tells nothing of the key.
            Err(_) => {}
        }
    }
    Ok(Seen { unknown, key })
}

/// The names in its list, none where it has no list; and what that tells of the key.
async fn list(site: &Site, keyless: bool, limit: Duration) -> Result<(HashSet<String>, KeySeen), ModelError> {
    let client = http_client::client(&site.base, limit).map_err(|error| ModelError::Refused(error.to_string()))?;
    let heard = async {
        let reply = site.keys.send(&client, request(site, &client)?).await?;
        match reply.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(ModelError::Unauthorized(reply.status().to_string())),
            status if status.is_server_error() => Err(ModelError::Unavailable(status.to_string())),
            // Some providers have no such list; that they answer is what matters.
            status => Ok((names(&reply.json::<Value>().await.unwrap_or_default()), status.is_success())),
        }
    };
    let (names, given) = timeout(limit * 2, heard).await.unwrap_or(Err(ModelError::Timeout("doctor")))?;
    let key = match given && !keyless && is_shut(site, &client, limit).await {
        true => KeySeen::Taken,
        false if keyless => KeySeen::None,
        false => KeySeen::Untried,
    };
    Ok((names, key))
}

/// Whether the list is refused to whoever shows no key.
async fn is_shut(site: &Site, client: &Client, limit: Duration) -> bool {
    let Ok(request) = request(site, client) else { return false };
    let reply = timeout(limit * 2, client.execute(request)).await;
    reply.is_ok_and(|reply| reply.is_ok_and(|reply| reply.status().is_client_error() && reply.status() != StatusCode::TOO_MANY_REQUESTS))
}

/// The request for the list, without a key.
fn request(site: &Site, client: &Client) -> Result<Request, ModelError> {
    let mut request = client.get(site.models());
    if site.kind.kind == ProviderKind::Anthropic {
        request = request.header("anthropic-version", &site.version);
    }
    request.build().map_err(http_client::unreachable)
}

fn names(list: &Value) -> HashSet<String> {
    let items = list["data"].as_array().or(list["models"].as_array());
    let name = |item: &Value| item["id"].as_str().or(item["name"].as_str()).map(|name| name.trim_start_matches("models/").to_owned());
    items.into_iter().flatten().filter_map(name).collect()
}

/// Asks a model for one token.
async fn one_token(chat: &dyn ChatModel, limit: Duration) -> Result<(), ModelError> {
    let question = Message { role: Role::User, content: "Hi".to_owned() };
    let request = CompletionRequest { messages: vec![question], max_tokens: Some(1), ..CompletionRequest::default() };
    let first = async { chat.stream(request).await?.next().await.transpose().map(drop) };
    timeout(limit * 2, first).await.unwrap_or(Err(ModelError::Timeout("doctor")))
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, Step, answer, reply};
    use super::*;
    use crate::config::{ModelConfig, Secret};
    use serde_json::json;

    const LIST: &str = r#"{"data": [{"id": "m"}]}"#;

    /// What a provider shows that answers its requests in this order, and how many it was sent.
    async fn shown(replies: Vec<Vec<Step>>, id: &str, key: &str, spend: bool) -> (Result<Seen, ModelError>, usize) {
        shown_of(replies, &[id], key, spend).await
    }

    /// The same of several models.
    async fn shown_of(replies: Vec<Vec<Step>>, ids: &[&str], key: &str, spend: bool) -> (Result<Seen, ModelError>, usize) {
        let fake = Fake::start(move |nth| replies.get(nth).cloned().unwrap_or_default()).await;
        let models = ids.iter().map(|id| ModelConfig::named(*id)).collect();
        let provider = ProviderConfig { models, api_key: Secret::new(key), ..fake.provider() };
        let seen = probe("fake", &provider, Duration::from_secs(20), spend).await;
        (seen, fake.seen().len())
    }

    #[tokio::test]
    async fn a_list_that_is_shut_without_the_key_shows_that_it_is_taken() {
        let (list, shut) = (|| reply(200, "", LIST), || reply(401, "", "{}"));
        let known = |key| Seen { unknown: Vec::new(), key };
        for spend in [false, true] {
            let (seen, asked) = shown(vec![list(), shut()], "m", "sk-1", spend).await;
            assert_eq!((seen.unwrap(), asked), (known(KeySeen::Taken), 2), "no token is spent");
        }
        let (seen, asked) = shown(vec![list(), list()], "m", "sk-1", false).await;
        assert_eq!((seen.unwrap(), asked), (known(KeySeen::Untried), 2), "everybody gets it");
        let (seen, _) = shown(vec![reply(404, "", "{}"), answer(&["x"])], "m", "sk-1", false).await;
        assert_eq!(seen.unwrap(), known(KeySeen::Taken), "there is no list, but a model that answers");
        let (seen, asked) = shown(vec![list()], "m", "", false).await;
        assert_eq!((seen.unwrap(), asked), (known(KeySeen::None), 1), "without a key there is nothing to compare");
        assert!(matches!(shown(vec![shut()], "m", "sk-1", false).await.0, Err(ModelError::Unauthorized(_))));
    }

    #[tokio::test]
    async fn a_model_that_answers_shows_the_key_whichever_is_asked_first() {
        let list = || reply(200, "", LIST);
        let refused = || reply(401, "", r#"{"error": {"message": "no"}}"#);
        for answers in [[answer(&["x"]), refused()], [refused(), answer(&["x"])]] {
            let [one, other] = answers;
            let (seen, asked) = shown_of(vec![list(), list(), one, other], &["a", "b"], "sk-1", false).await;
            assert_eq!((seen.unwrap(), asked), (Seen { unknown: Vec::new(), key: KeySeen::Taken }, 4));
        }
    }

    #[tokio::test]
    async fn a_listed_model_that_is_asked_is_unknown_or_refused_or_tells_nothing() {
        let seen = async |status| {
            let list = || reply(200, "", LIST);
            let said = reply(status, "", r#"{"error": {"message": "no"}}"#);
            shown(vec![list(), list(), said], "m", "sk-1", true).await.0
        };
        assert_eq!(seen(404).await.unwrap(), Seen { unknown: vec!["m".into()], key: KeySeen::Untried });
        assert_eq!(seen(429).await.unwrap(), Seen { unknown: Vec::new(), key: KeySeen::Untried });
        assert!(matches!(seen(403).await, Err(ModelError::Unauthorized(_))));
    }

    #[tokio::test]
    async fn one_token_tells_where_the_list_does_not() {
        let (list, refused) = (|| reply(200, "", LIST), || reply(401, "", r#"{"error": {"message": "no"}}"#));
        let (seen, asked) = shown(vec![list(), list(), answer(&["x"])], "m", "sk-1", true).await;
        assert_eq!((seen.unwrap().key, asked), (KeySeen::Taken, 3));
        let (seen, _) = shown(vec![list(), list(), refused()], "m", "sk-1", true).await;
        assert!(matches!(seen, Err(ModelError::Unauthorized(_))), "{seen:?}");
        // A model that is not listed is asked anyhow: its refusal is the key's, unless the list has shown that it is taken.
        let (seen, _) = shown(vec![list(), list(), refused()], "other", "sk-1", false).await;
        assert!(matches!(seen, Err(ModelError::Unauthorized(_))), "{seen:?}");
        let (seen, _) = shown(vec![list(), reply(401, "", "{}"), refused()], "other", "sk-1", false).await;
        assert_eq!(seen.unwrap(), Seen { unknown: Vec::new(), key: KeySeen::Taken });
        let (seen, asked) = shown(vec![list(), list(), reply(404, "", r#"{"error": {"message": "no"}}"#)], "other", "sk-1", true).await;
        assert_eq!((seen.unwrap(), asked), (Seen { unknown: vec!["other".into()], key: KeySeen::Untried }, 3));
    }

    #[test]
    fn lists_of_every_dialect_are_read() {
        let both = HashSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(names(&json!({"object": "list", "data": [{"id": "a", "object": "model"}, {"id": "models/b"}]})), both);
        assert_eq!(names(&json!({"models": [{"name": "a"}, {"name": "models/b"}]})), both);
        assert_eq!(names(&json!({"error": {"message": "no"}})), HashSet::new());
    }
}
