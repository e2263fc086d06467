//! Calls of DingTalk's API: the access token cached and renewed once, errors told apart by what helps,
//! and nothing secret in any of them.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::channels::client::{self, lost, unanswered};
use crate::channels::log::Log;
use crate::channels::pace::Pace;
use crate::config::{DingTalkConfig, Secret};
use crate::error::{Error, Kind, Result};
use crate::ids::{Clock, Timestamp};

/// A token is renewed this long before it expires, as the vendor's own programs do.
const EARLY_MS: i64 = 5 * 60 * 1000;
/// The platform's words are repeated up to here.
const LONGEST_WORDS: usize = 80;

/// The API with one app's credentials.
pub struct Api {
    http: Client,
    base: Url,
    client_id: String,
    client_secret: Secret,
    clock: Clock,
    pace: Pace,
    log: Arc<Log>,
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
    pub fn new(bot: &str, config: &DingTalkConfig, clock: Clock, pace: Pace, log: Arc<Log>) -> Result<Self> {
        let base = client::base(&config.api_base, &format!("channels.dingtalk.{bot}.api_base"))?;
        Ok(Self {
            http: client::client(client::is_local(&base))?,
            base,
            client_id: config.client_id.clone(),
            client_secret: config.client_secret.clone(),
            clock,
            pace,
            log,
            token: Mutex::default(),
        })
    }

    /// A call with the app's token; a token that was revoked is renewed once. Whoever calls has taken a turn for it;
    /// what has to be called beside it takes its own.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let token = self.token().await?;
        match self.with_token(&method, path, body, &token).await {
            Err(error) if error.kind() == Kind::Unauthenticated => {
                self.log.warn("a token is no good any more and is asked for again", &error);
                self.forget(&token).await;
                let token = self.token().await?;
                self.pace.ahead(self.with_token(&method, path, body, &token)).await
            }
            outcome => outcome,
        }
    }

    async fn with_token(&self, method: &Method, path: &str, body: &Value, token: &Token) -> Result<Value> {
        let request = self.http.request(method.clone(), self.url(path)).header("x-acs-dingtalk-access-token", token.text.reveal());
        exchange(request.json(body)).await
    }

    /// A call whose address or body is credential enough. A session's webhook is none of the API's calls, so it takes
    /// no turn.
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
        let answer = self.pace.ahead(self.post(self.url("/v1.0/gateway/connections/open"), &body)).await?;
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
        // It says 400 where it means that the credentials are wrong.
        let wrong = |error: Error| match error.kind() {
            Kind::Invalid => {
                Error::unauthenticated("platform_unauthorized", format!("The bot's credentials were refused: {}", error.message()))
            }
            _ => unanswered(error),
        };
        let answer = self.pace.ahead(self.post(self.url("/v1.0/oauth2/accessToken"), &body)).await.map_err(wrong)?;
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
    let body = client::body(answer).await?;
    judge(status, &body)
}

/// Only what the platform is known to say for "yes" is one; everything else is an error, in its own words. It says
/// "no" also with a success status: by a code, by who was left out, or by a page when it has banned our address.
fn judge(status: StatusCode, body: &[u8]) -> Result<Value> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = ["code", "errcode"].iter().map(|field| text(&answer[*field])).find(|code| !code.is_empty()).unwrap_or_default();
    let said = format!("the platform answered {} {}", status.as_u16(), words(&answer, body, &code)).trim().to_owned();
    let busy = || Error::rate_limited("platform_busy", format!("Too many calls: {said}."), Duration::from_secs(1));
    let refused = || Error::invalid("platform_refused", format!("A call was refused: {said}."));
    let too_often = status == StatusCode::TOO_MANY_REQUESTS
        || ["410100", "90018", "90002", "-1"].contains(&code.as_str())
        || ["QpsLimit", "too.fast", "tooFast", "too.many"].iter().any(|mark| code.contains(mark));
    if too_often {
        return Err(busy());
    }
    if status == StatusCode::GATEWAY_TIMEOUT || code == "unknown.send.result" {
        return Err(Error::timeout("platform_timeout", format!("The platform does not know whether the call worked: {said}.")));
    }
    if code == "system.error" {
        return Err(Error::unavailable("platform_error", format!("The platform has a problem: {said}.")));
    }
    match status.as_u16() {
        200..=299 => {}
        401 => return Err(Error::unauthenticated("platform_unauthorized", format!("The bot's credentials were refused: {said}."))),
        403 => return Err(Error::forbidden("platform_forbidden", format!("The bot lacks a permission or its quota is used up: {said}."))),
        500.. => return Err(Error::unavailable("platform_error", format!("The platform has a problem: {said}."))),
        _ => return Err(refused()),
    }
    let is_page = answer.is_null() && body.trim_ascii_start().starts_with(b"<");
    if is_page || !answer["punish"].is_null() {
        return Err(Error::unavailable("platform_error", format!("The platform does not let this server's address in: {said}.")));
    }
    let some = |list: &Value| list.as_array().is_some_and(|all| !all.is_empty());
    if some(&answer["flowControlledStaffIdList"]) {
        return Err(busy());
    }
    let all_delivered =
        answer["result"]["deliverResults"].as_array().is_none_or(|all| all.iter().all(|one| one["success"] != json!(false)));
    match is_yes(&answer, &code) && all_delivered && !some(&answer["invalidStaffIdList"]) {
        true => Ok(answer),
        false => Err(refused()),
    }
}

