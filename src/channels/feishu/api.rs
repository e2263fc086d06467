//! Calls of Feishu's API: the token cached and renewed once, errors told apart by what helps.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, Url};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::channels::client::{self, lost, unanswered};
use crate::channels::log::Log;
use crate::channels::pace::Pace;
use crate::config::{FeishuConfig, Secret};
use crate::error::{Error, Kind, Result};
use crate::ids::{Clock, Timestamp};

/// A token is renewed this long before it expires.
const EARLY_MS: i64 = 5 * 60 * 1000;
/// The token is no good (any more).
const BAD_TOKEN: [i64; 3] = [99_991_661, 99_991_663, 99_991_668];
/// Too many calls: of the app, of a chat.
const TOO_FAST: [i64; 3] = [99_991_400, 230_020, 11_232];
/// A card's text can be streamed no more: the platform ends that by itself ten minutes after it began.
const STREAM_OVER: [i64; 2] = [300_309, 200_850];

/// The API with one app's credentials.
pub struct Api {
    http: Client,
    base: Url,
    app_id: String,
    app_secret: Secret,
    clock: Clock,
    pace: Pace,
    log: Arc<Log>,
    token: Mutex<Option<(Secret, Timestamp)>>,
}

impl Api {
    /// As configured; nothing is sent.
    ///
    /// # Errors
    /// `bad_config` when the address cannot be used.
    pub fn new(bot: &str, config: &FeishuConfig, clock: Clock, pace: Pace, log: Arc<Log>) -> Result<Self> {
        let base = client::base(&config.api_base, &format!("channels.feishu.{bot}.api_base"))?;
        let http = client::client(client::is_local(&base))?;
        let (app_id, app_secret) = (config.app_id.clone(), config.app_secret.clone());
        Ok(Self { http, base, app_id, app_secret, clock, pace, log, token: Mutex::default() })
    }

    /// A call with the app's token; one that is no good any more is renewed once. Whoever calls has taken a turn for
    /// it; what has to be called beside it takes its own.
    pub async fn call(&self, method: Method, path: &[&str], query: &[(&str, &str)], body: &Value) -> Result<Value> {
        let url = self.url(path, query);
        let token = self.token().await?;
        match self.exchange(method.clone(), url.clone(), body, Some(&token)).await {
            Err(error) if error.kind() == Kind::Unauthenticated => {
                self.log.warn("a token is no good any more and is asked for again", &error);
                self.forget(&token).await;
                let token = self.token().await?;
                self.pace.ahead(self.exchange(method, url, body, Some(&token))).await
            }
            outcome => outcome,
        }
    }

    /// The token, asked for by one caller at a time.
    async fn token(&self) -> Result<Secret> {
        let mut held = self.token.lock().await;
        if let Some((token, _)) = held.as_ref().filter(|(_, good_until)| self.clock.now() < *good_until) {
            return Ok(token.clone());
        }
        let body = json!({"app_id": self.app_id, "app_secret": self.app_secret.reveal()});
        let url = self.url(&["open-apis", "auth", "v3", "tenant_access_token", "internal"], &[]);
        let answer = self.pace.ahead(self.exchange(Method::POST, url, &body, None)).await.map_err(unanswered)?;
        let text = answer["tenant_access_token"].as_str();
        let token = Secret::new(text.ok_or_else(|| Error::unavailable("no_access_token", "The platform gave no access token."))?);
        let lives_ms = answer["expire"].as_i64().unwrap_or(7200) * 1000;
        *held = Some((token.clone(), Timestamp(self.clock.now().0 + (lives_ms - EARLY_MS).max(lives_ms / 2))));
        Ok(token)
    }

    async fn forget(&self, token: &Secret) {
        let mut held = self.token.lock().await;
        if held.as_ref().is_some_and(|(held, _)| held.reveal() == token.reveal()) {
            *held = None;
        }
    }

    /// Ids from outside are encoded: they stay one part of the path.
    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn exchange(&self, method: Method, url: Url, body: &Value, token: Option<&Secret>) -> Result<Value> {
        let request = self.http.request(method, url).json(body);
        let request = match token {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        };
        let answer = request.send().await.map_err(lost)?;
        let status = answer.status().as_u16();
        let body = client::body(answer).await?;
        judge(status, serde_json::from_slice(&body).unwrap_or_default())
    }
}

/// Success is a code of 0; everything else is an error, whatever the status.
fn judge(status: u16, body: Value) -> Result<Value> {
    let code = body["code"].as_i64();
    let said = format!("the platform answered {status} {}", code.map(|code| code.to_string()).unwrap_or_default());
    match (status, code) {
        (429, _) => Err(too_fast(&said)),
        (_, Some(code)) if TOO_FAST.contains(&code) => Err(too_fast(&said)),
        (401, _) => Err(unauthorized(&said)),
        (_, Some(code)) if BAD_TOKEN.contains(&code) => Err(unauthorized(&said)),
        (_, Some(code)) if STREAM_OVER.contains(&code) => {
            Err(Error::invalid("card_stream_over", format!("A card's text is not streamed any more: {said}.")))
        }
        (200..=299, Some(0)) => Ok(body),
        (500.., _) => Err(Error::unavailable("platform_error", format!("The platform has a problem: {said}."))),
        (403, _) => Err(Error::forbidden("platform_forbidden", format!("The bot lacks a permission: {said}."))),
        _ => Err(Error::invalid("platform_refused", format!("A call was refused: {said}."))),
    }
}

fn too_fast(said: &str) -> Error {
    Error::rate_limited("platform_busy", format!("Too many calls: {said}."), Duration::from_secs(1))
}

fn unauthorized(said: &str) -> Error {
    Error::unauthenticated("platform_unauthorized", format!("The bot's credentials were refused: {said}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_code_of_zero_is_a_yes() {
        for (status, body, expected) in [
            (200, json!({"code": 0, "data": {}}), Ok(())),
            (200, json!({}), Err("platform_refused")),
            (200, json!({"code": 230_002}), Err("platform_refused")),
            (200, json!({"code": 300_309}), Err("card_stream_over")),
            (400, json!({"code": 99_991_663}), Err("platform_unauthorized")),
            (400, json!({"code": 230_020}), Err("platform_busy")),
            (429, Value::Null, Err("platform_busy")),
            (401, Value::Null, Err("platform_unauthorized")),
            (403, json!({"code": 1}), Err("platform_forbidden")),
            (502, Value::Null, Err("platform_error")),
            (302, Value::Null, Err("platform_refused")),
        ] {
            assert_eq!(judge(status, body.clone()).map(drop).map_err(|error| error.code()), expected, "{status} {body}");
        }
    }
}
