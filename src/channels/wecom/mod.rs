//! WeCom's intelligent bot (智能机器人). By callback, encrypted both ways, the platform fetches an answer by asking
//! how far it is until it is finished, so what is shown is a row of the database and any node may be asked. By a
//! long connection (`stream.rs`) an answer goes out as it comes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::log::Log;
use super::store::{BotStore, Shown};
use super::{Asker, Cards, Channel, Desk, Duty, Inbound, Limit, Pace, Post, Step, client, webhook, words};
use crate::config::{BotMode, WeComConfig};
use crate::error::{Error, Kind, Result};
use crate::ids::{Clock, random_token};
use crate::models::Language;
use api::Api;
use crypto::Keys;
use message::Read;
use stream::Wire;

mod api;
mod crypto;
pub mod message;
pub mod stream;

/// As in `ChatRequest::channel`.
pub const PLATFORM: &str = "wecom";
/// The platform takes 20,480 bytes.
const MESSAGE: Limit = Limit { chars: 6_500, bytes: 20_000 };
/// A note into a group by its webhook may have 4,096 bytes.
const NOTE: Limit = Limit { chars: 1_300, bytes: 3_900 };
/// The platform asks no more six minutes after the question; what comes later is sent.
const ASKED_FOR_MS: i64 = 6 * 60 * 1000 - 5_000;
/// When the text of a finished answer is of no more use here, and how often is looked for such.
const FORGET_MS: i64 = 10 * 60 * 1000;
const FORGET_SHOWN: Duration = Duration::from_secs(30);
/// A callback's time may differ from ours by less than this.
const WINDOW_MS: u64 = 60 * 60 * 1000;
/// Changes of rows a second: nothing is called, so this only spares the database.
const CHANGES: u32 = 100;

/// One bot's side of the platform.
pub struct WeCom {
    api: Api,
    /// Where it is called; none where it calls.
    keys: Option<Keys>,
    wire: Wire,
    config: WeComConfig,
    clock: Clock,
    store: BotStore,
    pace: Pace,
    log: Arc<Log>,
}

/// What signs a callback, from its address.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signed<'a> {
    /// `timestamp`
    pub timestamp: Option<&'a str>,
    /// `nonce`
    pub nonce: Option<&'a str>,
    /// `msg_signature`
    pub signature: Option<&'a str>,
}

impl WeCom {
    /// As configured; nothing is sent.
    ///
    /// # Errors
    /// `bad_config` when the key or an address cannot be used.
    pub fn new(bot: &str, config: &WeComConfig, clock: Clock, store: BotStore) -> Result<Self> {
        let wrong = || {
            let message = format!("`channels.wecom.{bot}.encoding_aes_key` must be the 43 characters of the bot's page.");
            Error::invalid("bad_config", message)
        };
        let keys = match (config.mode, &config.token, &config.encoding_aes_key) {
            (BotMode::Webhook, Some(token), Some(key)) => Some(Keys::new(token, key).ok_or_else(wrong)?),
            (BotMode::Webhook, ..) => return Err(wrong()),
            (BotMode::Stream, ..) => None,
        };
        let bad_line =
            || Error::invalid("bad_config", format!("`channels.wecom.{bot}.ws_url` must be a wss address (ws only on this machine)."));
        client::address(&config.ws_url, "wss", "ws").ok_or_else(bad_line)?;
        let log = Arc::new(Log::new(store.bot.as_str(), clock.clone()));
        let (api, pace) = (Api::new(bot, config, Arc::clone(&log))?, Pace::new(CHANGES));
        Ok(Self { api, keys, wire: Wire::default(), config: config.clone(), clock, store, pace, log })
    }

