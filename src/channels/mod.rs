//! Chat platforms: the copilot answers where merchants already talk. A platform is a [`Channel`]: it turns
//! its messages into [`Inbound`]s and shows [`Post`]s; everything between (who asks, commands, the engine,
//! once-only delivery) is the [`Desk`]'s, the same for all. A platform is a folder here and an arm in `door.rs`, with
//! its table in the configuration and its handler in `http/`; ARCHITECTURE.md lists every place.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::config::BotMode;
use crate::error::{Error, Result};
use crate::ids::{Timestamp, random_token};

mod bots;
mod cards;
mod client;
mod commands;
mod desk;
pub mod dingtalk;
mod door;
pub mod feishu;
mod heard;
mod host;
mod human;
pub mod human_store;
pub mod left_store;
mod line;
mod log;
mod markdown;
mod month;
pub mod outgoing;
mod pace;
mod post;
mod pulse;
mod rating;
pub mod slack;
pub mod store;
mod talk;
mod tend;
mod webhook;
pub mod wecom;
mod words;

pub use bots::{BotState, Calls, Health};
pub use desk::{Desk, Taken};
pub use door::{Bot, Channels, ChannelsParts};
pub use human::last_command;
pub use post::{Mention, Post};
pub use pulse::{Problem, Pulse};
pub use rating::Vote;

/// A message to a bot, whatever platform it came from. Stored until it is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inbound {
    /// The platform's id for it: the same one again is the same message.
    pub message_id: String,
    /// The platform's id of the group or the one-to-one chat.
    pub conversation: String,
    /// What the group is called.
    pub title: Option<String>,
    /// Whether others read along.
    pub group: bool,
    /// Who asks.
    pub asker: Asker,
    /// What was said.
    pub content: Content,
    /// Whether it quotes another message.
    #[serde(default)]
    pub quotes: bool,
    /// What that says, where the platform tells.
    #[serde(default)]
    pub quoted: Option<String>,
    /// Where the answer goes.
    pub reply: ReplyTo,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asker {
    /// Stable on the platform.
    pub id: String,
    /// What the platform calls somebody who can be mentioned or written to; outsiders have none.
    pub staff_id: Option<String>,
    /// What people call them.
    pub name: String,
}

/// What was said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Words.
    Text(String),
    /// Something without words: `picture`, `audio`, `video`, `file`, or what we have never heard of.
    Unreadable(String),
}

/// Where an answer goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplyTo {
    /// An address good for this conversation only. It comes from outside: see `webhook.rs`.
    pub url: Option<String>,
    /// Until then.
    pub expires: Option<Timestamp>,
    /// What the platform calls this delivery, where answers go back over the line it came by.
    #[serde(default)]
    pub request: Option<String>,
}

/// Who looks after what the bot cannot answer.
#[derive(Clone, Debug, Default)]
pub struct Duty {
    /// A person.
    pub user: Option<String>,
    /// A group.
    pub group: Option<String>,
}

/// What telling the group and the person on duty comes down to: somebody told is enough.
fn any_told(log: &log::Log, outcomes: [Option<Result<()>>; 2]) -> Result<()> {
    let (mut told, mut failed) = (false, None);
    for outcome in outcomes.into_iter().flatten() {
        match outcome {
            Ok(()) => told = true,
            Err(error) => {
                log.warn("one on duty could not be told", &error);
                failed = Some(error);
            }
        }
    }
    match told {
        true => Ok(()),
        false => Err(failed.unwrap_or_else(|| Error::invalid("no_address", "Nobody is on duty."))),
    }
}

/// A chat platform as one bot sees it.
#[async_trait]
pub trait Channel: Send + Sync {
    /// The platform's name, as in `ChatRequest::channel`.
    fn platform(&self) -> &'static str;

    /// Longest message, so that a post can be split.
    fn limit(&self) -> markdown::Limit;

    /// Shows one message that fits [`Channel::limit`] where the inbound came from.
    async fn send(&self, to: &Inbound, message: &Post) -> Result<()>;

    /// Whether this node can send at all; what it cannot, another node does. A platform that allows one line only
    /// is reached by the node that has it.
    fn can_send(&self) -> bool {
        true
    }

    /// Writes to the group and the person on duty, each whatever became of the other; an error when nobody was reached.
    async fn alert(&self, duty: &Duty, message: &Post) -> Result<()>;

    /// The group that a message is from, as `duty_group` names it.
    fn group_of<'a>(&self, inbound: &'a Inbound) -> &'a str {
        &inbound.conversation
    }

    /// What an asker is called in a message to somebody else, as Markdown.
    fn name_of(&self, asker: &Asker) -> String {
        markdown::plain(&asker.name)
    }

    /// The cards that answers can be streamed into, where the bot has some.
    fn cards(&self) -> Option<&dyn Cards>;

    /// How calls to the platform are shared, where they are.
    fn quota(&self) -> Option<&Pace> {
        None
    }

    /// How its messages come in.
    fn mode(&self) -> BotMode {
        BotMode::Webhook
    }

    /// What it does on its own, until `stop`: keeps its lines open, forgets what it showed.
    async fn run(self: Arc<Self>, _desk: &Arc<Desk>, stop: &CancellationToken) {
        stop.cancelled().await;
    }
}

/// Messages that can be changed after they were sent.
#[async_trait]
pub trait Cards: Send + Sync {
    /// Longest text of a card.
    fn limit(&self) -> markdown::Limit;

    /// How calls to the platform are shared.
    fn pace(&self) -> &pace::Pace;

    /// What the card for an answer is called.
    fn name(&self, _to: &Inbound) -> String {
        random_token("card_", 24)
    }

    /// Shows an empty card under an id of ours. A turn of the pace was taken for the first call of it.
    async fn open(&self, to: &Inbound, card: &str) -> Result<()>;

    /// Goes on with a card of an earlier try, of which nobody knows how far it came. No turn was taken for that.
    async fn reopen(&self, _to: &Inbound, _card: &str) -> Result<()> {
        Ok(())
    }

    /// Replaces its text by `markdown`, the whole of it, never empty. A turn was taken for the first call of it.
    async fn update(&self, card: &str, markdown: &str, step: Step) -> Result<()>;
}

/// What a card shows beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// More is coming.
    Writing,
    /// That is all.
    Done,
    /// It broke off.
    Failed,
}

pub use markdown::Limit;
pub use pace::Pace;
