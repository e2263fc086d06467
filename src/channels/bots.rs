//! The bots of a shop as its admins see them: what each is doing, and a message that proves that words arrive.

use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use super::door::{Channels, Entry};
use super::pulse::{Problem, Vitals};
use super::{Duty, Pace, Post, words};
use crate::config::BotMode;
use crate::error::{Error, Result};
use crate::ids::{TenantId, Timestamp};
use crate::models::Language;

/// A platform that takes longer for a test has failed it.
const PATIENCE: Duration = Duration::from_secs(20);

/// One bot. What came in is counted in the database, the rest is what this server has seen since its start.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct BotState {
    /// `dingtalk`, `feishu`, `slack`, `wecom`.
    pub platform: &'static str,
    /// As the configuration calls it.
    pub name: String,
    /// `webhook`: the platform calls us; `stream`: we keep a line open.
    #[cfg_attr(test, ts(type = "'webhook' | 'stream'"))]
    pub mode: &'static str,
    /// How it is.
    pub state: Health,
    /// When a callback or anything else of the platform came in last.
    #[cfg_attr(test, ts(type = "number | null"))]
    pub seen_ms: Option<Timestamp>,
    /// When a message was dealt with last, within seven days.
    #[cfg_attr(test, ts(type = "number | null"))]
    pub last_message_ms: Option<Timestamp>,
    /// Messages within seven days.
    pub messages_7d: i64,
    /// Why it is failing; when it is not, the last message since the start that was given up or may be lost.
    pub last_error: Option<Problem>,
    /// The last callback that was refused: somebody else's, or a sign of a wrong secret.
    pub refused: Option<Problem>,
    /// Its calls to the platform.
    pub calls: Calls,
    /// Whom a test message reaches; nobody when there is nobody on duty.
    #[cfg_attr(test, ts(type = "Array<'user' | 'group'>"))]
    pub tests_to: Vec<&'static str>,
}

/// How a bot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Health {
    /// Its line stands.
    Connected,
    /// Its line is being opened.
    Connecting,
    /// It has heard of the platform.
    Ready,
    /// It has not heard of the platform yet.
    Waiting,
    /// The last call went wrong.
    Failing,
}

/// A bot's calls to its platform. What is not counted is none.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Calls {
    /// Messages and changes of cards since the server started.
    #[cfg_attr(test, ts(type = "number"))]
    pub since_start: u64,
    /// Most calls a second.
    pub per_second: Option<f64>,
    /// Answers being written into cards now.
    pub open_cards: Option<usize>,
    /// Calls that wait for their turn now.
    pub waiting: Option<usize>,
    /// Calls of this month.
    #[cfg_attr(test, ts(type = "number | null"))]
    pub month_used: Option<u64>,
    /// Most calls a month.
    #[cfg_attr(test, ts(type = "number | null"))]
    pub month_limit: Option<u64>,
}

impl Calls {
    async fn new(vitals: &Vitals, pace: Option<&Pace>) -> Result<Self> {
        let load = pace.map(Pace::load);
        let month = match pace {
            Some(pace) => pace.month().await?,
            None => None,
        };
        let count = |calls: i64| u64::try_from(calls).unwrap_or_default();
        Ok(Self {
            since_start: vitals.calls,
            per_second: load.map(|load| load.per_second),
            open_cards: load.map(|load| load.open),
            waiting: load.map(|load| load.waiting),
            month_used: month.map(|(used, _)| count(used)),
            month_limit: month.map(|(_, most)| count(most)),
        })
    }
}

impl Channels {
    /// The bots of a shop, by platform and name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn bots(&self, tenant: &TenantId) -> Result<Vec<BotState>> {
        let mut states = Vec::new();
        for bot in self.all().filter(|bot| &bot.desk.parts.tenant == tenant) {
            states.push(state(bot).await?);
        }
        Ok(states)
    }

    /// Writes to whoever is on duty for a bot; whom that reaches.
    ///
    /// # Errors
    /// `bot_not_found`, `nobody_on_duty`, `bot_test_failed` with the platform's error.
    pub async fn test(&self, tenant: &TenantId, platform: &str, name: &str) -> Result<Vec<&'static str>> {
        let own = |bot: &&Entry| &bot.desk.parts.tenant == tenant && bot.platform() == platform && bot.name == name;
        let missing =
            || Error::not_found("bot_not_found", "There is no such bot. `[channels.PLATFORM.NAME]` in the configuration makes one.");
        let bot = self.all().find(own).ok_or_else(missing)?;
        let reached = tests_to(bot);
        if reached.is_empty() {
            let message = "A test message has nowhere to go: nobody is on duty for this bot. Put `duty_user` or `duty_group` (WeCom: `duty_webhook`) into its table, or write to the bot and see it answer.";
            return Err(Error::invalid("nobody_on_duty", message));
        }
        let post = Post::new(Language::Zh, words::test(name));
        let desk = &bot.desk;
        let late = |_| Error::timeout("platform_timeout", "The platform did not answer in time; the message may have arrived.");
        // Each by itself: a test that reached only one of them has failed.
        for target in &reached {
            let Duty { user, group } = desk.parts.duty.clone();
            let duty = Duty { user: user.filter(|_| *target == "user"), group: group.filter(|_| *target == "group") };
            let sent = timeout(PATIENCE, desk.parts.channel.alert(&duty, &post)).await.map_err(late).flatten();
            desk.parts.pulse.called(sent).map_err(|error| {
                // Whatever its kind: that the platform refuses the bot is no refusal of whoever asked for the test.
                let message = format!("The platform did not take the message: {}", error.message());
                Error::unavailable("bot_test_failed", message).with_details(error.body())
            })?;
        }
        tracing::info!(bot = desk.parts.bot, "a test message was sent");
        Ok(reached)
    }
}

async fn state(bot: &Entry) -> Result<BotState> {
    let parts = &bot.desk.parts;
    let (last, messages) = parts.store.recent().await?;
    let vitals = parts.pulse.vitals();
    let health = match bot.mode() {
        _ if vitals.is_failing() => Health::Failing,
        BotMode::Stream if vitals.lines > 0 => Health::Connected,
        BotMode::Stream => Health::Connecting,
        BotMode::Webhook if vitals.seen.is_some() || messages > 0 => Health::Ready,
        BotMode::Webhook => Health::Waiting,
    };
    Ok(BotState {
        platform: bot.platform(),
        name: bot.name.clone(),
        mode: match bot.mode() {
            BotMode::Webhook => "webhook",
            BotMode::Stream => "stream",
        },
        state: health,
        seen_ms: vitals.seen,
        last_message_ms: last,
        messages_7d: messages,
        calls: Calls::new(&vitals, parts.channel.quota()).await?,
        last_error: vitals.problem().cloned(),
        refused: vitals.refused,
        tests_to: tests_to(bot),
    })
}

/// WeCom writes into the group of the webhook, where its person is mentioned; without one, over its line to the person.
fn tests_to(bot: &Entry) -> Vec<&'static str> {
    let duty = &bot.desk.parts.duty;
    let directly = bot.platform() != super::wecom::PLATFORM || (bot.mode() == BotMode::Stream && duty.group.is_none());
    let user = duty.user.is_some() && directly;
    [user.then_some("user"), duty.group.is_some().then_some("group")].into_iter().flatten().collect()
}