    /// Checks and opens what came encrypted.
    ///
    /// # Errors
    /// `bad_signature`, `stale_callback`.
    pub fn open(&self, sealed: &str, signed: Signed<'_>) -> Result<Vec<u8>> {
        let Signed { timestamp: Some(timestamp), nonce: Some(nonce), signature: Some(shown) } = signed else { return Err(forged()) };
        let keys = self.keys.as_ref().ok_or_else(forged)?;
        if !keys.is_signed(shown, timestamp, nonce, sealed) {
            return Err(forged());
        }
        let digits = !timestamp.is_empty() && timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let seconds: i64 = timestamp.parse().ok().filter(|_| digits).ok_or_else(forged)?;
        if self.clock.now().0.abs_diff(seconds.saturating_mul(1000)) >= WINDOW_MS {
            return Err(Error::unauthenticated(
                "stale_callback",
                "The callback's `timestamp` is an hour or more from our time. Check both clocks.",
            ));
        }
        keys.open(sealed).ok_or_else(forged)
    }

    /// Opens and reads a callback's body.
    ///
    /// # Errors
    /// `bad_signature`, `stale_callback`, `bad_callback`.
    pub fn read(&self, body: &[u8], signed: Signed<'_>) -> Result<Read> {
        let bad = |why: String| Error::invalid("bad_callback", format!("The callback cannot be read: {why}."));
        let outer: Value = serde_json::from_slice(body).map_err(|error| bad(format!("it is not JSON ({error})")))?;
        let sealed = outer["encrypt"].as_str().ok_or_else(|| bad("`encrypt` is missing".into()))?;
        message::read(&self.open(sealed, signed)?, self.config.name.as_deref(), self.clock.now())
    }

    /// An answer as the platform takes it.
    ///
    /// # Errors
    /// `not_sealed` when it is longer than the platform could ever take.
    pub fn seal(&self, reply: &Value) -> Result<Value> {
        let too_long = || Error::internal("not_sealed", "An answer could not be encrypted.");
        let random = rand::random::<[u8; 16]>();
        let keys = self.keys.as_ref().ok_or_else(forged)?;
        let sealed = keys.seal(reply.to_string().as_bytes(), random).ok_or_else(too_long)?;
        let (timestamp, nonce) = (self.clock.now().0 / 1000, random_token("", 16));
        let signature = keys.signature(&timestamp.to_string(), &nonce, &sealed);
        // Named as the platform's documentation does, without an underscore.
        Ok(json!({"encrypt": sealed, "msgsignature": signature, "timestamp": timestamp, "nonce": nonce}))
    }

    /// Remembers that the platform waits for this message's answer: before anybody can answer it. One that is
    /// delivered again over a line is answered to the newest delivery.
    ///
    /// # Errors
    /// What the database says.
    pub async fn expect(&self, inbound: &Inbound) -> Result<()> {
        let id = self.name(inbound);
        self.store.card_opens(&id, &inbound.message_id).await?;
        match &inbound.reply.request {
            Some(request) => self.store.card_is(&id, request).await,
            None => Ok(()),
        }
    }

    /// Whether somebody answers this message, or has.
    ///
    /// # Errors
    /// What the database says.
    pub async fn is_taken(&self, inbound: &Inbound) -> Result<bool> {
        Ok(self.store.shown(&self.name(inbound)).await?.is_some_and(|shown| shown.message_state.is_some()))
    }

    /// The first reply to a message: how far its answer is, and under which name votes on it come back.
    ///
    /// # Errors
    /// What the database says.
    pub async fn first(&self, inbound: &Inbound) -> Result<Value> {
        let id = self.name(inbound);
        let mut reply = self.so_far(&id).await?;
        reply["stream"]["feedback"] = json!({"id": id});
        Ok(reply)
    }

    /// How far an answer is: the whole text, and whether that is all.
    ///
    /// # Errors
    /// What the database says.
    pub async fn so_far(&self, id: &str) -> Result<Value> {
        let Some(shown) = self.store.shown(id).await? else {
            // Not of this bot, or of long ago.
            return Ok(stream(id, words::failed(Language::Zh), true));
        };
        let text = shown.text.clone().unwrap_or_default();
        let given_up = shown.is_open() && matches!(shown.message_state.as_deref(), Some("done" | "failed"));
        if !given_up {
            return Ok(stream(id, &text, !shown.is_open()));
        }
        let sorry = words::failed(Language::of(&text));
        Ok(stream(id, format!("{text}\n\n{sorry}").trim(), true))
    }

