//! DingTalk: an enterprise robot by HTTP callback or stream, its answers as Markdown messages or streaming
//! cards; and the custom robot of a group, which only speaks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::log::Log;
use super::month::Month;
use super::store::BotStore;
use super::{Cards, Channel, Desk, Duty, Inbound, Limit, Pace, Post, Step, any_told, webhook};
use crate::config::{BotMode, DingTalkConfig, Secret};
use crate::error::{Error, Kind, Result};
use crate::ids::{Clock, random_token};
use api::Api;

mod api;
pub mod button;
pub mod message;
pub mod robot;
pub mod sign;
pub mod stream;

/// The platform refuses 20,000 bytes to a webhook and 15,000 through the API; the rest is for the frame
/// around the text. Longer than 3,800 characters are cut on phones.
const MESSAGE: Limit = Limit { chars: 3_700, bytes: 13_000 };
/// What the platform recommends for all of a streaming card.
const CARD: Limit = Limit { chars: 2_800, bytes: 2_900 };
/// A card's opening and its end.
const CALLS_OF_A_CARD: u32 = 2;
/// How often a message that came too fast is tried, and the first wait; it doubles.
const TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// As in `ChatRequest::channel`.
pub const PLATFORM: &str = "dingtalk";

/// One bot's side of the platform.
pub struct DingTalk {
    api: Api,
    config: DingTalkConfig,
    clock: Clock,
    pace: Pace,
    log: Arc<Log>,
}

impl DingTalk {
    /// As configured; nothing is sent.
    ///
    /// # Errors
    /// `bad_config` when the address cannot be used.
    pub fn new(bot: &str, config: &DingTalkConfig, clock: Clock, store: BotStore) -> Result<Self> {
        let log = Arc::new(Log::new(store.bot.as_str(), clock.clone()));
        let month = config.calls_per_month.map(|most| Month::new(store, most, CALLS_OF_A_CARD));
        let pace = Pace::within(config.calls_per_second, month);
        let api = Api::new(bot, config, clock.clone(), pace.clone(), Arc::clone(&log))?;
        Ok(Self { api, config: config.clone(), clock, pace, log })
    }

    /// Checks a callback's headers.
    ///
    /// # Errors
    /// `bad_signature`, `stale_callback`.
    pub fn verify(&self, timestamp: Option<&str>, sign: Option<&str>) -> Result<()> {
        sign::verify(timestamp, sign, self.secret(), self.clock.now())
    }

    /// Checks the headers of a card's button.
    ///
    /// # Errors
    /// `bad_signature`, `stale_callback`; nobody is let in without a secret.
    pub fn verify_card(&self, timestamp: Option<&str>, sign: Option<&str>) -> Result<()> {
        let secret = self.config.card_secret.as_ref().ok_or_else(sign::forged)?;
        sign::verify_card(timestamp, sign, secret, self.clock.now())
    }

    fn secret(&self) -> &Secret {
        &self.config.client_secret
    }

    fn robot(&self) -> &str {
        self.config.robot_code.as_deref().unwrap_or(&self.config.client_id)
    }

    async fn by_webhook(&self, url: &Url, to: &Inbound, message: &Post) -> Result<()> {
        let mut body = markdown_body(message);
        // The same id again is the same message, also when it is said again after a restart.
        let parts = [&to.message_id, &message.title, &message.text];
        let hash = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part).chain_update([0_u8])).finalize();
        body["msgUuid"] = json!(hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>());
        let mut patience = Patience::default();
        while let Err(error) = self.api.post(url.clone(), &body).await {
            patience.after(&self.log, error).await?;
        }
        Ok(())
    }

    /// Writes by itself, however long that is.
    async fn note(&self, group: Option<&str>, user: Option<&str>, message: &Post) -> Result<()> {
        for piece in message.pieces(MESSAGE) {
            self.by_api(group, user, &piece).await?;
        }
        Ok(())
    }

    /// Mentions do not work this way: the name would stand there as an id.
    async fn by_api(&self, group: Option<&str>, user: Option<&str>, message: &Post) -> Result<()> {
        let param = json!({"title": message.title, "text": lines(&message.text)}).to_string();
        let mut body = json!({"robotCode": self.robot(), "msgKey": "sampleMarkdown", "msgParam": param});
        let path = match (group, user) {
            (Some(group), _) => {
                body["openConversationId"] = json!(group);
                "/v1.0/robot/groupMessages/send"
            }
            (None, Some(user)) => {
                body["userIds"] = json!([user]);
                "/v1.0/robot/oToMessages/batchSend"
            }
            (None, None) => return Err(Error::invalid("no_address", "The asker has no id that the platform could deliver to.")),
        };
        let mut patience = Patience::default();
        loop {
            self.pace.turn().await;
            match self.api.call(Method::POST, path, &body).await {
                Ok(_) => return Ok(()),
                Err(error) => patience.after(&self.log, error).await?,
            }
        }
    }
}

#[async_trait]
impl Channel for DingTalk {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn limit(&self) -> Limit {
        MESSAGE
    }

    async fn send(&self, to: &Inbound, message: &Post) -> Result<()> {
        if let Some(url) = webhook::usable(&to.reply, &self.config.session_webhook_hosts, self.clock.now(), &self.log) {
            match self.by_webhook(&url, to, message).await {
                Ok(()) => return Ok(()),
                // It may have arrived: a second one would answer twice.
                Err(error) if error.kind() == Kind::Timeout => return Err(error),
                Err(error) => self.log.warn("a session webhook failed, trying the API", &error),
            }
        }
        let group = to.group.then_some(to.conversation.as_str());
        self.by_api(group, to.asker.staff_id.as_deref(), message).await
    }

