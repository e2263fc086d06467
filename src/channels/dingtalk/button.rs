//! A button on a card: the template names what it means in its parameters (`action`, `feedbacks`,
//! `feedbackinput`), as in the vendor's own tutorial.

use serde_json::{Value, json};

use crate::channels::{Desk, Vote};
use crate::memory::Rating;

/// Keeps the vote that a button is; what the card's reader sees then.
pub async fn press(desk: &Desk, data: &str) -> Value {
    let Some(vote) = read(data) else {
        desk.passed_over("a button of a card that is no vote");
        return json!({});
    };
    match desk.rate(&vote).await {
        Ok(true) => pressed(vote.rating),
        Ok(false) => json!({}),
        Err(error) => {
            desk.vote_lost(&error);
            json!({})
        }
    }
}

/// Reads a card's callback; none when it is no vote.
fn read(data: &str) -> Option<Vote> {
    let callback: Value = serde_json::from_str(data).ok()?;
    let text = |field: &str| callback[field].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let content: Value = serde_json::from_str(callback["content"].as_str()?).ok()?;
    let private = &content["cardPrivateData"];
    let params = &private["params"];
    let rating = rating(params["action"].as_str().or_else(|| private["actionIds"][0].as_str())?)?;
    let comment = params["feedbackinput"].as_str();
    Some(Vote::new(text("outTrackId")?, text("userId")?, rating, &ticked(&params["feedbacks"]), comment))
}

/// What the callback is answered with: the button that the reader now sees pressed.
fn pressed(rating: Rating) -> Value {
    let status = match rating {
        Rating::Up => "like",
        Rating::Down => "dislike",
        Rating::None => "",
    };
    json!({
        "userPrivateData": {"cardParamMap": {"likeStatus": status}},
        "cardUpdateOptions": {"updateCardDataByKey": true, "updatePrivateDataByKey": true},
    })
}

fn rating(word: &str) -> Option<Rating> {
    match word.to_ascii_lowercase().as_str() {
        "like" | "up" => Some(Rating::Up),
        "dislike" | "down" => Some(Rating::Down),
        "cancel" | "none" => Some(Rating::None),
        _ => None,
    }
}

/// A list of texts; a form may put it into `value`, a parameter into a text.
fn ticked(value: &Value) -> Vec<String> {
    match value {
        Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::Object(form) => form.get("value").map(ticked).unwrap_or_default(),
        Value::String(text) => match serde_json::from_str(text) {
            Ok(inner @ Value::Array(_)) => ticked(&inner),
            _ => vec![text.clone()],
        },
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callback(private: &Value) -> String {
        let content = json!({"cardPrivateData": private}).to_string();
        json!({"type": "actionCallback", "outTrackId": "card_1", "userId": "u1", "userIdType": 1, "content": content, "extension": "{}"})
            .to_string()
    }

    #[test]
    fn a_vote_is_read_however_the_template_says_it() {
        let vote = |rating, reasons: &[&str], comment: Option<&str>| {
            let reasons: Vec<String> = reasons.iter().map(|&reason| reason.to_owned()).collect();
            Some(Vote::new("card_1".into(), "u1".into(), rating, &reasons, comment))
        };
        for (private, expected) in [
            (json!({"actionIds": ["1"], "params": {"action": "like"}}), vote(Rating::Up, &[], None)),
            (json!({"actionIds": ["dislike"]}), vote(Rating::Down, &[], None)),
            (json!({"params": {"action": "cancel"}}), vote(Rating::None, &[], None)),
            (
                json!({"params": {"action": "dislike", "feedbacks": ["过时", "不准"], "feedbackinput": " 金额不对 "}}),
                vote(Rating::Down, &["过时", "不准"], Some("金额不对")),
            ),
            (json!({"params": {"action": "down", "feedbacks": {"index": [0], "value": ["过时"]}}}), vote(Rating::Down, &["过时"], None)),
            (json!({"params": {"action": "down", "feedbacks": "[\"过时\"]"}}), vote(Rating::Down, &["过时"], None)),
            (json!({"params": {"action": "open_link"}}), None),
            (json!({}), None),
        ] {
            assert_eq!(read(&callback(&private)), expected, "{private}");
        }
        for nothing in ["", "{}", "[]", r#"{"outTrackId":"c","userId":"u","content":"no json"}"#] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_form_is_cut_to_what_is_kept() {
        let private = json!({"params": {"action": "down", "feedbacks": vec!["长".repeat(100); 20], "feedbackinput": "字".repeat(3_000)}});
        let vote = read(&callback(&private)).unwrap();
        assert_eq!((vote.reasons.len(), vote.reasons[0].chars().count()), (10, 64));
        assert_eq!(vote.comment.unwrap().chars().count(), 2_000);
    }
}
