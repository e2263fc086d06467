//! Feishu and Lark: a bot by event callback, its answers as Markdown in a card that replies to the question and
//! fills up as the answer comes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::log::Log;
use super::month::Month;
use super::store::BotStore;
use super::{Asker, Cards, Channel, Duty, Inbound, Limit, Pace, Post, any_told};
use crate::config::FeishuConfig;
use crate::error::{Kind, Result};
use crate::ids::{Clock, random_token};
use api::Api;
use message::{Keys, Read, Signed};

mod api;
pub mod card;
mod crypto;
pub mod message;

/// A card may have 30 KB with its frame.
const MESSAGE: Limit = Limit { chars: 6_000, bytes: 20_000 };
/// A card is made and shown, and at its end written and closed.
const CALLS_OF_A_CARD: u32 = 4;
/// How often a call that may be repeated is tried, and the first wait; it doubles.
const TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// As in `ChatRequest::channel`.
pub const PLATFORM: &str = "feishu";

/// One bot's side of the platform.
pub struct Feishu {
    api: Api,
    config: FeishuConfig,
    clock: Clock,
    store: BotStore,
    pace: Pace,
    log: Arc<Log>,
}

impl Feishu {
    /// As configured; nothing is sent.
    ///
    /// # Errors
    /// `bad_config` when the address cannot be used.
    pub fn new(bot: &str, config: &FeishuConfig, clock: Clock, store: BotStore) -> Result<Self> {
        let month = config.calls_per_month.map(|most| Month::new(store.clone(), most, CALLS_OF_A_CARD));
        let pace = Pace::within(config.calls_per_second, month);
        let log = Arc::new(Log::new(store.bot.as_str(), clock.clone()));
        let api = Api::new(bot, config, clock.clone(), pace.clone(), Arc::clone(&log))?;
        Ok(Self { api, config: config.clone(), clock, store, pace, log })
    }

    /// Opens and reads a callback.
    ///
    /// # Errors
    /// `bad_signature`, `stale_callback`, `bad_callback`.
    pub fn read(&self, body: &[u8], signed: Signed<'_>) -> Result<Read> {
        let keys = Keys { token: &self.config.verification_token, encrypt_key: self.config.encrypt_key.as_ref() };
        message::read(body, signed, &keys, self.clock.now())
    }

    /// Posts a message. Under the same `uuid` the platform shows it once, so also a call whose answer was
    /// lost may be repeated.
    async fn post(&self, path: &[&str], query: &[(&str, &str)], uuid: &str, mut body: Value) -> Result<()> {
        body["uuid"] = json!(uuid);
        let mut wait = FIRST_WAIT;
        for _ in 1..TRIES {
            self.pace.turn().await;
            match self.api.call(Method::POST, path, query, &body).await {
                Err(error) if matches!(error.kind(), Kind::RateLimited | Kind::Timeout | Kind::Unavailable) => {
                    self.log.warn("a message is tried again", &error);
                }
                outcome => return outcome.map(drop),
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        self.pace.turn().await;
        self.api.call(Method::POST, path, query, &body).await.map(drop)
    }

    async fn reply(&self, to: &Inbound, uuid: &str, body: Value) -> Result<()> {
        self.post(&["open-apis", "im", "v1", "messages", &to.message_id, "reply"], &[], uuid, body).await
    }

    async fn write_to(&self, kind: &str, id: &str, message: &Post) -> Result<()> {
        for piece in message.pieces(MESSAGE) {
            let mut body = card::message(&piece);
            body["receive_id"] = json!(id);
            self.post(&["open-apis", "im", "v1", "messages"], &[("receive_id_type", kind)], &random_token("", 32), body).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Channel for Feishu {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn limit(&self) -> Limit {
        MESSAGE
    }

    async fn send(&self, to: &Inbound, message: &Post) -> Result<()> {
        // The same answer said again, also after a restart, is the same message.
        let hash = Sha256::new().chain_update(&to.message_id).chain_update([0_u8]).chain_update(&message.text).finalize();
        let uuid: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        self.reply(to, &uuid, card::message(message)).await
    }

    async fn alert(&self, duty: &Duty, message: &Post) -> Result<()> {
        let (mut group, mut user) = (None, None);
        if let Some(id) = &duty.group {
            group = Some(self.write_to("chat_id", id, message).await);
        }
        if let Some(id) = &duty.user {
            user = Some(self.write_to("open_id", id, message).await);
        }
        any_told(&self.log, [group, user])
    }

    /// A callback has no names, but the platform shows one for an id.
    fn name_of(&self, asker: &Asker) -> String {
        card::mentioned(&asker.id)
    }

    fn cards(&self) -> Option<&dyn Cards> {
        self.config.cards.then_some(self as &dyn Cards)
    }

    fn quota(&self) -> Option<&Pace> {
        Some(&self.pace)
    }
}
