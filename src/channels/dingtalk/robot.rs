//! The custom robot of a group: it only speaks, through an address with a signature, at most 20 times a
//! minute; beyond that the platform silences it for ten.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use tokio::sync::Mutex;

use super::{api, markdown_body, sign};
use crate::channels::Post;
use crate::channels::host::is_loopback;
use crate::config::Secret;
use crate::error::{Error, Result};
use crate::ids::{Clock, Timestamp};

/// What the platform allows in a minute.
pub const PER_MINUTE: usize = 20;
const MINUTE_MS: i64 = 60_000;
const PATIENCE: Duration = Duration::from_secs(10);

/// A group's custom robot.
pub struct CustomRobot {
    http: Client,
    address: Url,
    secret: Option<Secret>,
    clock: Clock,
    said: Mutex<VecDeque<Timestamp>>,
}

impl CustomRobot {
    /// By the address that the group's settings show (with `access_token`) and the secret beside it.
    ///
    /// # Errors
    /// `bad_robot_address`.
    pub fn new(address: &Secret, secret: Option<Secret>, clock: Clock) -> Result<Self> {
        let wrong = || {
            Error::invalid("bad_robot_address", "The robot's address is not one: copy it from the group's settings, with its access_token.")
        };
        let address = Url::parse(address.reveal()).map_err(|_| wrong())?;
        let local = address.host_str().is_some_and(is_loopback);
        if address.scheme() != "https" && !(address.scheme() == "http" && local) {
            return Err(wrong());
        }
        let builder = Client::builder().redirect(Policy::none()).timeout(PATIENCE);
        let builder = if local { builder.no_proxy() } else { builder };
        let http = builder.build().map_err(|error| Error::internal("http_client", "The HTTP client could not be built.").because(error))?;
        Ok(Self { http, address, secret, clock, said: Mutex::default() })
    }

    /// The platform's host; the rest of the address is a secret.
    pub fn host(&self) -> &str {
        self.address.host_str().unwrap_or_default()
    }

    /// Says something; under the same id the platform shows it once.
    ///
    /// # Errors
    /// `robot_busy` with the wait when the minute is full, or what the platform says.
    pub async fn say(&self, message: &Post, id: &str) -> Result<()> {
        self.take_place().await?;
        let mut body = markdown_body(message);
        body["msgUuid"] = id.into();
        api::exchange(self.http.post(self.signed()).json(&body)).await.map(drop)
    }

    async fn take_place(&self) -> Result<()> {
        let (mut said, now) = (self.said.lock().await, self.clock.now());
        said.retain(|at| now.0 - at.0 < MINUTE_MS);
        match said.front() {
            Some(first) if said.len() >= PER_MINUTE => {
                let wait = Duration::from_millis(u64::try_from(first.0 + MINUTE_MS - now.0).unwrap_or_default());
                Err(Error::rate_limited("robot_busy", "This robot has said 20 things within a minute. Say it later.", wait))
            }
            _ => {
                said.push_back(now);
                Ok(())
            }
        }
    }

    fn signed(&self) -> Url {
        let mut url = self.address.clone();
        if let Some(secret) = &self.secret {
            let now = self.clock.now().0.to_string();
            url.query_pairs_mut().append_pair("timestamp", &now).append_pair("sign", &sign::sign(&now, secret));
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crypto() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }

    #[test]
    fn the_address_is_signed_as_the_platforms_example() {
        crypto();
        let clock = Clock::fixed(Timestamp(1_577_262_236_757));
        let address = Secret::new("https://oapi.dingtalk.com/robot/send?access_token=t");
        let robot = CustomRobot::new(&address, Some(Secret::new("this is a secret")), clock).unwrap();
        let expected = "access_token=t&timestamp=1577262236757&sign=DJrE6qdyVGCQz9z5r2MDuNcNAhwYnuAkyj13cx169CA%3D";
        assert_eq!(robot.signed().query(), Some(expected));
        for wrong in ["", "http://oapi.dingtalk.com/robot/send", "ftp://a"] {
            assert_eq!(CustomRobot::new(&Secret::new(wrong), None, Clock::system()).err().map(|e| e.code()), Some("bad_robot_address"));
        }
    }

    #[tokio::test]
    async fn twenty_a_minute_and_then_a_wait() {
        crypto();
        let clock = Clock::fixed(Timestamp(1_000_000));
        let robot = CustomRobot::new(&Secret::new("https://a.example/x"), None, clock.clone()).unwrap();
        for _ in 0..PER_MINUTE {
            robot.take_place().await.unwrap();
            clock.set(Timestamp(clock.now().0 + 1_000));
        }
        let refused = robot.take_place().await.unwrap_err();
        assert_eq!((refused.code(), refused.retry_after()), ("robot_busy", Some(Duration::from_secs(40))));
        clock.set(Timestamp(1_060_000));
        robot.take_place().await.unwrap();
        assert!(robot.take_place().await.is_err());
    }
}
