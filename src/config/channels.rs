//! `[channels]`: bots on chat platforms.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Secret;
use crate::error::{Error, Result};

/// `[channels]`: bots on chat platforms, by name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct ChannelsConfig {
    #[serde(default)]
    pub dingtalk: BTreeMap<String, DingTalkConfig>,
    #[serde(default)]
    pub feishu: BTreeMap<String, FeishuConfig>,
    #[serde(default)]
    pub wecom: BTreeMap<String, WeComConfig>,
    #[serde(default)]
    pub slack: BTreeMap<String, SlackConfig>,
}

/// What the tables of all platforms have.
pub trait BotTable {
    /// The shop that the bot speaks for.
    fn tenant(&self) -> &str;

    /// Whose memory a group has.
    fn memory(&self) -> BotMemory;

    /// The person and the group on duty.
    fn duty(&self) -> (Option<String>, Option<String>);
}

macro_rules! bot_table {
    ($table:ty, |$own:ident| $group:expr) => {
        impl BotTable for $table {
            fn tenant(&self) -> &str {
                &self.tenant
            }

            fn memory(&self) -> BotMemory {
                self.memory
            }

            fn duty(&self) -> (Option<String>, Option<String>) {
                let $own = self;
                (self.duty_user.clone(), $group)
            }
        }
    };
}

bot_table!(DingTalkConfig, |table| table.duty_group.clone());
bot_table!(FeishuConfig, |table| table.duty_group.clone());
bot_table!(SlackConfig, |table| table.duty_group.clone());
// The group has no name that a message could come from: it is written to by its webhook.
bot_table!(WeComConfig, |table| table.duty_webhook.as_ref().map(|_| "duty_webhook".to_owned()));

/// `[channels.slack.<bot>]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct SlackConfig {
    #[serde(default = "super::demo")]
    pub tenant: String,
    pub bot_token: Secret,
    pub signing_secret: Secret,
    #[serde(default)]
    pub memory: BotMemory,
    #[serde(default)]
    pub duty_user: Option<String>,
    #[serde(default)]
    pub duty_group: Option<String>,
    #[serde(default = "yes")]
    pub buttons: bool,
    #[serde(default = "slack_calls")]
    pub calls_per_second: u32,
    #[serde(default = "slack_api")]
    pub api_base: String,
}

/// `[channels.wecom.<bot>]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct WeComConfig {
    #[serde(default = "super::demo")]
    pub tenant: String,
    #[serde(default)]
    pub mode: BotMode,
    #[serde(default)]
    pub token: Option<Secret>,
    #[serde(default)]
    pub encoding_aes_key: Option<Secret>,
    #[serde(default)]
    pub bot_id: Option<String>,
    #[serde(default)]
    pub secret: Option<Secret>,
    #[serde(default = "wecom_line")]
    pub ws_url: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub memory: BotMemory,
    #[serde(default)]
    pub duty_webhook: Option<Secret>,
    #[serde(default)]
    pub duty_user: Option<String>,
    #[serde(default = "wecom_hosts")]
    pub response_hosts: Vec<String>,
}

/// Lines that one DingTalk bot of one server may keep open.
const MOST_CONNECTIONS: u32 = 8;

/// `[channels.feishu.<bot>]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct FeishuConfig {
    #[serde(default = "super::demo")]
    pub tenant: String,
    pub app_id: String,
    pub app_secret: Secret,
    pub verification_token: Secret,
    #[serde(default)]
    pub encrypt_key: Option<Secret>,
    #[serde(default)]
    pub memory: BotMemory,
    #[serde(default)]
    pub duty_user: Option<String>,
    #[serde(default)]
    pub duty_group: Option<String>,
    #[serde(default = "yes")]
    pub cards: bool,
    #[serde(default = "feishu_calls")]
    pub calls_per_second: u32,
    #[serde(default)]
    pub calls_per_month: Option<u32>,
    #[serde(default = "feishu_api")]
    pub api_base: String,
}

/// `[channels.dingtalk.<bot>]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct DingTalkConfig {
    #[serde(default = "super::demo")]
    pub tenant: String,
    #[serde(default)]
    pub mode: BotMode,
    pub client_id: String,
    pub client_secret: Secret,
    #[serde(default)]
    pub robot_code: Option<String>,
    #[serde(default)]
    pub card_template_id: Option<String>,
    #[serde(default = "content")]
    pub card_key: String,
    #[serde(default)]
    pub card_route_key: Option<String>,
    #[serde(default)]
    pub card_secret: Option<Secret>,
    #[serde(default)]
    pub memory: BotMemory,
    #[serde(default)]
    pub duty_user: Option<String>,
    #[serde(default)]
    pub duty_group: Option<String>,
    #[serde(default = "dingtalk_calls")]
    pub calls_per_second: u32,
    #[serde(default)]
    pub calls_per_month: Option<u32>,
    #[serde(default = "one")]
    pub connections: u32,
    #[serde(default = "dingtalk_api")]
    pub api_base: String,
    #[serde(default = "dingtalk_webhooks")]
    pub session_webhook_hosts: Vec<String>,
}

