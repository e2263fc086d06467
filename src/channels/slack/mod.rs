//! Slack: an app by its events, its answers in the thread of the question, changed as they come.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Url};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::client::{self, lost};
use super::log::Log;
use super::store::BotStore;
use super::{Asker, Cards, Channel, Desk, Duty, Inbound, Limit, Pace, Post, Step, any_told, words};
use crate::config::SlackConfig;
use crate::error::{Error, Kind, Result};
use crate::ids::Clock;
use crate::models::Language;
use message::Pressed;

pub mod message;

/// As in `ChatRequest::channel`.
pub const PLATFORM: &str = "slack";
/// The platform takes 12,000 characters of Markdown.
const MESSAGE: Limit = Limit { chars: 11_000, bytes: 40_000 };
/// How often a call that certainly did nothing is tried, and the longest wait that is obeyed.
const TRIES: u32 = 4;
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// An answer before its first word.
const NOTHING_YET: &str = "…";
/// What marks a message as one of our cards, so that it is found when we stopped before we heard its id.
const CARD: &str = "copilot_card";
/// How far the platform's clock may be from ours, in seconds, where a card is looked for by its time.
const CLOCKS: i64 = 120;

/// One bot's side of the platform.
pub struct Slack {
    http: Client,
    base: Url,
    config: SlackConfig,
    clock: Clock,
    store: BotStore,
    pace: Pace,
    log: Log,
}

impl Slack {
    /// As configured; nothing is sent.
    ///
    /// # Errors
    /// `bad_config` when the address cannot be used.
    pub fn new(bot: &str, config: &SlackConfig, clock: Clock, store: BotStore) -> Result<Self> {
        let base = client::base(&config.api_base, &format!("channels.slack.{bot}.api_base"))?;
        let http = client::client(client::is_local(&base))?;
        let (pace, log) = (Pace::new(config.calls_per_second), Log::new(store.bot.as_str(), clock.clone()));
        Ok(Self { http, base, config: config.clone(), clock, store, pace, log })
    }

    /// Checks and reads an event.
    ///
    /// # Errors
    /// `bad_signature`, `stale_callback`, `bad_callback`.
    pub fn read(&self, body: &[u8], timestamp: Option<&str>, signature: Option<&str>) -> Result<message::Read> {
        message::verify(body, timestamp, signature, &self.config.signing_secret, self.clock.now())?;
        message::read(body)
    }

    async fn call(&self, method: &str, body: &Value) -> Result<Value> {
        self.exchange(self.request(method).json(body)).await
    }

    fn request(&self, method: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(method);
        }
        self.http.post(url).bearer_auth(self.config.bot_token.reveal())
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<Value> {
        let answer = request.send().await.map_err(lost)?;
        let status = answer.status().as_u16();
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        let body = client::body(answer).await?;
        judge(status, serde_json::from_slice(&body).unwrap_or_default(), wait)
    }

    /// A message; one that came too fast certainly did nothing and is tried again.
    async fn post(&self, channel: &str, thread: &str, markdown: &str) -> Result<Value> {
        let mut body = json!({"channel": channel, "markdown_text": markdown});
        if !thread.is_empty() {
            body["thread_ts"] = json!(thread);
        }
        for _ in 1..TRIES {
            self.pace.turn().await;
            match self.call("chat.postMessage", &body).await {
                Err(error) if error.kind() == Kind::RateLimited => {
                    self.log.warn("a message is tried again", &error);
                    tokio::time::sleep(error.retry_after().unwrap_or(Duration::from_secs(1)).min(LONGEST_WAIT)).await;
                }
                outcome => return outcome,
            }
        }
        self.pace.turn().await;
        self.call("chat.postMessage", &body).await
    }

    /// Writes by itself, however long that is.
    async fn note(&self, channel: &str, message: &Post) -> Result<()> {
        for piece in message.pieces(MESSAGE) {
            self.post(channel, "", &piece.text).await?;
        }
        Ok(())
    }

