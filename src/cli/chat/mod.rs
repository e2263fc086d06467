//! `chat`: a terminal chat over the WebSocket, the way any other client would do it. It talks to the
//! server of `--url`, to the one running on the data directory, or to one of its own.

use std::io::{BufRead, IsTerminal, stdin};

use clap::Args;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{DONE, PROBLEM, print};
use crate::config::{Config, Secret};
use crate::error::{Error, Result};
use crate::ids::random_token;
use crate::models::Language;
use link::Link;

mod link;

const HELP: &str = "Ask a question. /new starts another conversation, /model ID changes the model, /quit ends.";

/// `chat …`
#[derive(Debug, Args)]
pub struct Chat {
    /// The model that answers
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// A server elsewhere, e.g. http://127.0.0.1:8787; needs --key
    #[arg(long, value_name = "URL", requires = "key")]
    url: Option<String>,
    /// A member or admin key for --url
    #[arg(long, value_name = "KEY", requires = "url", value_parser = secret)]
    key: Option<Secret>,
}

impl Chat {
    /// Chats until the input ends.
    pub async fn run(self, config: Config, tenant: &str, json: bool) -> Result<u8> {
        let mut link = match (self.url, self.key) {
            (Some(url), Some(key)) => Link::elsewhere(&url, &key).await?,
            _ => Link::here(config, tenant).await?,
        };
        if let Err(error) = named(self.model.as_deref(), &link) {
            link.close().await;
            return Err(error);
        }
        let mut talk = Talk { model: self.model, conversation: None, json, people: stdin().is_terminal() && !json };
        let outcome = talk.run(&mut link).await;
        link.close().await;
        outcome
    }
}

/// Whether the server has the model that is asked for.
fn named(model: Option<&str>, link: &Link) -> Result<()> {
    let Some(unknown) = model.filter(|id| link.models().all(|known| known != *id)) else { return Ok(()) };
    let ids: Vec<&str> = link.models().collect();
    let message = format!("There is no model `{unknown}`. Choose one of: {}.", ids.join(", "));
    Err(Error::not_found("model_not_found", message).with_details(json!({"models": ids})))
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// What was chosen and where the conversation is.
struct Talk {
    model: Option<String>,
    conversation: Option<String>,
    json: bool,
    /// Somebody sits at the terminal.
    people: bool,
}

/// What the events of one answer told so far.
#[derive(Default)]
struct Heard {
    response: Option<Value>,
    sources: Value,
    /// Some of the text has come.
    text: bool,
    /// It failed before any text: there is an error and nothing that AI made.
    failed: bool,
}

impl Talk {
    async fn run(&mut self, link: &mut Link) -> Result<u8> {
        if self.people {
            print::aside(HELP);
        }
        let mut lines = lines();
        let mut code = DONE;
        loop {
            if self.people {
                print::piece("\n› ");
            }
            let line = tokio::select! {
                line = lines.recv() => line,
                silence = link.idle() => { silence?; None }
                _ = tokio::signal::ctrl_c() => None,
            };
            match line.as_deref().map(str::trim) {
                None | Some("/quit") => return Ok(code),
                Some("") => {}
                Some("/new") => self.conversation = None,
                Some(command) if command.starts_with('/') => self.choose(command, link),
                Some(question) => code = code.max(self.ask(question, link).await?),
            }
        }
    }

    fn choose(&mut self, command: &str, link: &Link) {
        let Some(model) = command.strip_prefix("/model").map(str::trim) else { return print::aside(HELP) };
        if model.is_empty() {
            return print::aside(format!("Models: {}", link.models().collect::<Vec<_>>().join(", ")));
        }
        match named(Some(model), link) {
            Ok(()) => self.model = Some(model.to_owned()),
            Err(error) => print::aside(format!("{error} [{}]", error.code())),
        }
    }

    /// Asks and shows the answer as it comes; Ctrl-C stops the answer.
    async fn ask(&mut self, question: &str, link: &mut Link) -> Result<u8> {
        let id = random_token("m_", 16);
        let mut frame = json!({"type": "message.create", "id": id, "client_msg_id": id, "text": question});
        for (name, value) in [("model", &self.model), ("conversation_id", &self.conversation)] {
            if let Some(value) = value {
                frame[name] = json!(value);
            }
        }
        link.send(&frame).await?;
        let mut heard = Heard::default();
        loop {
            tokio::select! {
                frame = link.frame() => {
                    let Some(code) = self.hear(&frame?, &mut heard) else { continue };
                    let answered = heard.response.is_some() && !heard.failed;
                    if let Some(mark) = link.ai_mark().of(Language::of(question).code()).filter(|_| answered && !self.json) {
                        print::line(format!("  {mark}"));
                    }
                    return Ok(code);
                }
                _ = tokio::signal::ctrl_c() => {
                    if let Some(response) = &heard.response {
                        link.send(&json!({"type": "response.cancel", "id": "stop", "response_id": response})).await?;
                    }
                }
            }
        }
    }

    /// Shows a frame; the last one of an answer brings the code.
    fn hear(&mut self, frame: &Value, heard: &mut Heard) -> Option<u8> {
        if let Some(conversation) = frame["conversation_id"].as_str() {
            self.conversation = Some(conversation.to_owned());
        }
        if self.json {
            print::json(frame);
        }
        match frame["type"].as_str().unwrap_or_default() {
            "response.created" => heard.response = Some(frame["response_id"].clone()),
            "response.sources" => heard.sources = frame["sources"].clone(),
            "response.text.delta" => {
                let delta = frame["delta"].as_str().unwrap_or_default();
                heard.text |= !delta.is_empty();
                if !self.json {
                    print::piece(delta);
                }
            }
            "response.done" => {
                heard.failed = !heard.text && frame["error"].is_object();
                return Some(self.ended(frame, heard));
            }
            "error" => {
                if !self.json {
                    print::aside(frame["message"].as_str().unwrap_or("The server reports an error."));
                }
                return Some(PROBLEM);
            }
            _ => {}
        }
        None
    }

    fn ended(&self, done: &Value, heard: &Heard) -> u8 {
        if !self.json {
            if !heard.failed {
                print::line("");
                for source in heard.sources.as_array().into_iter().flatten() {
                    let url = source["url"].as_str().map(|url| format!("  {url}")).unwrap_or_default();
                    print::line(format!("  [{}] {}{url}", source["n"], source["title"].as_str().unwrap_or_default()));
                }
            }
            if let Some(message) = done.pointer("/error/message").and_then(Value::as_str) {
                print::aside(message);
            }
        }
        match done["status"].as_str() {
            Some("completed" | "cancelled") => DONE,
            _ => PROBLEM,
        }
    }
}

/// Lines of standard input. Reading blocks, so it has a thread of its own, which ends with the process.
fn lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    lines
}