/// How a bot's messages come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BotMode {
    /// The platform calls `/webhooks/…`.
    #[default]
    Webhook,
    /// We call the platform and keep the line open.
    Stream,
}

/// Whose earlier questions count in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BotMemory {
    /// Each asker's own.
    #[default]
    Asker,
    /// Everybody's together.
    Group,
}

fn content() -> String {
    "content".to_owned()
}

/// Below the 20 a second that DingTalk's standard edition allows for an app and API.
fn one() -> u32 {
    1
}

fn dingtalk_calls() -> u32 {
    15
}

fn dingtalk_api() -> String {
    "https://api.dingtalk.com".to_owned()
}

/// Below the 50 a second that Feishu allows for an app.
fn feishu_calls() -> u32 {
    40
}

fn feishu_api() -> String {
    "https://open.feishu.cn".to_owned()
}

/// Slack allows one message a second in a channel, and fifty changes a minute.
fn slack_calls() -> u32 {
    1
}

fn slack_api() -> String {
    "https://slack.com/api".to_owned()
}

fn wecom_line() -> String {
    "wss://openws.work.weixin.qq.com".to_owned()
}

fn wecom_hosts() -> Vec<String> {
    vec!["qyapi.weixin.qq.com".to_owned()]
}

fn dingtalk_webhooks() -> Vec<String> {
    ["oapi.dingtalk.com", "api.dingtalk.com"].map(str::to_owned).to_vec()
}

fn yes() -> bool {
    true
}

impl ChannelsConfig {
    /// What cannot be meant is said at the start.
    ///
    /// # Errors
    /// `bad_config`.
    pub fn validate(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::invalid("bad_config", message));
        for name in self.dingtalk.keys().chain(self.feishu.keys()).chain(self.wecom.keys()).chain(self.slack.keys()) {
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
            if name.is_empty() || name.len() > 63 || !name.chars().all(legal) {
                return wrong(format!("`channels`, bot `{name}`: a bot's name has lower-case letters, digits, - and _."));
            }
        }
        for (name, bot) in &self.feishu {
            let keys = [&bot.app_secret, &bot.verification_token].into_iter().chain(&bot.encrypt_key);
            if bot.app_id.is_empty() || keys.into_iter().any(Secret::is_empty) || bot.calls_per_second == 0 {
                return wrong(format!(
                    "`channels.feishu.{name}` needs `app_id`, `app_secret`, `verification_token` and `calls_per_second` of at least 1; `encrypt_key` may be left out, but not empty."
                ));
            }
        }
        for (name, bot) in &self.slack {
            if bot.bot_token.is_empty() || bot.signing_secret.is_empty() || bot.calls_per_second == 0 {
                return wrong(format!("`channels.slack.{name}` needs `bot_token`, `signing_secret` and `calls_per_second` of at least 1."));
            }
        }
        for (name, bot) in &self.wecom {
            let given = |secret: &Option<Secret>| secret.as_ref().is_some_and(|secret| !secret.is_empty());
            let complete = match bot.mode {
                BotMode::Webhook => given(&bot.token) && given(&bot.encoding_aes_key),
                BotMode::Stream => given(&bot.secret) && bot.bot_id.as_ref().is_some_and(|id| !id.is_empty()),
            };
            if !complete || bot.name.as_ref().is_some_and(String::is_empty) {
                return wrong(format!(
                    "`channels.wecom.{name}` needs `token` and `encoding_aes_key`, or with `mode = \"stream\"` `bot_id` and `secret`; `name` may be left out, but not empty."
                ));
            }
            if bot.mode == BotMode::Webhook && bot.duty_user.is_some() && bot.duty_webhook.is_none() {
                return wrong(format!(
                    "`channels.wecom.{name}` has `duty_user`, who is told in the group of `duty_webhook`: set that too."
                ));
            }
        }
        for (name, bot) in &self.dingtalk {
            if !(1..=MOST_CONNECTIONS).contains(&bot.connections) {
                return wrong(format!("`channels.dingtalk.{name}.connections` must be 1 to {MOST_CONNECTIONS}."));
            }
            if bot.client_id.is_empty() || bot.client_secret.is_empty() || bot.calls_per_second == 0 {
                return wrong(format!(
                    "`channels.dingtalk.{name}` needs `client_id`, `client_secret` and `calls_per_second` of at least 1."
                ));
            }
            if bot.card_route_key.is_some() != bot.card_secret.as_ref().is_some_and(|secret| !secret.is_empty()) {
                return wrong(format!("`channels.dingtalk.{name}`: `card_route_key` and `card_secret` need each other."));
            }
        }
        Ok(())
    }
}
