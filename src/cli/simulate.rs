//! `simulate dingtalk`: what a merchant would see in the group, with no account: a local platform signs and
//! delivers the message, a bot of its own answers from the knowledge of the data directory.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{DONE, PROBLEM, print};
use crate::app::{self, App, ServerLock};
use crate::channels::last_command;
use crate::config::{BotMemory, BotMode, ChannelsConfig, Config, DingTalkConfig, Secret};
use crate::error::{Error, Result};
use crate::http;
use crate::http::local_dingtalk::{LocalDingTalk, Shown};
use crate::ids::random_token;

/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a bot that was told to leave may take before it is hung up on.
const GRACE: Duration = Duration::from_secs(8);
const WHO: &str = "xiaowang";

/// `simulate …`
#[derive(Debug, Subcommand)]
pub enum Simulate {
    /// A message to a DingTalk bot, on a local platform
    Dingtalk(DingTalk),
    /// The local platform alone, for a bot of yours: prints where it is, and what the bot does with a message
    Platform(Platform),
}

/// `simulate platform …`
#[derive(Debug, Args)]
pub struct Platform {
    /// What a merchant writes as soon as the bot has opened a stream
    #[arg(long, default_value = "保证金要交多少？")]
    text: String,
}

/// `simulate dingtalk …`
#[derive(Debug, Args)]
pub struct DingTalk {
    /// What the merchant writes
    #[arg(long)]
    text: String,
    /// In a group, mentioning the bot; otherwise one to one
    #[arg(long)]
    group: bool,
    /// Over the stream instead of the HTTP callback
    #[arg(long)]
    stream: bool,
    /// Stream the answer into a card, as a bot with `card_template_id` does
    #[arg(long)]
    card: bool,
    /// Then plays whoever is on duty: what they reply to the call that `/human` made
    #[arg(long, value_name = "TEXT")]
    reply: Option<String>,
    /// A bot of the configuration; otherwise the only one, or one that is made up
    #[arg(long, value_name = "BOT")]
    bot: Option<String>,
}

impl Simulate {
    /// Runs it.
    pub async fn run(self, config: Config, tenant: &str, json: bool) -> Result<u8> {
        match self {
            Self::Dingtalk(what) => what.run(config, tenant, json).await,
            Self::Platform(what) => what.run().await,
        }
    }
}

impl Platform {
    /// One line of JSON for where it is, one for what came of it: a message, a ping, a disconnect and,
    /// over the next line, a second message.
    async fn run(self) -> Result<u8> {
        let (id, secret) = ("dingsimulated", random_token("", 40));
        let platform = LocalDingTalk::start(id, &Secret::new(secret.as_str())).await?;
        print::json(&json!({"api_base": platform.base(), "client_id": id, "client_secret": secret}));
        platform.lines(1, PATIENCE).await?;
        let message = |text: &str| platform.message("cidSimulatedGroup", true, WHO, text);
        let first = platform.push(&message(&self.text), PATIENCE).await?;
        platform.until(PATIENCE, |shown| shown.iter().any(Shown::is_final)).await?;
        let ping = platform.frame("SYSTEM", "ping", &json!({"opaque": "1"})).await?;
        let mut acks = vec![("message", first), ("ping", platform.acknowledged(&ping, PATIENCE).await?)];
        let leave = platform.frame("SYSTEM", "disconnect", &json!({"reason": "simulated"})).await?;
        match platform.acknowledged(&leave, GRACE).await {
            Ok(ack) => acks.push(("disconnect", ack)),
            // The Node SDK says nothing and waits until the platform hangs up.
            Err(_) => platform.pull_the_plug().await?,
        }
        platform.lines(2, PATIENCE).await?;
        acks.push(("message", platform.push(&message(&self.text), PATIENCE).await?));
        platform.until(PATIENCE, |shown| shown.iter().filter(|one| one.is_final()).count() > 1).await?;
        print::json(&json!({"acknowledged": acks, "shown": platform.shown()}));
        Ok(DONE)
    }
}

/// What came of it.
struct Told {
    /// What was sent, in words.
    sent: String,
    acknowledged: Duration,
    answer: Value,
    answered: Duration,
    /// What stood in the chats by then.
    shown: usize,
    reply: Option<Reply>,
}

/// What somebody on duty said to the bot.
struct Reply {
    who: String,
    place: String,
    group: bool,
    text: String,
}

