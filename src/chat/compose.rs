//! Sources + memory + demos + template → one model call, under a token budget. What does not fit is
//! left out in this order: older turns, demos, then the ends of the sources; the instruction and the
//! question always stay.

use serde_json::json;

use crate::error::Result;
use crate::ids::Timestamp;
use crate::knowledge::Hit;
use crate::models::{CompletionRequest, Grounding, Language, Message, Reasoning, Role, tokens};
use crate::prompts::PromptTemplate;

/// Characters of an answer that are given whole; of a longer one, the passage that matched.
const WHOLE_ANSWER: usize = 1_200;

/// What a call is composed from.
pub struct Parts<'a> {
    /// The template of the question's language.
    pub template: &'a PromptTemplate,
    /// How the model should reason.
    pub reasoning: Reasoning,
    /// The shop's name.
    pub shop: &'a str,
    /// The question as typed.
    pub question: &'a str,
    /// The stand-alone query.
    pub query: &'a str,
    /// The language to answer in.
    pub language: Language,
    /// Hits that passed, in rank order.
    pub hits: &'a [Hit],
    /// The market asked about, if any.
    pub market: Option<&'a str>,
    /// Earlier turns as messages, oldest first, already within their own budget.
    pub window: Vec<Message>,
    /// What the merchant has stated, in a line.
    pub facts: String,
    /// What older turns come down to, as far as it concerns the question.
    pub memory: String,
    /// Now, for "today" in the prompt.
    pub now: Timestamp,
    /// The shop's time zone.
    pub zone: chrono_tz::Tz,
    /// Tokens for the whole prompt.
    pub budget: usize,
    /// Tokens for the answer.
    pub answer_tokens: u32,
}

/// The grounding of a call: hits as numbered sources.
pub fn grounding(hits: &[Hit]) -> Vec<Grounding> {
    let numbered = (1..).zip(hits);
    numbered
        .map(|(n, hit)| Grounding { n, title: hit.entry.draft.question.clone(), text: quoted(hit).to_owned(), score: hit.score })
        .collect()
}

/// The part of the answer that is given to the model.
fn quoted(hit: &Hit) -> &str {
    let answer = &hit.entry.draft.answer;
    let whole = answer.chars().count() <= WHOLE_ANSWER || !answer.contains(hit.passage.as_str());
    if whole { answer } else { &hit.passage }
}

/// Renders the template and fits everything into the budget.
pub fn compose(parts: Parts<'_>) -> Result<CompletionRequest> {
    let mut grounding = grounding(parts.hits);
    let mut rendered = render(&parts, &grounding)?;
    let fixed = |rendered: &crate::prompts::Rendered| tokens::count(&rendered.system) + tokens::count(&rendered.user);
    while fixed(&rendered) > parts.budget && shorten(&mut grounding) {
        rendered = render(&parts, &grounding)?;
    }
    let mut left = parts.budget.saturating_sub(fixed(&rendered));
    let demos = fit(rendered.demos, &mut left, false);
    let window = fit(parts.window, &mut left, true);
    let mut messages = vec![Message { role: Role::System, content: rendered.system }];
    messages.extend(demos);
    messages.extend(window);
    messages.push(Message { role: Role::User, content: rendered.user });
    Ok(CompletionRequest {
        messages,
        grounding,
        question: parts.query.to_owned(),
        language: parts.language,
        max_tokens: Some(parts.answer_tokens),
        temperature: None,
        native_reasoning: parts.reasoning == Reasoning::Native,
    })
}

fn render(parts: &Parts<'_>, grounding: &[Grounding]) -> Result<crate::prompts::Rendered> {
    let day = |at: Option<Timestamp>| at.map(|at| date(at, parts.zone));
    let sources: Vec<_> = grounding
        .iter()
        .zip(parts.hits)
        .map(|(source, hit)| {
            let draft = &hit.entry.draft;
            json!({"n": source.n, "title": source.title, "text": source.text, "market": draft.market,
                   "valid_from": day(draft.valid_from), "valid_to": day(draft.valid_to.map(|end| Timestamp(end.0 - 1)))})
        })
        .collect();
    let follow_up_of = (parts.query != parts.question).then_some(parts.query);
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let vars = json!({
        "facts": given(&parts.facts), "memory": given(&parts.memory),
        "shop": parts.shop, "question": parts.question, "sources": sources, "market": parts.market,
        "today": date(parts.now, parts.zone), "follow_up_of": follow_up_of,
    });
    parts.template.render(&vars, parts.reasoning)
}

/// A day in the shop's time zone, as 2026-11-23.
pub fn date(at: Timestamp, zone: chrono_tz::Tz) -> String {
    let utc = chrono::DateTime::from_timestamp_millis(at.0).unwrap_or_default();
    utc.with_timezone(&zone).format("%Y-%m-%d").to_string()
}

/// Halves the longest source; drops the last one when all are short. False when nothing is left.
fn shorten(grounding: &mut Vec<Grounding>) -> bool {
    let longest = grounding.iter_mut().max_by_key(|source| source.text.len());
    match longest {
        Some(source) if source.text.chars().count() > 200 => {
            let half = source.text.chars().count() / 2;
            source.text = source.text.chars().take(half).chain("…".chars()).collect();
            true
        }
        _ => grounding.pop().is_some(),
    }
}

/// Pairs of messages that fit, the newest first when `newest`, in their own order.
fn fit(messages: Vec<Message>, left: &mut usize, newest: bool) -> Vec<Message> {
    let pairs: Vec<&[Message]> = messages.chunks(2).collect();
    let order: Vec<usize> = if newest { (0..pairs.len()).rev().collect() } else { (0..pairs.len()).collect() };
    let mut kept = Vec::new();
    for at in order {
        let cost: usize = pairs[at].iter().map(|message| tokens::count(&message.content)).sum();
        if cost > *left {
            break;
        }
        *left -= cost;
        kept.push(at);
    }
    kept.sort_unstable();
    kept.into_iter().flat_map(|at| pairs[at].iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_pairs_fit_first_and_keep_their_order() {
        let message = |content: &str| Message { role: Role::User, content: content.into() };
        let messages: Vec<Message> = ["one", "two", "three", "four", "five", "six"].map(message).to_vec();
        let mut left = 4;
        let kept: Vec<String> = fit(messages, &mut left, true).into_iter().map(|m| m.content).collect();
        assert_eq!(kept, ["three", "four", "five", "six"]);
    }

    #[test]
    fn sources_are_shortened_then_dropped() {
        let source = |n, text: &str| Grounding { n, title: "t".into(), text: text.into(), score: 1.0 };
        let mut sources = vec![source(1, &"保".repeat(500)), source(2, "短")];
        assert!(shorten(&mut sources) && sources[0].text.chars().count() == 251);
        assert!(shorten(&mut sources) && shorten(&mut sources));
        assert_eq!(sources.len(), 1);
    }
}
