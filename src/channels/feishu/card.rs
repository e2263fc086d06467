//! Feishu's streaming cards (cardkit): an entity that a message shows, its text replaced under rising numbers,
//! ended by switching the streaming off, with two buttons for what its reader thinks.

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};

use super::Feishu;
use crate::channels::{Cards, Content, Inbound, Limit, Pace, Post, Step, Vote, words};
use crate::error::{Error, Result};
use crate::ids::random_token;
use crate::memory::Rating;
use crate::models::Language;

/// Where the answer stands in the card.
const ANSWER: &str = "answer";
const CARDS: [&str; 4] = ["open-apis", "cardkit", "v1", "cards"];

#[async_trait]
impl Cards for Feishu {
    fn limit(&self) -> Limit {
        super::MESSAGE
    }

    fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The entity's id is kept before anybody sees it, and the message that shows it has an id of ours: doing
    /// this again shows the same card once.
    async fn open(&self, to: &Inbound, card: &str) -> Result<()> {
        let id = self.create(to, card).await?;
        self.show(to, card, &id).await
    }

    async fn reopen(&self, to: &Inbound, card: &str) -> Result<()> {
        let id = match self.store.platform_card(card).await? {
            Some(id) => id,
            None => {
                self.pace.turn().await;
                self.create(to, card).await?
            }
        };
        self.show(to, card, &id).await
    }

    async fn update(&self, card: &str, markdown: &str, step: Step) -> Result<()> {
        let text = json!({"content": markdown});
        match self.change(card, Method::PUT, &["elements", ANSWER, "content"], text).await {
            // The platform ended the streaming by itself: the element can still be replaced.
            Err(error) if error.code() == "card_stream_over" && step != Step::Writing => {
                let element = json!({"element": answer(markdown).to_string()});
                self.pace.turn().await;
                self.change(card, Method::PUT, &["elements", ANSWER], element).await?;
            }
            outcome => outcome?,
        }
        if step == Step::Writing {
            return Ok(());
        }
        let language = Language::of(markdown);
        let summary = if step == Step::Done { words::title(language) } else { words::failed(language) };
        let settings = json!({"config": {"streaming_mode": false, "summary": {"content": summary}}});
        self.pace.turn().await;
        self.change(card, Method::PATCH, &["settings"], json!({"settings": settings.to_string()})).await
    }
}

impl Feishu {
    async fn create(&self, to: &Inbound, card: &str) -> Result<String> {
        let body = json!({"type": "card_json", "data": empty(to, card).to_string()});
        let made = self.api.call(Method::POST, &CARDS, &[], &body).await?;
        let id = made.pointer("/data/card_id").and_then(Value::as_str);
        let id = id.ok_or_else(|| Error::unavailable("no_card", "The platform gave no id for a card."))?;
        self.store.card_is(card, id).await?;
        Ok(id.to_owned())
    }

    async fn show(&self, to: &Inbound, card: &str, id: &str) -> Result<()> {
        let shows = json!({"type": "card", "data": {"card_id": id}}).to_string();
        self.reply(to, card, json!({"msg_type": "interactive", "content": shows})).await
    }

    /// One change under the next number.
    async fn change(&self, card: &str, method: Method, path: &[&str], mut body: Value) -> Result<()> {
        let unknown = || Error::invalid("no_card", "The platform never made this card.");
        let (id, number) = self.store.next_change(card).await?.ok_or_else(unknown)?;
        body["sequence"] = json!(number);
        body["uuid"] = json!(random_token("", 32));
        let path = [&CARDS[..], &[id.as_str()], path].concat();
        self.api.call(method, &path, &[], &body).await.map(drop)
    }
}

/// A message as the platform takes it: a card is the only kind with Markdown.
pub fn message(message: &Post) -> Value {
    let text = match &message.mention {
        Some(mention) => format!("{} {}", mentioned(&mention.id), message.text),
        None => message.text.clone(),
    };
    let card = json!({
        "schema": "2.0",
        "config": {"update_multi": true, "summary": {"content": message.title}},
        "body": {"elements": [{"tag": "markdown", "content": text}]},
    });
    json!({"msg_type": "interactive", "content": card.to_string()})
}

/// How a text names somebody.
pub fn mentioned(id: &str) -> String {
    format!("<at id={id}></at>")
}

fn answer(markdown: &str) -> Value {
    json!({"tag": "markdown", "element_id": ANSWER, "content": markdown})
}

/// A card before its answer: whom it is for, the place of the text, the buttons.
fn empty(to: &Inbound, card: &str) -> Value {
    let language = match &to.content {
        Content::Text(text) => Language::of(text),
        Content::Unreadable(_) => Language::Zh,
    };
    let button = |words: &str, action: &str| {
        let pressed = json!([{"type": "callback", "value": {"card": card, "action": action}}]);
        let button = json!({"tag": "button", "type": "text", "size": "small", "text": {"tag": "plain_text", "content": words}, "behaviors": pressed});
        json!({"tag": "column", "width": "auto", "elements": [button]})
    };
    let votes = [button(words::helpful(language), "like"), button(words::unhelpful(language), "dislike")];
    let asker = to.group.then(|| json!({"tag": "markdown", "element_id": "asker", "content": mentioned(&to.asker.id)}));
    let rest = [answer(""), json!({"tag": "column_set", "element_id": "votes", "columns": votes})];
    json!({
        "schema": "2.0",
        "config": {"streaming_mode": true, "update_multi": true},
        "body": {"elements": asker.into_iter().chain(rest).collect::<Vec<_>>()},
    })
}

/// What a button of ours means; none when it is not one of ours.
pub fn vote(event: &Value) -> Option<Vote> {
    let value = &event["action"]["value"];
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let rating = match value["action"].as_str()? {
        "like" => Rating::Up,
        "dislike" => Rating::Down,
        _ => return None,
    };
    Some(Vote::new(text(&value["card"])?, text(&event["operator"]["open_id"])?, rating, &[], None))
}

/// What whoever pressed a button is told.
pub fn told(kept: bool) -> Value {
    let (kind, zh, en) = match kept {
        true => ("success", words::thanks(Language::Zh), words::thanks(Language::En)),
        false => ("info", words::not_yours(Language::Zh), words::not_yours(Language::En)),
    };
    json!({"toast": {"type": kind, "content": zh, "i18n": {"zh_cn": zh, "en_us": en}}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buttons_of_ours_are_votes_and_others_are_none() {
        let pressed = |value: Value| json!({"operator": {"open_id": "ou_1"}, "action": {"tag": "button", "value": value}, "token": "c-1"});
        let vote_of = |rating| Some(Vote::new("card_1".into(), "ou_1".into(), rating, &[], None));
        assert_eq!(vote(&pressed(json!({"card": "card_1", "action": "like"}))), vote_of(Rating::Up));
        assert_eq!(vote(&pressed(json!({"card": "card_1", "action": "dislike"}))), vote_of(Rating::Down));
        for nothing in [json!({}), json!("like"), json!({"action": "like"}), json!({"card": "card_1", "action": "open"})] {
            assert_eq!(vote(&pressed(nothing.clone())), None, "{nothing}");
        }
    }
}