    /// A card's channel and the id of its message. One whose id was not kept is looked for where it was opened: in the
    /// minutes around that there are few messages. What the bot may not read is as good as not there.
    async fn found(&self, card: &str) -> Result<Option<(String, String)>> {
        let Some(id) = self.store.platform_card(card).await? else { return Ok(None) };
        let (channel, thread, opened) = match id.splitn(3, '/').collect::<Vec<_>>()[..] {
            [channel, ts] => return Ok(Some((channel.to_owned(), ts.to_owned()))),
            [channel, thread, opened] => (channel, thread, opened.parse::<i64>().unwrap_or_default()),
            _ => return Ok(None),
        };
        self.pace.turn().await;
        let listed = match self.exchange(self.around(channel, thread, opened)).await {
            Err(error) if matches!(error.kind(), Kind::Forbidden | Kind::Invalid) => {
                self.log.warn("a message that a stop left behind cannot be looked for", &error);
                return Ok(None);
            }
            listed => listed?,
        };
        let ours = |message: &&Value| message["metadata"]["event_payload"]["card"] == json!(card);
        let ts = listed["messages"].as_array().and_then(|all| all.iter().find(ours)?["ts"].as_str());
        if let Some(ts) = ts {
            self.store.card_is(card, &format!("{channel}/{ts}")).await?;
        }
        Ok(ts.map(|ts| (channel.to_owned(), ts.to_owned())))
    }

    /// Asks for what was said around a moment. What only reads takes no JSON.
    fn around(&self, channel: &str, thread: &str, at: i64) -> RequestBuilder {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("channel", channel).append_pair("include_all_metadata", "true").append_pair("limit", "200");
        form.append_pair("oldest", &(at - CLOCKS).to_string()).append_pair("latest", &(at + CLOCKS).to_string());
        let method = if thread.is_empty() {
            "conversations.history"
        } else {
            form.append_pair("ts", thread);
            "conversations.replies"
        };
        self.request(method).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.finish())
    }

    /// Tells whoever pressed a button, and nobody else, what became of that: afterwards, as the platform waits for the
    /// button's own answer, which cannot say it.
    pub fn thank(self: &Arc<Self>, desk: &Desk, pressed: Pressed, kept: bool) {
        let slack = Arc::clone(self);
        desk.tasks.spawn(async move {
            let text = if kept { words::thanks } else { words::not_yours };
            let text = format!("{} {}", text(Language::En), text(Language::Zh));
            let Pressed { vote, channel, thread } = pressed;
            let body = json!({"channel": channel, "user": vote.by, "thread_ts": thread, "text": text});
            slack.pace.turn().await;
            if let Err(error) = slack.call("chat.postEphemeral", &body).await {
                slack.log.warn("whoever pressed a button was not told", &error);
            }
        });
    }
}

/// An answer with what its reader may think of it. The platform takes no buttons beside a text alone.
fn with_buttons(card: &str, markdown: &str) -> Value {
    let language = Language::of(markdown);
    let button = |words: &str, action: &str| {
        let text = json!({"type": "plain_text", "text": words});
        json!({"type": "button", "text": text, "action_id": action, "value": card})
    };
    let votes = [button(words::helpful(language), message::LIKE), button(words::unhelpful(language), message::DISLIKE)];
    json!([{"type": "markdown", "text": markdown}, {"type": "actions", "elements": votes}])
}

/// `channel/thread`, as the message named them.
fn place(to: &Inbound) -> (&str, &str) {
    to.reply.request.as_deref().and_then(|place| place.split_once('/')).unwrap_or((to.conversation.as_str(), ""))
}

/// Success is `ok`; everything else is an error, whatever the status.
fn judge(status: u16, body: Value, wait: Option<Duration>) -> Result<Value> {
    let code = body["error"].as_str().unwrap_or_default();
    let said = format!("the platform answered {status} {}", code.chars().filter(|c| !c.is_control()).take(80).collect::<String>());
    match (status, code) {
        (429, _) | (_, "ratelimited" | "rate_limited") => {
            Err(Error::rate_limited("platform_busy", format!("Too many calls: {said}."), wait.unwrap_or(Duration::from_secs(1))))
        }
        (401, _) | (_, "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive") => {
            Err(Error::unauthenticated("platform_unauthorized", format!("The bot's token was refused: {said}.")))
        }
        (200..=299, _) if body["ok"] == true => Ok(body),
        // The platform's own words: some of it may have been done.
        (504, _) | (_, "internal_error" | "fatal_error") => {
            Err(Error::timeout("platform_timeout", format!("The platform does not know whether the call worked: {said}.")))
        }
        (500.., _) | (_, "service_unavailable") => {
            Err(Error::unavailable("platform_error", format!("The platform has a problem: {said}.")))
        }
        (403, _) | (_, "missing_scope" | "not_in_channel" | "is_archived") => {
            Err(Error::forbidden("platform_forbidden", format!("The bot may not write there: {said}.")))
        }
        _ => Err(Error::invalid("platform_refused", format!("A call was refused: {said}."))),
    }
}