    async fn alert(&self, duty: &Duty, message: &Post) -> Result<()> {
        let (mut group, mut user) = (None, None);
        if let Some(id) = &duty.group {
            group = Some(self.note(Some(id), None, message).await);
        }
        if let Some(id) = &duty.user {
            user = Some(self.note(None, Some(id), message).await);
        }
        any_told(&self.log, [group, user])
    }

    fn cards(&self) -> Option<&dyn Cards> {
        self.config.card_template_id.as_ref().map(|_| self as &dyn Cards)
    }

    fn quota(&self) -> Option<&Pace> {
        Some(&self.pace)
    }

    fn mode(&self) -> BotMode {
        self.config.mode
    }

    /// Keeps its lines open. Each is opened again by itself; the platform gives a message to one of them.
    async fn run(self: Arc<Self>, desk: &Arc<Desk>, stop: &CancellationToken) {
        match self.config.mode {
            BotMode::Stream => drop(join_all((0..self.config.connections).map(|_| stream::run(&self, desk, stop))).await),
            BotMode::Webhook => stop.cancelled().await,
        }
    }
}

#[async_trait]
impl Cards for DingTalk {
    fn limit(&self) -> Limit {
        CARD
    }

    fn pace(&self) -> &Pace {
        &self.pace
    }

    async fn open(&self, to: &Inbound, card: &str) -> Result<()> {
        let mut body = json!({
            "cardTemplateId": self.config.card_template_id, "outTrackId": card, "callbackType": "STREAM", "userIdType": 1,
            "cardData": {"cardParamMap": {self.config.card_key.as_str(): ""}},
        });
        if let (BotMode::Webhook, Some(route)) = (self.config.mode, &self.config.card_route_key) {
            body["callbackType"] = json!("HTTP");
            body["callbackRouteKey"] = json!(route);
        }
        match (to.group, &to.asker.staff_id) {
            (true, staff) => {
                body["openSpaceId"] = json!(format!("dtv1.card//IM_GROUP.{}", to.conversation));
                body["imGroupOpenSpaceModel"] = json!({"supportForward": true});
                body["imGroupOpenDeliverModel"] = json!({"robotCode": self.robot()});
                if let Some(staff) = staff {
                    body["imGroupOpenDeliverModel"]["atUserIds"] = json!({staff.as_str(): to.asker.name});
                }
            }
            (false, Some(staff)) => {
                body["openSpaceId"] = json!(format!("dtv1.card//IM_ROBOT.{staff}"));
                body["imRobotOpenSpaceModel"] = json!({"supportForward": true});
                body["imRobotOpenDeliverModel"] = json!({"spaceType": "IM_ROBOT", "robotCode": self.robot()});
            }
            (false, None) => return Err(Error::invalid("no_address", "The asker has no id that a card could be delivered to.")),
        }
        self.api.call(Method::POST, "/v1.0/card/instances/createAndDeliver", &body).await.map(drop)
    }

    async fn update(&self, card: &str, markdown: &str, step: Step) -> Result<()> {
        let body = json!({
            "outTrackId": card, "guid": random_token("", 32), "key": self.config.card_key, "content": lines(markdown),
            "isFull": true, "isFinalize": step == Step::Done, "isError": step == Step::Failed,
        });
        self.api.call(Method::PUT, "/v1.0/card/streaming", &body).await.map(drop)
    }
}

/// A message as a webhook takes it, and as a callback's answer.
pub fn markdown_body(message: &Post) -> Value {
    let text = lines(&message.text);
    match &message.mention {
        None => json!({"msgtype": "markdown", "markdown": {"title": message.title, "text": text}}),
        // Only a mention that also stands in the text is shown.
        Some(mention) => json!({
            "msgtype": "markdown", "markdown": {"title": message.title, "text": format!("@{}  \n{text}", mention.id)},
            "at": {"atUserIds": [mention.id], "isAtAll": false},
        }),
    }
}

/// DingTalk breaks a line only after two spaces.
fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.lines().peekable();
    while let Some(line) = rest.next() {
        out.push_str(line);
        match rest.peek() {
            Some(next) if !line.trim().is_empty() && !next.trim().is_empty() && !line.ends_with("  ") => out.push_str("  \n"),
            Some(_) => out.push('\n'),
            None => {}
        }
    }
    out
}

/// Waits for what came too fast to be tried again: that was certainly not delivered.
#[derive(Default)]
struct Patience(u32);

impl Patience {
    async fn after(&mut self, log: &Log, error: Error) -> Result<()> {
        self.0 += 1;
        if error.kind() != Kind::RateLimited || self.0 >= TRIES {
            return Err(error);
        }
        log.warn("a message is tried again", &error);
        tokio::time::sleep(FIRST_WAIT * 2_u32.pow(self.0 - 1)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::Mention;

    #[test]
    fn a_message_mentions_in_the_text_as_well_and_keeps_its_lines() {
        let post = Post { title: "t".into(), text: "a\nb\n\nc".into(), mention: Some(Mention { id: "u1".into() }) };
        let body = markdown_body(&post);
        assert_eq!(body["markdown"]["text"], "@u1  \na  \nb\n\nc");
        assert_eq!(body["at"]["atUserIds"], json!(["u1"]));
        assert!(markdown_body(&Post { mention: None, ..post })["at"].is_null());
    }
}
