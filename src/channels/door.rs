//! The room's door: builds the configured bots, starts what runs on its own, and stops it all. Each platform has one
//! arm here: a field, a line of `build` and its look-up.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::desk::DeskParts;
use super::dingtalk::DingTalk;
use super::feishu::Feishu;
use super::log::Log;
use super::slack::Slack;
use super::store::BotStore;
use super::wecom::WeCom;
use super::{Channel, Desk, Duty, Pulse, dingtalk, feishu, slack, wecom};
use crate::chat::ChatEngine;
use crate::config::{AnswersConfig, BotMode, BotTable, ChannelsConfig};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::ids::{Clock, TenantId};
use crate::memory::Memory;
use crate::models::Models;
use crate::tenants::Tenants;

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
    dingtalk: Bots<DingTalk>,
    feishu: Bots<Feishu>,
    wecom: Bots<WeCom>,
    slack: Bots<Slack>,
    /// All of them, by platform and name.
    all: Vec<Entry>,
    /// Calls of bots that there are none of.
    strangers: Log,
    tenants: Tenants,
    stop: CancellationToken,
    loops: TaskTracker,
}

/// The bots of a platform, by the name in their address.
type Bots<C> = BTreeMap<String, Bot<C>>;

/// A bot.
pub struct Bot<C> {
    /// What happens to its messages.
    pub desk: Arc<Desk>,
    /// Its platform.
    pub channel: Arc<C>,
}

/// A bot, whatever its platform.
#[derive(Clone)]
pub struct Entry {
    /// As the configuration calls it.
    pub name: String,
    /// What happens to its messages.
    pub desk: Arc<Desk>,
}

impl Entry {
    /// Its platform's name.
    pub fn platform(&self) -> &'static str {
        self.desk.parts.channel.platform()
    }

    /// How its messages come in.
    pub fn mode(&self) -> BotMode {
        self.desk.parts.channel.mode()
    }

    /// What it does until `stop`: what its platform wants, by which also what a crash left is answered, and that.
    async fn run(&self, tenants: &Tenants, stop: &CancellationToken) {
        let parts = &self.desk.parts;
        if let Err(error) = tenants.get(&parts.tenant).await {
            tracing::error!(bot = parts.bot, code = error.code(), "this bot's messages cannot be answered: {error}");
            return;
        }
        tokio::select! {
            () = Arc::clone(&parts.channel).run(&self.desk, stop) => {}
            () = self.desk.tend() => {}
        }
    }
}

impl Channels {
    /// Builds the bots; nothing is sent.
    ///
    /// # Errors
    /// `bad_config` when a bot's addresses cannot be used.
    pub fn build(parts: &ChannelsParts<'_>) -> Result<Self> {
        let (config, mut all) = (parts.config, Vec::new());
        Ok(Self(Arc::new(Inner {
            dingtalk: bots(parts, dingtalk::PLATFORM, &config.dingtalk, DingTalk::new, &mut all)?,
            feishu: bots(parts, feishu::PLATFORM, &config.feishu, Feishu::new, &mut all)?,
            wecom: bots(parts, wecom::PLATFORM, &config.wecom, WeCom::new, &mut all)?,
            slack: bots(parts, slack::PLATFORM, &config.slack, Slack::new, &mut all)?,
            all,
            strangers: Log::new("none", parts.clock.clone()),
            tenants: parts.tenants.clone(),
            stop: CancellationToken::new(),
            loops: TaskTracker::new(),
        })))
    }

    /// A DingTalk bot by the name in its address.
    ///
    /// # Errors
    /// `bot_not_found`, logged.
    pub fn dingtalk(&self, name: &str) -> Result<&Bot<DingTalk>> {
        self.0.find(dingtalk::PLATFORM, &self.0.dingtalk, name)
    }

    /// A Feishu bot by the name in its address.
    ///
    /// # Errors
    /// `bot_not_found`, logged.
    pub fn feishu(&self, name: &str) -> Result<&Bot<Feishu>> {
        self.0.find(feishu::PLATFORM, &self.0.feishu, name)
    }

    /// A WeCom bot by the name in its address.
    ///
    /// # Errors
    /// `bot_not_found`, logged.
    pub fn wecom(&self, name: &str) -> Result<&Bot<WeCom>> {
        self.0.find(wecom::PLATFORM, &self.0.wecom, name)
    }

    /// A Slack bot by the name in its address.
    ///
    /// # Errors
    /// `bot_not_found`, logged.
    pub fn slack(&self, name: &str) -> Result<&Bot<Slack>> {
        self.0.find(slack::PLATFORM, &self.0.slack, name)
    }

    /// Every bot, by platform and name.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.0.all.iter()
    }

    /// Starts what bots do on their own: open streams, answer what a crash left, end hanging cards.
    pub fn start(&self) {
        for bot in &self.0.all {
            let (room, bot) = (Arc::clone(&self.0), bot.clone());
            self.0.loops.spawn(async move { bot.run(&room.tenants, &room.stop).await });
        }
    }

    /// Takes no more messages.
    pub fn close(&self) {
        self.0.stop.cancel();
        self.0.loops.close();
        self.0.all.iter().for_each(|bot| bot.desk.close());
    }

    /// Waits until what was taken is answered.
    pub async fn drained(&self) {
        self.0.loops.wait().await;
        for bot in &self.0.all {
            bot.desk.drained().await;
        }
    }
}

impl Inner {
    fn find<'a, C>(&self, platform: &'static str, bots: &'a Bots<C>, name: &str) -> Result<&'a Bot<C>> {
        bots.get(name).ok_or_else(|| {
            self.strangers.unknown(platform, name);
            let message = format!("There is no such bot. `[channels.{platform}.NAME]` in the configuration makes one.");
            Error::not_found("bot_not_found", message)
        })
    }
}

/// The bots of a platform; each is added to `all` as well.
fn bots<C: Channel + 'static, T: BotTable>(
    parts: &ChannelsParts<'_>,
    platform: &str,
    tables: &BTreeMap<String, T>,
    new: impl Fn(&str, &T, Clock, BotStore) -> Result<C>,
    all: &mut Vec<Entry>,
) -> Result<Bots<C>> {
    let mut bots = Bots::new();
    for (name, table) in tables {
        let (tenant, bot) = (TenantId::parse(table.tenant())?, format!("{platform}/{name}"));
        let store = BotStore::new(parts.db.clone(), parts.clock.clone(), tenant.clone(), bot.clone());
        let channel = Arc::new(new(name, table, parts.clock.clone(), store.clone())?);
        let (user, group) = table.duty();
        let desk = Desk::new(DeskParts {
            pulse: Arc::new(Pulse::new(&bot, parts.clock.clone())),
            mark: parts.answers.ai_mark(tenant.as_str()).clone(),
            bot,
            tenant,
            memory: table.memory(),
            duty: Duty { user, group },
            channel: Arc::clone(&channel) as Arc<dyn Channel>,
            store,
            engine: parts.engine.clone(),
            models: Arc::clone(parts.models),
            turns: parts.memory.clone(),
        });
        all.push(Entry { name: name.clone(), desk: Arc::clone(&desk) });
        bots.insert(name.clone(), Bot { desk, channel });
    }
    Ok(bots)
}