    /// The reply to a message that could not be taken.
    pub fn refused(&self, inbound: &Inbound) -> Value {
        stream(&self.name(inbound), words::failed(Language::Zh), true)
    }

    /// The reply to whoever opens the chat for the first time today.
    pub fn greeting(&self) -> Value {
        let text = format!("{}\n\n{}", words::help(Language::Zh), words::help(Language::En));
        json!({"msgtype": "text", "text": {"content": text}})
    }

    /// Shows the text so far over the line. The first time it names what votes come back under.
    async fn respond(&self, id: &str, text: &str, step: Step, first: bool) -> Result<()> {
        let unknown = || Error::invalid("no_card", "The platform never asked for this answer.");
        let request = self.store.platform_card(id).await?.ok_or_else(unknown)?;
        let mut body = stream(id, text, step != Step::Writing);
        if first {
            body["stream"]["feedback"] = json!({"id": id});
        }
        self.wire.respond(&request, body, step != Step::Writing).await
    }

    fn is_asked_for(&self, shown: &Shown) -> bool {
        self.clock.now().0 - shown.asked_ms < ASKED_FOR_MS
    }
}

impl WeCom {
    /// Over a line: the first message answers the question's own delivery, and whatever comes after it, or when
    /// the platform takes no answer to it any more, is written into the chat.
    async fn say(&self, to: &Inbound, id: &str, message: &Post) -> Result<()> {
        if self.store.shown(id).await?.is_some_and(|shown| shown.is_open()) {
            self.store.card_done(id).await?;
            match self.respond(id, &message.text, Step::Done, true).await {
                Err(error) if error.kind() == Kind::Invalid => {
                    tracing::debug!(code = error.code(), "an answer goes into the chat: {error}");
                }
                outcome => return outcome,
            }
        }
        self.wire.send(&to.conversation, &message.text).await
    }
}

impl Shown {
    fn is_open(&self) -> bool {
        self.state == "open"
    }
}

#[async_trait]
impl Channel for WeCom {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn limit(&self) -> Limit {
        MESSAGE
    }

    /// The platform asks for the first message; whatever comes after it, or too late, goes to the address
    /// that the question brought along. That is good for one message.
    async fn send(&self, to: &Inbound, message: &Post) -> Result<()> {
        let id = self.name(to);
        if self.mode() == BotMode::Stream {
            return self.say(to, &id, message).await;
        }
        if self.store.shown(&id).await?.is_some_and(|shown| shown.is_open() && self.is_asked_for(&shown)) {
            return self.store.card_shows(&id, &message.text, true).await;
        }
        let nowhere =
            || Error::invalid("no_address", "The platform asks for this answer no more, and the question brought no usable address.");
        let url = webhook::usable(&to.reply, &self.config.response_hosts, self.clock.now(), &self.log).ok_or_else(nowhere)?;
        self.api.post(&url, &message.text).await
    }

    fn can_send(&self) -> bool {
        self.mode() == BotMode::Webhook || self.wire.stands()
    }

    /// The whole of it, in as many messages as that takes: its end says how to reply.
    async fn alert(&self, duty: &Duty, message: &Post) -> Result<()> {
        if let (BotMode::Stream, None, Some(user)) = (self.mode(), &self.config.duty_webhook, &duty.user) {
            for piece in message.pieces(MESSAGE) {
                self.wire.send(user, &piece.text).await?;
            }
            return Ok(());
        }
        for note in notes(&message.text, self.config.duty_user.as_deref()) {
            self.api.alert(&note).await?;
        }
        Ok(())
    }

    /// A callback has no names.
    fn name_of(&self, asker: &Asker) -> String {
        super::markdown::plain(&asker.id)
    }

