//! One endpoint and one try: what is sent, what counts as taken, and when the next try is.

use std::error::Error as StdError;

use reqwest::{Client, Response, Url};
use serde_json::Value;

use super::address::{self, PrivateAddress};
use super::sign::Key;
use super::words;
use crate::channels::dingtalk::robot::CustomRobot;
use crate::config::{NoticeConfig, WebhookConfig};
use crate::error::{Error, Result};
use crate::events::Kind;
use crate::events::store::{Tried, Waiting};
use crate::ids::{Clock, TenantId, Timestamp};
use crate::models::Language;

/// After this long nothing is tried any more.
pub const GIVE_UP_MS: i64 = 24 * 60 * 60 * 1000;
/// The first wait; each next one is twice as long.
const FIRST_WAIT_MS: i64 = 1000;
const LONGEST_WAIT_MS: i64 = 60 * 60 * 1000;

/// Somebody who is told.
pub struct Endpoint {
    /// As the configuration calls it; a group's begins with `notices.`.
    pub name: String,
    /// Whose events these are.
    pub tenant: TenantId,
    /// Which ones.
    pub kinds: Vec<Kind>,
    way: Way,
}

/// How it is told.
enum Way {
    /// A program, by a signed call.
    Webhook { url: Url, key: Key, http: Client },
    /// People, by their group's robot.
    Robot { robot: Box<CustomRobot>, language: Language },
}

/// What a receiver said.
struct Said {
    status: Option<i64>,
    problem: Option<String>,
    /// The wait it asks for.
    wait_ms: Option<i64>,
}

impl Endpoint {
    /// A program, as configured; nothing is sent.
    ///
    /// # Errors
    /// `bad_config`, which never shows the address or the secret.
    pub fn webhook(name: &str, config: &WebhookConfig) -> Result<Self> {
        let wrong = |what: &str| Error::invalid("bad_config", format!("`webhooks.{name}.{what}"));
        let key = Key::parse(&config.secret)
            .ok_or_else(|| wrong("secret` must be `whsec_` and 24 to 64 random bytes in base64: echo whsec_$(openssl rand -base64 32)"))?;
        let (url, http) = address::open(&config.url, &config.private_hosts)?.ok_or_else(|| {
            wrong("url` must be a public https address; a private one's host has to stand in `private_hosts` (http only on this machine).")
        })?;
        let kind = |word: &String| Kind::from_word(word).ok_or_else(|| wrong(&format!("events` knows no `{word}`.")));
        let kinds = config.events.iter().map(kind).collect::<Result<Vec<_>>>()?;
        let kinds = if kinds.is_empty() { Kind::ALL.to_vec() } else { kinds };
        Ok(Self { name: name.to_owned(), tenant: TenantId::parse(&config.tenant)?, kinds, way: Way::Webhook { url, key, http } })
    }

    /// A group, as configured; nothing is sent.
    ///
    /// # Errors
    /// `bad_config`, `bad_robot_address`.
    pub fn group(name: &str, config: &NoticeConfig, clock: Clock) -> Result<Self> {
        let wrong = |what: String| Error::invalid("bad_config", format!("`notices.{name}.{what}"));
        let kind = |word: &String| match word.as_str() {
            "expiring" => Ok(Kind::NoticeExpiring),
            "unanswered" => Ok(Kind::NoticeUnanswered),
            "spend" => Ok(Kind::NoticeSpend),
            _ => Err(wrong(format!("about` knows no `{word}`; expected expiring, unanswered or spend."))),
        };
        let mut kinds = config.about.iter().map(kind).collect::<Result<Vec<_>>>()?;
        if kinds.is_empty() {
            kinds = vec![Kind::NoticeExpiring, Kind::NoticeUnanswered, Kind::NoticeSpend];
        }
        let language = match config.language.as_str() {
            "zh" => Language::Zh,
            "en" => Language::En,
            other => return Err(wrong(format!("language` is `{other}`; expected zh or en."))),
        };
        let robot = Box::new(CustomRobot::new(&config.robot, config.secret.clone(), clock)?);
        let name = format!("notices.{name}");
        Ok(Self { name, tenant: TenantId::parse(&config.tenant)?, kinds, way: Way::Robot { robot, language } })
    }

    /// Whether it subscribes to what happens; groups are written to at their time.
    pub fn is_program(&self) -> bool {
        matches!(self.way, Way::Webhook { .. })
    }

    /// The receiver's host; the rest of the address may be a secret.
    pub fn host(&self) -> String {
        match &self.way {
            Way::Webhook { url, .. } => url.host_str().unwrap_or_default().to_owned(),
            Way::Robot { robot, .. } => robot.host().to_owned(),
        }
    }

    /// Sends a row once.
    pub async fn attempt(&self, row: &Waiting, clock: &Clock) -> Tried {
        let said = self.send(row, clock.now()).await;
        judge(&said, row, clock.now(), rand::random::<f64>())
    }

    async fn send(&self, row: &Waiting, now: Timestamp) -> Said {
        match &self.way {
            Way::Webhook { url, key, http } => post(http, url, key, row, now).await,
            Way::Robot { robot, language } => speak(robot, *language, row).await,
        }
    }
}

