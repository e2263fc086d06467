//! Calls of DingTalk's API: the access token cached and renewed once, errors told apart by what helps,
//! and nothing secret in any of them.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::channels::client::{self, lost};
use crate::config::{DingTalkConfig, Secret};
use crate::error::{Error, Kind, Result};
use crate::ids::{Clock, Timestamp};

/// A token is renewed this long before it expires, as the vendor's own programs do.
const EARLY_MS: i64 = 5 * 60 * 1000;
/// Error answers are read up to here.
const LONGEST_CODE: usize = 80;

/// The API with one app's credentials.
pub struct Api {
    http: Client,
    base: Url,
    client_id: String,
    client_secret: Secret,
    clock: Clock,
    token: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    text: Secret,
    good_until: Timestamp,
}

impl Api {
    /// As configured; nothing is sent.
    ///
    /// # Errors
    /// `bad_config` when the address cannot be used.
    pub fn new(bot: &str, config: &DingTalkConfig, clock: Clock) -> Result<Self> {
        let base = client::base(&config.api_base, &format!("channels.dingtalk.{bot}.api_base"))?;
        Ok(Self {
            http: client::client(client::is_local(&base))?,
            base,
            client_id: config.client_id.clone(),
            client_secret: config.client_secret.clone(),
            clock,
            token: Mutex::default(),
        })
    }

    /// A call with the app's token; a token that was revoked is renewed once.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let token = self.token().await?;
        match self.with_token(&method, path, body, &token).await {
            Err(error) if error.kind() == Kind::Unauthenticated => {
                self.forget(&token).await;
                let token = self.token().await?;
                self.with_token(&method, path, body, &token).await
            }
            outcome => outcome,
        }
    }

    async fn with_token(&self, method: &Method, path: &str, body: &Value, token: &Token) -> Result<Value> {
        let request = self.http.request(method.clone(), self.url(path)).header("x-acs-dingtalk-access-token", token.text.reveal());
        exchange(request.json(body)).await
    }

    /// A call whose address or body is credential enough.
    pub async fn post(&self, url: Url, body: &Value) -> Result<Value> {
        exchange(self.http.post(url).header("accept", "application/json").json(body)).await
    }

    /// Asks for an address and a ticket for a stream.
    ///
    /// # Errors
    /// What the platform says; `bad_gateway_answer` when it says nothing useful.
    pub async fn open_stream(&self, topics: &[(&str, &str)]) -> Result<Url> {
        let subscriptions: Vec<Value> = topics.iter().map(|(kind, topic)| json!({"type": kind, "topic": topic})).collect();
        let body = json!({
            "clientId": self.client_id, "clientSecret": self.client_secret.reveal(), "subscriptions": subscriptions,
            "ua": concat!("merchant-copilot/", env!("CARGO_PKG_VERSION")),
        });
        let answer = self.post(self.url("/v1.0/gateway/connections/open"), &body).await?;
        let useless = || Error::unavailable("bad_gateway_answer", "The platform's gateway names no address that can be used.");
        let mut url = answer["endpoint"].as_str().and_then(|endpoint| client::address(endpoint, "wss", "ws")).ok_or_else(useless)?;
        let ticket = answer["ticket"].as_str().ok_or_else(useless)?;
        url.query_pairs_mut().append_pair("ticket", ticket);
        Ok(url)
    }

    /// The token, asked for by one caller at a time.
    async fn token(&self) -> Result<Token> {
        let mut held = self.token.lock().await;
        if let Some(token) = held.as_ref().filter(|token| self.clock.now() < token.good_until) {
            return Ok(token.clone());
        }
        let body = json!({"appKey": self.client_id, "appSecret": self.client_secret.reveal()});
        let answer = self.post(self.url("/v1.0/oauth2/accessToken"), &body).await?;
        let text =
            answer["accessToken"].as_str().ok_or_else(|| Error::unavailable("no_access_token", "The platform gave no access token."))?;
        let lives_ms = answer["expireIn"].as_i64().unwrap_or(7200) * 1000;
        let good_until = Timestamp(self.clock.now().0 + (lives_ms - EARLY_MS).max(lives_ms / 2));
        let token = Token { text: Secret::new(text), good_until };
        *held = Some(token.clone());
        Ok(token)
    }

    async fn forget(&self, token: &Token) {
        let mut held = self.token.lock().await;
        if held.as_ref().is_some_and(|held| held.text.reveal() == token.text.reveal()) {
            *held = None;
        }
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}{path}"));
        url
    }
}

