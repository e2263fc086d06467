//! The room's door: builds the configured bots, starts what runs on its own, and stops it all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::desk::DeskParts;
use super::dingtalk::{self, DingTalk};
use super::feishu::{self, Feishu};
use super::slack::{self, Slack};
use super::store::BotStore;
use super::wecom::WeCom;
use super::{Channel, Desk, Duty, Pulse, wecom};
use crate::chat::ChatEngine;
use crate::config::{AnswersConfig, BotMode, ChannelsConfig};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::ids::{Clock, TenantId};
use crate::memory::Memory;
use crate::models::Models;
use crate::tenants::Tenants;

/// How often what WeCom showed is forgotten.
const FORGET_SHOWN: Duration = Duration::from_secs(30);

/// What the room is built from.
#[expect(missing_docs, reason = "each field is a room of that name")]
pub struct ChannelsParts<'a> {
    pub config: &'a ChannelsConfig,
    pub answers: &'a AnswersConfig,
    pub db: &'a Db,
    pub clock: &'a Clock,
    pub tenants: &'a Tenants,
    pub engine: &'a ChatEngine,
    pub models: &'a Arc<Models>,
    pub memory: &'a Memory,
}

/// Every bot. Cheap to clone.
#[derive(Clone)]
pub struct Channels(Arc<Inner>);

struct Inner {
    dingtalk: BTreeMap<String, DingTalkBot>,
    feishu: BTreeMap<String, FeishuBot>,
    wecom: BTreeMap<String, WeComBot>,
    slack: BTreeMap<String, SlackBot>,
    tenants: Tenants,
    stop: CancellationToken,
    loops: TaskTracker,
}

/// A DingTalk bot with its desk.
#[derive(Clone)]
pub struct DingTalkBot {
    /// What happens to its messages.
    pub desk: Arc<Desk>,
    /// Its platform.
    pub channel: Arc<DingTalk>,
    tenant: TenantId,
}

/// A Feishu bot with its desk.
#[derive(Clone)]
pub struct FeishuBot {
    /// What happens to its messages.
    pub desk: Arc<Desk>,
    /// Its platform.
    pub channel: Arc<Feishu>,
    tenant: TenantId,
}

/// A WeCom bot with its desk.
#[derive(Clone)]
pub struct WeComBot {
    /// What happens to its messages.
    pub desk: Arc<Desk>,
    /// Its platform.
    pub channel: Arc<WeCom>,
    tenant: TenantId,
}

/// A Slack bot with its desk.
#[derive(Clone)]
pub struct SlackBot {
    /// What happens to its messages.
    pub desk: Arc<Desk>,
    /// Its platform.
    pub channel: Arc<Slack>,
    tenant: TenantId,
}

/// Any bot.
pub struct Bot<'a> {
    /// Its platform's name.
    pub platform: &'static str,
    /// Its own.
    pub name: &'a str,
    /// How its messages come in.
    pub mode: BotMode,
    /// What happens to them.
    pub desk: &'a Arc<Desk>,
}

