//! The two calls that go out to WeCom: a late answer to the address its message brought along, and a note into
//! the group on duty by that group's own webhook.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Url};
use serde_json::{Value, json};

use crate::channels::client::{self, lost};
use crate::channels::host::is_loopback;
use crate::channels::log::Log;
use crate::config::WeComConfig;
use crate::error::{Error, Kind, Result};

/// How often a call that certainly did nothing is tried, and the first wait; it doubles.
const TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Too many calls: of an interface, of a group's robot.
const TOO_FAST: [i64; 3] = [45_009, 45_033, 846_607];
/// Busy, says the platform: try again.
const BUSY: i64 = -1;

/// The way out.
pub struct Api {
    http: Client,
    duty: Option<Url>,
    log: Arc<Log>,
}

impl Api {
    /// As configured; nothing is sent.
    ///
    /// # Errors
    /// `bad_config` when the address on duty cannot be used.
    pub fn new(bot: &str, config: &WeComConfig, log: Arc<Log>) -> Result<Self> {
        let key = format!("channels.wecom.{bot}.duty_webhook");
        let duty = config.duty_webhook.as_ref().map(|url| client::base(url.reveal(), &key)).transpose()?;
        let listed = |host: &String| is_loopback(host) || host.rsplit_once(':').is_some_and(|(host, _)| is_loopback(host));
        let inside = duty.as_ref().is_some_and(client::is_local) || config.response_hosts.iter().any(listed);
        Ok(Self { http: client::client(inside)?, duty, log })
    }

    /// Writes into the group on duty.
    pub async fn alert(&self, markdown: &str) -> Result<()> {
        let nobody = || Error::invalid("no_address", "Nobody is on duty.");
        self.post(self.duty.as_ref().ok_or_else(nobody)?, markdown).await
    }

    /// Posts a message. One whose answer was lost may have been shown and is not repeated.
    pub async fn post(&self, url: &Url, markdown: &str) -> Result<()> {
        let body = json!({"msgtype": "markdown", "markdown": {"content": markdown}});
        let mut wait = FIRST_WAIT;
        for _ in 1..TRIES {
            match self.exchange(url, &body).await {
                Err(error) if error.kind() == Kind::RateLimited => {
                    self.log.warn("a message is tried again", &error);
                }
                outcome => return outcome,
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        self.exchange(url, &body).await
    }

    async fn exchange(&self, url: &Url, body: &Value) -> Result<()> {
        let answer = self.http.post(url.clone()).json(body).send().await.map_err(lost)?;
        let status = answer.status().as_u16();
        let body = client::body(answer).await?;
        judge(status, &serde_json::from_slice(&body).unwrap_or_default())
    }
}

/// Success is an `errcode` of 0; everything else is an error, whatever the status.
pub fn judge(status: u16, body: &Value) -> Result<()> {
    let code = body["errcode"].as_i64();
    let said = format!("the platform answered {status} {}", code.map(|code| code.to_string()).unwrap_or_default());
    let too_fast = || Err(Error::rate_limited("platform_busy", format!("Too many calls: {said}."), FIRST_WAIT));
    match (status, code) {
        (429, _) | (_, Some(BUSY)) => too_fast(),
        (_, Some(code)) if TOO_FAST.contains(&code) => too_fast(),
        (200..=299, Some(0)) => Ok(()),
        (500.., _) => Err(Error::unavailable("platform_error", format!("The platform has a problem: {said}."))),
        (401 | 403, _) => Err(Error::forbidden("platform_forbidden", format!("The bot may not write there: {said}."))),
        _ => Err(Error::invalid("platform_refused", format!("A call was refused: {said}."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_code_of_zero_is_a_yes() {
        for (status, body, expected) in [
            (200, json!({"errcode": 0, "errmsg": "ok"}), Ok(())),
            (200, json!({}), Err("platform_refused")),
            (200, json!({"errcode": 93_000}), Err("platform_refused")),
            (200, json!({"errcode": 45_009}), Err("platform_busy")),
            (200, json!({"errcode": -1}), Err("platform_busy")),
            (429, Value::Null, Err("platform_busy")),
            (403, Value::Null, Err("platform_forbidden")),
            (502, Value::Null, Err("platform_error")),
            (302, Value::Null, Err("platform_refused")),
        ] {
            assert_eq!(judge(status, &body).map_err(|error| error.code()), expected, "{status} {body}");
        }
    }
}