/// Sends and judges.
pub async fn exchange(request: RequestBuilder) -> Result<Value> {
    let answer = request.send().await.map_err(lost)?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(lost)?;
    judge(status, serde_json::from_slice(&body).unwrap_or_default())
}

/// An answer that says "no" in whatever way is an error.
fn judge(status: StatusCode, body: Value) -> Result<Value> {
    let code = ["code", "errcode"].iter().map(|field| text(&body[*field])).find(|code| !code.is_empty()).unwrap_or_default();
    let said = format!("the platform answered {} {code}", status.as_u16());
    let too_often = status == StatusCode::TOO_MANY_REQUESTS
        || code == "410100"
        || ["QpsLimit", "too.fast", "tooFast"].iter().any(|mark| code.contains(mark));
    if too_often {
        return Err(Error::rate_limited("platform_busy", format!("Too many calls: {said}."), Duration::from_secs(1)));
    }
    match status.as_u16() {
        200..=299 => {}
        401 => return Err(Error::unauthenticated("platform_unauthorized", format!("The bot's credentials were refused: {said}."))),
        403 => return Err(Error::forbidden("platform_forbidden", format!("The bot lacks a permission or its quota is used up: {said}."))),
        500.. => return Err(Error::unavailable("platform_error", format!("The platform has a problem: {said}."))),
        _ => return Err(Error::invalid("platform_refused", format!("A call was refused: {said}."))),
    }
    let delivered = |results: &Value| results.as_array().is_none_or(|all| all.iter().all(|one| one["success"] != json!(false)));
    let bad_code = !body["errcode"].is_null() && text(&body["errcode"]) != "0";
    if bad_code || body["success"] == json!(false) || !delivered(&body["result"]["deliverResults"]) {
        return Err(Error::invalid("platform_refused", format!("A call was refused: {said}.")));
    }
    Ok(body)
}

fn text(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    text.chars().filter(|c| !c.is_control()).take(LONGEST_CODE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_is_a_no_however_it_is_said() {
        let code = |status: u16, body: Value| judge(StatusCode::from_u16(status).unwrap(), body).map(drop).map_err(|error| error.code());
        for good in [json!({"errcode": 0}), json!({"errcode": "0", "errmsg": "ok"}), json!({"success": true, "result": true}), json!({})] {
            assert_eq!(code(200, good), Ok(()));
        }
        for (status, body, expected) in [
            (200, json!({"errcode": 310000}), "platform_refused"),
            (200, json!({"errcode": "400101"}), "platform_refused"),
            (200, json!({"success": false}), "platform_refused"),
            (200, json!({"success": true, "result": {"deliverResults": [{"success": false}]}}), "platform_refused"),
            (200, json!({"errcode": 410100}), "platform_busy"),
            (403, json!({"code": "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"}), "platform_busy"),
            (403, json!({"code": "Forbidden.AccessDenied.ApiCountLimitForOrg"}), "platform_forbidden"),
            (429, json!({}), "platform_busy"),
            (401, json!({}), "platform_unauthorized"),
            (302, json!({}), "platform_refused"),
            (400, json!({"code": "param.stream.outTrackId"}), "platform_refused"),
            (502, Value::Null, "platform_error"),
        ] {
            assert_eq!(code(status, body.clone()), Err(expected), "{status} {body}");
        }
    }
}