impl Channels {
    /// Builds the bots; nothing is sent.
    ///
    /// # Errors
    /// `bad_config` when a bot's addresses cannot be used.
    pub fn build(parts: &ChannelsParts<'_>) -> Result<Self> {
        let mut dingtalk = BTreeMap::new();
        for (name, config) in &parts.config.dingtalk {
            let tenant = TenantId::parse(&config.tenant)?;
            let store = store(parts, &tenant, format!("{}/{name}", dingtalk::PLATFORM));
            let channel = Arc::new(DingTalk::new(name, config, parts.clock.clone(), store)?);
            let duty = Duty { user: config.duty_user.clone(), group: config.duty_group.clone() };
            let desk = desk(parts, name, &tenant, config.memory, duty, Arc::clone(&channel) as Arc<dyn Channel>);
            dingtalk.insert(name.clone(), DingTalkBot { desk, channel, tenant });
        }
        let mut feishu = BTreeMap::new();
        for (name, config) in &parts.config.feishu {
            let tenant = TenantId::parse(&config.tenant)?;
            let store = store(parts, &tenant, format!("{}/{name}", feishu::PLATFORM));
            let channel = Arc::new(Feishu::new(name, config, parts.clock.clone(), store)?);
            let duty = Duty { user: config.duty_user.clone(), group: config.duty_group.clone() };
            let desk = desk(parts, name, &tenant, config.memory, duty, Arc::clone(&channel) as Arc<dyn Channel>);
            feishu.insert(name.clone(), FeishuBot { desk, channel, tenant });
        }
        let mut wecom_bots = BTreeMap::new();
        for (name, config) in &parts.config.wecom {
            let tenant = TenantId::parse(&config.tenant)?;
            let store = store(parts, &tenant, format!("{}/{name}", wecom::PLATFORM));
            let channel = Arc::new(WeCom::new(name, config, parts.clock.clone(), store)?);
            let duty = Duty { user: config.duty_user.clone(), group: config.duty_webhook.as_ref().map(|_| name.clone()) };
            let desk = desk(parts, name, &tenant, config.memory, duty, Arc::clone(&channel) as Arc<dyn Channel>);
            wecom_bots.insert(name.clone(), WeComBot { desk, channel, tenant });
        }
        let mut slack_bots = BTreeMap::new();
        for (name, config) in &parts.config.slack {
            let tenant = TenantId::parse(&config.tenant)?;
            let store = store(parts, &tenant, format!("{}/{name}", slack::PLATFORM));
            let channel = Arc::new(Slack::new(name, config, parts.clock.clone(), store)?);
            let duty = Duty { user: config.duty_user.clone(), group: config.duty_group.clone() };
            let desk = desk(parts, name, &tenant, config.memory, duty, Arc::clone(&channel) as Arc<dyn Channel>);
            slack_bots.insert(name.clone(), SlackBot { desk, channel, tenant });
        }
        let (stop, loops) = (CancellationToken::new(), TaskTracker::new());
        Ok(Self(Arc::new(Inner { dingtalk, feishu, wecom: wecom_bots, slack: slack_bots, tenants: parts.tenants.clone(), stop, loops })))
    }

    /// A DingTalk bot by the name in its address.
    ///
    /// # Errors
    /// `bot_not_found`.
    pub fn dingtalk(&self, name: &str) -> Result<&DingTalkBot> {
        let missing =
            || Error::not_found("bot_not_found", "There is no such bot. `[channels.dingtalk.NAME]` in the configuration makes one.");
        self.0.dingtalk.get(name).ok_or_else(missing)
    }

    /// A Feishu bot by the name in its address.
    ///
    /// # Errors
    /// `bot_not_found`.
    pub fn feishu(&self, name: &str) -> Result<&FeishuBot> {
        let missing =
            || Error::not_found("bot_not_found", "There is no such bot. `[channels.feishu.NAME]` in the configuration makes one.");
        self.0.feishu.get(name).ok_or_else(missing)
    }

    /// A WeCom bot by the name in its address.
    ///
    /// # Errors
    /// `bot_not_found`.
    pub fn wecom(&self, name: &str) -> Result<&WeComBot> {
        let missing = || Error::not_found("bot_not_found", "There is no such bot. `[channels.wecom.NAME]` in the configuration makes one.");
        self.0.wecom.get(name).ok_or_else(missing)
    }

    /// A Slack bot by the name in its address.
    ///
    /// # Errors
    /// `bot_not_found`.
    pub fn slack(&self, name: &str) -> Result<&SlackBot> {
        let missing = || Error::not_found("bot_not_found", "There is no such bot. `[channels.slack.NAME]` in the configuration makes one.");
        self.0.slack.get(name).ok_or_else(missing)
    }

    /// Every bot, by platform and name.
    pub(super) fn all(&self) -> impl Iterator<Item = Bot<'_>> {
        let room = &*self.0;
        let dingtalk = room.dingtalk.iter().map(|(name, bot)| (name, bot.channel.mode(), &bot.desk));
        let feishu = room.feishu.iter().map(|(name, bot)| (name, BotMode::Webhook, &bot.desk));
        let wecom = room.wecom.iter().map(|(name, bot)| (name, bot.channel.mode(), &bot.desk));
        let slack = room.slack.iter().map(|(name, bot)| (name, BotMode::Webhook, &bot.desk));
        let all = dingtalk.chain(feishu).chain(wecom).chain(slack);
        all.map(|(name, mode, desk)| Bot { platform: desk.parts.channel.platform(), name, mode, desk })
    }

    /// Starts what bots do on their own: open streams, answer what a crash left, end hanging cards.
    pub fn start(&self) {
        for (name, bot) in &self.0.dingtalk {
            let (room, name, bot) = (Arc::clone(&self.0), name.clone(), bot.clone());
            self.0.loops.spawn(async move { run(&room, &name, bot).await });
        }
        for (name, bot) in &self.0.feishu {
            let (room, name, bot) = (Arc::clone(&self.0), name.clone(), bot.clone());
            self.0.loops.spawn(async move { look_after(&room, &name, &bot.tenant, &bot.desk).await });
        }
        for (name, bot) in &self.0.slack {
            let (room, name, bot) = (Arc::clone(&self.0), name.clone(), bot.clone());
            self.0.loops.spawn(async move { look_after(&room, &name, &bot.tenant, &bot.desk).await });
        }
        for (name, bot) in &self.0.wecom {
            let (room, name, bot) = (Arc::clone(&self.0), name.clone(), bot.clone());
            self.0.loops.spawn(async move { keep(&room, &name, bot).await });
        }
    }

    /// Takes no more messages.
    pub fn close(&self) {
        self.0.stop.cancel();
        self.0.loops.close();
        self.0.desks().for_each(|desk| desk.close());
    }

    /// Waits until what was taken is answered.
    pub async fn drained(&self) {
        self.0.loops.wait().await;
        for desk in self.0.desks() {
            desk.drained().await;
        }
    }
}