/// Whether it says "yes": the older API by `errcode`, the newer one by `success` or by what was asked for.
fn is_yes(answer: &Value, code: &str) -> bool {
    if !answer["errcode"].is_null() {
        return code == "0";
    }
    let given = ["processQueryKey", "accessToken", "endpoint"].iter().any(|field| answer[*field].is_string());
    code.is_empty() && (answer["success"] == json!(true) || (given && answer["success"].is_null()))
}

/// What the platform gave as its reason.
fn words(answer: &Value, body: &[u8], code: &str) -> String {
    let reason = ["message", "errmsg", "errorMsg", "punish"].iter().map(|field| text(&answer[*field])).find(|words| !words.is_empty());
    let undelivered =
        || answer["result"]["deliverResults"].as_array()?.iter().map(|one| text(&one["errorMsg"])).find(|words| !words.is_empty());
    let reason = reason.or_else(undelivered).unwrap_or_default();
    match (code.is_empty() && reason.is_empty(), reason.is_empty() || reason == code) {
        (true, _) => text(&Value::String(String::from_utf8_lossy(body).trim().to_owned())),
        (false, true) => code.to_owned(),
        (false, false) => format!("{code} {reason}").trim().to_owned(),
    }
}

fn text(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    text.chars().filter(|c| !c.is_control()).take(LONGEST_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_is_a_no_however_it_is_said() {
        let judge = |status: u16, body: &str| judge(StatusCode::from_u16(status).unwrap(), body.as_bytes()).map(drop);
        let code = |status: u16, body: Value| judge(status, &body.to_string()).map_err(|error| error.code());
        for good in [
            json!({"errcode": 0}),
            json!({"errcode": "0", "errmsg": "ok"}),
            json!({"success": true, "result": true}),
            json!({"success": true, "result": {"deliverResults": [{"success": true}]}}),
            json!({"processQueryKey": "k", "invalidStaffIdList": [], "flowControlledStaffIdList": []}),
            json!({"accessToken": "t", "expireIn": 7200}),
            json!({"endpoint": "wss://x", "ticket": "t"}),
        ] {
            assert_eq!(code(200, good.clone()), Ok(()), "{good}");
        }
        for (status, body, expected) in [
            (200, json!({"errcode": 310000}), "platform_refused"),
            (200, json!({"errcode": "400101"}), "platform_refused"),
            (200, json!({"success": false}), "platform_refused"),
            (200, json!({"success": true, "result": {"deliverResults": [{"success": false}]}}), "platform_refused"),
            (200, json!({"errcode": 410100}), "platform_busy"),
            (200, json!({"errcode": 90018}), "platform_busy"),
            (200, json!({"errcode": 90002}), "platform_busy"),
            (200, json!({"errcode": -1}), "platform_busy"),
            (400, json!({"code": "too.many.group"}), "platform_busy"),
            (400, json!({"code": "too.many.people"}), "platform_busy"),
            (400, json!({"code": "system.error"}), "platform_error"),
            (200, json!({}), "platform_refused"),
            (200, json!({"success": null}), "platform_refused"),
            (200, json!([]), "platform_refused"),
            (200, json!({"code": "robot.notFound", "message": "no such robot"}), "platform_refused"),
            (200, json!({"code": "x", "processQueryKey": "k"}), "platform_refused"),
            (200, json!({"status": 1111, "punish": "deny"}), "platform_error"),
            (200, json!({"processQueryKey": "k", "invalidStaffIdList": ["u1"]}), "platform_refused"),
            (200, json!({"processQueryKey": "k", "flowControlledStaffIdList": ["u1"]}), "platform_busy"),
            (400, json!({"code": "unknown.send.result"}), "platform_timeout"),
            (504, json!({}), "platform_timeout"),
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
        for (body, expected, words) in [
            ("", "platform_refused", ""),
            ("ok", "platform_refused", "ok"),
            ("<html>\n<h1>denied</h1>", "platform_error", "denied"),
            (r#"{"errcode":310000,"errmsg":"keywords not in content"}"#, "platform_refused", "310000 keywords not in content"),
            (
                r#"{"success":true,"result":{"deliverResults":[{"success":false,"errorMsg":"no such group"}]}}"#,
                "platform_refused",
                "no such group",
            ),
        ] {
            let error = judge(200, body).unwrap_err();
            assert!(error.code() == expected && error.message().contains(words), "{body}: {error}");
        }
    }
}