#[async_trait]
impl Channel for Slack {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    /// A conversation in a channel is a thread of it.
    fn group_of<'a>(&self, inbound: &'a Inbound) -> &'a str {
        inbound.conversation.split('/').next().unwrap_or_default()
    }

    fn limit(&self) -> Limit {
        MESSAGE
    }

    async fn send(&self, to: &Inbound, message: &Post) -> Result<()> {
        let (channel, thread) = place(to);
        let called = message.mention.as_ref().map(|mention| format!("<@{}> ", mention.id)).unwrap_or_default();
        self.post(channel, thread, &format!("{called}{}", message.text)).await.map(drop)
    }

    async fn alert(&self, duty: &Duty, message: &Post) -> Result<()> {
        let (mut group, mut user) = (None, None);
        if let Some(id) = &duty.group {
            group = Some(self.note(id, message).await);
        }
        if let Some(id) = &duty.user {
            user = Some(self.note(id, message).await);
        }
        any_told(&self.log, [group, user])
    }

    /// An event has no names, but the platform shows one for an id.
    fn name_of(&self, asker: &Asker) -> String {
        format!("<@{}>", asker.id)
    }

    fn cards(&self) -> Option<&dyn Cards> {
        Some(self)
    }

    fn quota(&self) -> Option<&Pace> {
        Some(&self.pace)
    }
}

/// A message that is changed is Slack's card.
#[async_trait]
impl Cards for Slack {
    fn limit(&self) -> Limit {
        MESSAGE
    }

    fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Where and when it is opened is kept first, so that it is found again whatever happens before its id is kept.
    async fn open(&self, to: &Inbound, card: &str) -> Result<()> {
        let (channel, thread) = place(to);
        self.store.card_is(card, &format!("{channel}/{thread}/{}", self.clock.now().0 / 1000)).await?;
        let mut body = json!({"channel": channel, "markdown_text": NOTHING_YET});
        body["metadata"] = json!({"event_type": CARD, "event_payload": {"card": card}});
        if !thread.is_empty() {
            body["thread_ts"] = json!(thread);
        }
        let made = self.call("chat.postMessage", &body).await?;
        let ts = made["ts"].as_str().ok_or_else(|| Error::unavailable("no_card", "The platform gave no id for a message."))?;
        self.store.card_is(card, &format!("{channel}/{ts}")).await
    }

    async fn reopen(&self, to: &Inbound, card: &str) -> Result<()> {
        match self.found(card).await? {
            Some(_) => Ok(()),
            None => {
                self.pace.turn().await;
                self.open(to, card).await
            }
        }
    }

    async fn update(&self, card: &str, markdown: &str, step: Step) -> Result<()> {
        let unknown = || Error::invalid("no_card", "The platform never made this message.");
        let (channel, ts) = self.found(card).await?.ok_or_else(unknown)?;
        let mut body = json!({"channel": channel, "ts": ts});
        match step {
            Step::Writing => body["markdown_text"] = json!(format!("{markdown}{NOTHING_YET}")),
            Step::Done if self.config.buttons => {
                body["text"] = json!(words::title(Language::of(markdown)));
                body["blocks"] = with_buttons(card, markdown);
            }
            Step::Done | Step::Failed => body["markdown_text"] = json!(markdown),
        }
        self.call("chat.update", &body).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ok_is_a_yes() {
        for (status, body, expected) in [
            (200, json!({"ok": true, "ts": "1.1"}), Ok(())),
            (200, json!({"ok": false, "error": "channel_not_found"}), Err("platform_refused")),
            (200, json!({"ok": false, "error": "ratelimited"}), Err("platform_busy")),
            (429, Value::Null, Err("platform_busy")),
            (200, json!({"ok": false, "error": "invalid_auth"}), Err("platform_unauthorized")),
            (200, json!({"ok": false, "error": "missing_scope"}), Err("platform_forbidden")),
            (200, Value::Null, Err("platform_refused")),
            (503, Value::Null, Err("platform_error")),
            (200, json!({"ok": false, "error": "fatal_error"}), Err("platform_timeout")),
            (302, json!({"ok": true}), Err("platform_refused")),
        ] {
            assert_eq!(judge(status, body.clone(), None).map(drop).map_err(|error| error.code()), expected, "{status} {body}");
        }
    }
}