    fn cards(&self) -> Option<&dyn Cards> {
        Some(self)
    }

    fn mode(&self) -> BotMode {
        self.config.mode
    }

    /// Keeps its line, and forgets the text of answers that the platform asks for no more.
    async fn run(self: Arc<Self>, desk: &Arc<Desk>, stop: &CancellationToken) {
        let streaming = async {
            match self.config.mode {
                BotMode::Stream => stream::run(&self, desk, stop).await,
                BotMode::Webhook => stop.cancelled().await,
            }
        };
        let forgetting = async {
            loop {
                tokio::time::sleep(FORGET_SHOWN).await;
                if let Err(error) = self.store.forget_texts(FORGET_MS).await {
                    self.log.error("what was shown is still kept", &error);
                }
            }
        };
        tokio::select! {
            () = streaming => {}
            () = forgetting => {}
        }
    }
}

#[async_trait]
impl Cards for WeCom {
    fn limit(&self) -> Limit {
        MESSAGE
    }

    fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The same for the same message: one delivered twice, to whichever node, has one answer.
    fn name(&self, to: &Inbound) -> String {
        let hash = Sha256::digest(&to.message_id);
        format!("stream_{}", hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    /// Where the platform asks the row is the card.
    async fn open(&self, _to: &Inbound, card: &str) -> Result<()> {
        match self.mode() {
            BotMode::Stream => self.respond(card, "", Step::Writing, true).await,
            BotMode::Webhook => Ok(()),
        }
    }

    async fn update(&self, card: &str, markdown: &str, step: Step) -> Result<()> {
        if self.mode() == BotMode::Stream {
            return self.respond(card, markdown, step, false).await;
        }
        let done = step != Step::Writing;
        if done && !self.store.shown(card).await?.is_some_and(|shown| self.is_asked_for(&shown)) {
            return Err(Error::invalid("answer_late", "The platform asks for this answer no more."));
        }
        self.store.card_shows(card, markdown, done).await
    }
}

/// What goes into the group on duty: pieces that fit, numbered when there are several; the first one mentions.
fn notes(text: &str, mentioned: Option<&str>) -> Vec<String> {
    let pieces = super::markdown::split(text, NOTE);
    let count = pieces.len();
    let note = |(at, piece): (usize, String)| {
        let called = mentioned.filter(|_| at == 0).map(|user| format!("<@{user}> ")).unwrap_or_default();
        let number = if count > 1 { format!("\n\n({}/{count})", at + 1) } else { String::new() };
        format!("{called}{piece}{number}")
    };
    pieces.into_iter().enumerate().map(note).collect()
}

/// A reply as the platform takes it.
fn stream(id: &str, text: &str, finish: bool) -> Value {
    json!({"msgtype": "stream", "stream": {"id": id, "finish": finish, "content": text}})
}

/// One error for everything that can be wrong with it: which one it was would help a forger.
pub fn forged() -> Error {
    Error::unauthenticated("bad_signature", "The callback is not this bot's. Check its `token` and `encoding_aes_key`.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_said_to_its_end_and_each_message_fits() {
        assert_eq!(notes("短", Some("boss")), ["<@boss> 短"]);
        let text = format!("{}\n\n答复请发给我：`/回复 ab12 内容`", "商家问了一句很长的话。".repeat(400));
        let user = "u".repeat(64);
        let notes = notes(&text, Some(&user));
        assert!(notes.len() > 3 && notes.iter().all(|note| note.len() <= 4_096), "{}", notes.len());
        assert!(notes[0].starts_with("<@u") && notes.iter().skip(1).all(|note| !note.contains("<@")));
        assert!(notes.last().is_some_and(|last| last.contains("/回复 ab12 内容") && last.ends_with(&format!("({0}/{0})", notes.len()))));
        assert_eq!(notes.concat().matches("商家问了一句很长的话。").count(), 400, "nothing is left out");
    }
}