impl DingTalk {
    async fn run(self, mut config: Config, tenant: &str, json: bool) -> Result<u8> {
        let (name, mut bot) = self.bot(&config, tenant)?;
        let duty = (bot.duty_user.clone(), bot.duty_group.clone());
        let platform = LocalDingTalk::start(&bot.client_id, &bot.client_secret).await?;
        bot.api_base = platform.base();
        bot.session_webhook_hosts = vec!["127.0.0.1".to_owned()];
        bot.mode = if self.stream { BotMode::Stream } else { BotMode::Webhook };
        // Rows of its own: what a running server is answering stays the server's.
        let name = format!("simulate-{name}");
        config.channels = ChannelsConfig { dingtalk: [(name.clone(), bot)].into(), ..ChannelsConfig::default() };
        // Without a server on the data this one is the server, and keeps the index.
        let lock = ServerLock::take(&config.data_dir).ok();
        let app = if lock.is_some() { App::build(config).await? } else { App::beside(config).await? };
        app.tenants.get(&crate::ids::TenantId::parse(&app.config.channels.dingtalk[&name].tenant)?).await?;
        app.knowledge.catch_up().await?;
        let listener = app::listen("127.0.0.1:0").await?;
        let url = format!("http://{}/webhooks/dingtalk/{name}", listener.local_addr()?);
        let (stop, db) = (CancellationToken::new(), app.db.clone());
        let server = tokio::spawn(http::serve_webhooks(listener, app, stop.clone()));
        let told = match self.tell(&platform, &url).await {
            Ok(told) => self.answer_the_call(&platform, &url, duty, told).await,
            Err(error) => Err(error),
        };
        stop.cancel();
        server.await??;
        db.close().await;
        self.show(&told?, &platform.shown(), json)
    }

    /// The configured bot, or one that is made up.
    fn bot(&self, config: &Config, tenant: &str) -> Result<(String, DingTalkConfig)> {
        let bots = &config.channels.dingtalk;
        let named = match &self.bot {
            Some(name) => {
                let missing =
                    || Error::not_found("bot_not_found", format!("There is no `[channels.dingtalk.{name}]` in the configuration."));
                Some((name, bots.get(name).ok_or_else(missing)?))
            }
            None => bots.iter().next().filter(|_| bots.len() == 1),
        };
        let (name, mut bot) = named.map_or_else(|| ("bot".to_owned(), made_up(tenant)), |(name, bot)| (name.clone(), bot.clone()));
        if self.card && bot.card_template_id.is_none() {
            bot.card_template_id = Some("simulated.schema".to_owned());
        }
        Ok((name, bot))
    }

    async fn tell(&self, platform: &LocalDingTalk, url: &str) -> Result<Told> {
        let conversation = if self.group { "cidSimulatedGroup" } else { "cidSimulatedChat" };
        let message = platform.message(conversation, self.group, WHO, &self.text);
        let began = Instant::now();
        let answer = self.deliver(platform, url, &message).await?;
        let acknowledged = began.elapsed();
        let answered = |shown: &[Shown]| shown.iter().any(|one| is_asker(&one.place)) && shown.iter().all(Shown::is_final);
        let shown = platform.until(PATIENCE, answered).await?.len();
        let sent = match self.stream {
            true => "a CALLBACK frame over the stream that the bot opened".to_owned(),
            false => format!("POST {url}, signed"),
        };
        Ok(Told { sent, acknowledged, answer, answered: began.elapsed(), shown, reply: None })
    }

    /// What the bot says to a message of the platform at once.
    async fn deliver(&self, platform: &LocalDingTalk, url: &str, message: &Value) -> Result<Value> {
        if self.stream {
            return platform.push(message, PATIENCE).await;
        }
        match platform.callback(url, message).await? {
            (200, answer) => Ok(answer),
            (status, answer) => Err(Error::internal("callback_refused", format!("The bot answered the callback with {status}: {answer}."))),
        }
    }