async fn post(http: &Client, url: &Url, key: &Key, row: &Waiting, now: Timestamp) -> Said {
    let seconds = now.0.div_euclid(1000);
    let request = http
        .post(url.clone())
        .header("content-type", "application/json")
        .header("user-agent", concat!("merchant-copilot/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", &row.event_id)
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", key.sign(&row.event_id, seconds, &row.payload))
        .body(row.payload.clone());
    // Only the status counts: the body is not read, so it may be as long as it likes.
    match request.send().await {
        Ok(answer) => said(&answer),
        Err(error) => Said { status: None, problem: Some(word(&error).to_owned()), wait_ms: None },
    }
}

async fn speak(robot: &CustomRobot, language: Language, row: &Waiting) -> Said {
    let event: Value = serde_json::from_str(&row.payload).unwrap_or_default();
    let outcome = robot.say(&words::notice(language, &event), &row.event_id).await;
    let wait_ms = outcome.as_ref().err().and_then(Error::retry_after).and_then(|wait| i64::try_from(wait.as_millis()).ok());
    Said { status: None, problem: outcome.err().map(|error| error.code().to_owned()), wait_ms }
}

fn said(answer: &Response) -> Said {
    let status = answer.status();
    let problem = (!status.is_success()).then(|| format!("http_{}", status.as_u16()));
    let asked = answer.headers().get("retry-after").and_then(|wait| wait.to_str().ok()?.trim().parse::<u32>().ok());
    Said { status: Some(i64::from(status.as_u16())), problem, wait_ms: asked.map(|seconds| i64::from(seconds) * 1000) }
}

/// An error in a word; the address stays out of it.
fn word(error: &reqwest::Error) -> &'static str {
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    if causes.any(|cause| cause.is::<PrivateAddress>()) {
        "private_address"
    } else if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "unreachable"
    } else {
        "broken_off"
    }
}

/// What comes next: taken, given up, or another try after a while.
fn judge(said: &Said, row: &Waiting, now: Timestamp, roll: f64) -> Tried {
    let tried = |state, due| Tried { state, due, status: said.status, problem: said.problem.clone() };
    let over = now.0 - row.since_ms.0 >= GIVE_UP_MS;
    // 410: whoever was there says that they are gone for good.
    if said.problem.is_none() {
        tried("delivered", now)
    } else if over || said.status == Some(410) {
        tried("failed", now)
    } else {
        let wait = wait_ms(row.attempts, roll).max(said.wait_ms.unwrap_or_default()).min(LONGEST_WAIT_MS);
        tried("waiting", Timestamp(now.0 + wait))
    }
}

/// Twice as long after every try, up to an hour, and by chance up to half of it shorter, so that what broke
/// together does not come back together.
fn wait_ms(attempts: i64, roll: f64) -> i64 {
    let doublings = u32::try_from(attempts.clamp(1, 13) - 1).unwrap_or_default();
    let whole = (FIRST_WAIT_MS << doublings).min(LONGEST_WAIT_MS);
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an hour in milliseconds")]
    let random = (whole as f64 / 2.0 * roll) as i64;
    whole / 2 + random
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(attempts: i64) -> Waiting {
        Waiting {
            id: "evt_1.erp".into(),
            event_id: "evt_1".into(),
            payload: "{}".into(),
            attempts,
            due_ms: Timestamp(0),
            since_ms: Timestamp(0),
        }
    }

    fn heard(status: i64, wait_ms: Option<i64>) -> Said {
        let problem = (!(200..300).contains(&status)).then(|| format!("http_{status}"));
        Said { status: Some(status), problem, wait_ms }
    }

    #[test]
    fn an_answer_says_what_comes_next() {
        let state = |status, now| judge(&heard(status, None), &row(3), Timestamp(now), 0.5).state;
        assert_eq!([state(200, 5), state(204, 5)], ["delivered"; 2]);
        assert_eq!([state(302, 5), state(400, 5), state(404, 5), state(429, 5), state(500, 5)], ["waiting"; 5]);
        assert_eq!([state(410, 5), state(500, GIVE_UP_MS)], ["failed"; 2]);
        let asked = judge(&heard(429, Some(30_000)), &row(1), Timestamp(7), 0.0);
        assert_eq!((asked.due, asked.problem.as_deref()), (Timestamp(30_007), Some("http_429")));
        let greedy = judge(&heard(503, Some(i64::from(u32::MAX) * 1000)), &row(1), Timestamp(0), 0.0);
        assert_eq!(greedy.due, Timestamp(LONGEST_WAIT_MS));
    }

    proptest! {
        #[test]
        fn waits_grow_and_stay_within_an_hour(attempts in 1_i64..1000, roll in 0.0..1.0_f64) {
            let wait = wait_ms(attempts, roll);
            prop_assert!((FIRST_WAIT_MS / 2..=LONGEST_WAIT_MS).contains(&wait));
            prop_assert!(wait_ms(attempts + 1, roll) >= wait);
        }
    }
}