impl Inner {
    fn desks(&self) -> impl Iterator<Item = &Arc<Desk>> {
        let dingtalk = self.dingtalk.values().map(|bot| &bot.desk);
        dingtalk
            .chain(self.feishu.values().map(|bot| &bot.desk))
            .chain(self.wecom.values().map(|bot| &bot.desk))
            .chain(self.slack.values().map(|bot| &bot.desk))
    }
}

fn desk(
    parts: &ChannelsParts<'_>,
    name: &str,
    tenant: &TenantId,
    memory: crate::config::BotMemory,
    duty: Duty,
    channel: Arc<dyn Channel>,
) -> Arc<Desk> {
    let bot = format!("{}/{name}", channel.platform());
    Desk::new(DeskParts {
        store: store(parts, tenant, bot.clone()),
        bot,
        tenant: tenant.clone(),
        memory,
        duty,
        channel,
        engine: parts.engine.clone(),
        models: Arc::clone(parts.models),
        turns: parts.memory.clone(),
        mark: parts.answers.ai_mark(tenant.as_str()).clone(),
        pulse: Arc::new(Pulse::new(parts.clock.clone())),
    })
}

fn store(parts: &ChannelsParts<'_>, tenant: &TenantId, bot: String) -> BotStore {
    BotStore::new(parts.db.clone(), parts.clock.clone(), tenant.clone(), bot)
}

/// Whether the bot's shop is there.
async fn is_there(room: &Inner, name: &str, tenant: &TenantId) -> bool {
    let found = room.tenants.get(tenant).await;
    if let Err(error) = &found {
        tracing::error!(bot = name, code = error.code(), "this bot's messages cannot be answered: {error}");
    }
    found.is_ok()
}

async fn run(room: &Inner, name: &str, bot: DingTalkBot) {
    if !is_there(room, name, &bot.tenant).await {
        return;
    }
    let streaming = async {
        match bot.channel.mode() {
            BotMode::Stream => {
                // Each is opened again by itself; the platform gives a message to one of them.
                let lines = (0..bot.channel.connections()).map(|_| dingtalk::stream::run(&bot.channel, &bot.desk, &room.stop));
                join_all(lines).await;
            }
            BotMode::Webhook => room.stop.cancelled().await,
        }
    };
    tokio::select! {
        () = streaming => {}
        () = bot.desk.tend() => {}
    }
}

/// What a bot does whose messages are delivered: looks after what is left.
async fn look_after(room: &Inner, name: &str, tenant: &TenantId, desk: &Arc<Desk>) {
    if !is_there(room, name, tenant).await {
        return;
    }
    tokio::select! {
        () = room.stop.cancelled() => {}
        () = desk.tend() => {}
    }
}

/// What a WeCom bot does on its own: keeps its line, by which also what a crash left is answered, and forgets
/// what was shown.
async fn keep(room: &Inner, name: &str, bot: WeComBot) {
    if !is_there(room, name, &bot.tenant).await {
        return;
    }
    let streaming = async {
        match bot.channel.mode() {
            BotMode::Stream => wecom::stream::run(&bot.channel, &bot.desk, &room.stop).await,
            BotMode::Webhook => room.stop.cancelled().await,
        }
    };
    let forgetting = async {
        loop {
            tokio::time::sleep(FORGET_SHOWN).await;
            tell(name, bot.channel.forget_shown().await);
        }
    };
    tokio::select! {
        () = streaming => {}
        () = bot.desk.tend() => {}
        () = forgetting => {}
    }
}

fn tell(bot: &str, outcome: Result<()>) {
    if let Err(error) = outcome {
        tracing::error!(bot, code = error.code(), causes = error.causes(), "{error}");
    }
}