    /// Says `--reply` to the bot as whoever was told of the call, and waits until the asker was shown it and they were thanked.
    async fn answer_the_call(
        &self,
        platform: &LocalDingTalk,
        url: &str,
        duty: (Option<String>, Option<String>),
        mut told: Told,
    ) -> Result<Told> {
        let Some(text) = &self.reply else { return Ok(told) };
        let nobody = || Error::invalid("nobody_called", "Nobody on duty was called, so there is nothing to reply to: try --text /human.");
        let told_by = |one: &Shown| !is_asker(&one.place) && last_command(&one.text).is_some();
        let call = platform.shown().into_iter().find(told_by).ok_or_else(nobody)?;
        let (command, code) = last_command(&call.text).ok_or_else(nobody)?;
        let group = duty.1.as_ref() == Some(&call.place);
        let who = duty.0.filter(|user| !group || *user == call.place).unwrap_or_else(|| "colleague".to_owned());
        let place = if group { call.place.clone() } else { "cidSimulatedDuty".to_owned() };
        let reply = Reply { who, place, group, text: format!("{command} {code} {text}") };
        self.deliver(platform, url, &platform.message(&reply.place, reply.group, &reply.who, &reply.text)).await?;
        let before = told.shown;
        let passed_on = |shown: &[Shown]| {
            let since = shown.get(before..).unwrap_or_default();
            since.iter().any(|one| one.place == reply.place) && since.iter().all(Shown::is_final)
        };
        platform.until(PATIENCE, passed_on).await?;
        told.reply = Some(reply);
        Ok(told)
    }

    fn show(&self, told: &Told, shown: &[Shown], json: bool) -> Result<u8> {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or_default();
        if json {
            let times = json!({"acknowledged": ms(told.acknowledged), "answered": ms(told.answered)});
            let reply = told.reply.as_ref().map(|reply| json!({"who": reply.who, "place": reply.place, "text": reply.text}));
            print::json(&json!({"sent": told.sent, "response": told.answer, "timings_ms": times, "shown": shown, "reply": reply}));
        } else {
            let place = if self.group { "商家交流群 (group)" } else { "one to one" };
            print::line(format!("→ {}\n← acknowledged after {} ms\n", told.sent, ms(told.acknowledged)));
            print::line(format!("── {place} ──\n{WHO}: {}{}", if self.group { "@copilot " } else { "" }, self.text));
            let (first, since) = shown.split_at(told.shown.min(shown.len()));
            first.iter().for_each(|one| print::line(drawn(one)));
            print::line(format!("\nanswered after {} ms", ms(told.answered)));
            if let Some(reply) = &told.reply {
                let place = if reply.group { format!("{} (group)", reply.place) } else { "one to one".to_owned() };
                print::line(format!(
                    "\n── on duty, {place} ──\n{}: {}{}",
                    reply.who,
                    if reply.group { "@copilot " } else { "" },
                    reply.text
                ));
                since.iter().for_each(|one| print::line(drawn_at(one)));
            }
        }
        Ok(if shown.is_empty() { PROBLEM } else { DONE })
    }
}

fn made_up(tenant: &str) -> DingTalkConfig {
    DingTalkConfig {
        tenant: tenant.to_owned(),
        mode: BotMode::Webhook,
        client_id: "dingsimulated".to_owned(),
        client_secret: Secret::new(random_token("", 40)),
        robot_code: None,
        card_template_id: None,
        card_key: "content".to_owned(),
        card_route_key: None,
        card_secret: None,
        memory: BotMemory::Asker,
        duty_user: Some("manager".to_owned()),
        duty_group: None,
        calls_per_second: 15,
        calls_per_month: None,
        connections: 1,
        api_base: String::new(),
        session_webhook_hosts: Vec::new(),
    }
}

/// Whether it is where the simulated merchant reads.
fn is_asker(place: &str) -> bool {
    place.starts_with("cidSimulated") && place != "cidSimulatedDuty" || place == WHO
}

/// The same where several places are told.
fn drawn_at(shown: &Shown) -> String {
    format!("{}: {}", if is_asker(&shown.place) { "to xiaowang" } else { "to whoever replied" }, drawn(shown))
}

fn drawn(shown: &Shown) -> String {
    let head = match shown.kind {
        "card" => format!("copilot (card, {}, {} updates):", shown.state, shown.updates),
        _ => match shown.via {
            "response" => "copilot (in the callback's response):".to_owned(),
            "session" => "copilot (by the session webhook):".to_owned(),
            _ => format!("copilot (by the API, to {}):", shown.place),
        },
    };
    let body: String = shown.text.lines().map(|line| format!("\n  {line}").trim_end_matches(' ').to_owned()).collect();
    head + &body
}
