//! Sources + memory + demos + template → one model call, under a token budget. What does not fit is
//! left out in this order: older turns, demos, then the ends of the sources; the instruction and the
//! question always stay.

use serde::Serialize;
use serde_json::{Value, json};

use super::cite;
use crate::error::Result;
use crate::ids::Timestamp;
use crate::knowledge::Hit;
use crate::models::tokens::{Budget, Family};
use crate::models::{CompletionRequest, Grounding, Language, Message, Reasoning, Role};
use crate::prompts::{Demo, PromptTemplate, Rendered};

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
    /// Rows that show how to answer such a question, the most like it first.
    pub picked: &'a [Hit],
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
    /// How the answering model counts.
    pub family: Family,
    /// Tokens for the whole prompt.
    pub budget: Budget,
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

/// A call, and what its prompt is made of.
pub struct Composed {
    /// The call.
    pub request: CompletionRequest,
    /// What each part takes.
    pub tokens: PartTokens,
    /// Which part each of its messages is.
    pub parts: Vec<&'static str>,
}

/// Tokens of a prompt's parts, as the model counts them. What stands between messages is in `total` only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are the parts'")]
pub struct PartTokens {
    pub instruction: usize,
    pub reasoning: usize,
    pub output: usize,
    pub demos: usize,
    /// Earlier turns.
    pub window: usize,
    /// The sources, and what is said around them.
    pub context: usize,
    pub input: usize,
    /// All of it as messages.
    pub total: usize,
    /// What it might have.
    pub budget: usize,
    /// Demos that were left out for want of room.
    pub demos_left_out: usize,
    /// The same for earlier messages.
    pub window_left_out: usize,
    /// The same for sources; the others may have been shortened.
    pub sources_left_out: usize,
}

/// Renders the template and fits everything into the budget.
pub fn compose(parts: Parts<'_>) -> Result<Composed> {
    let mut budget = parts.budget.clone();
    let mut grounding = grounding(parts.hits);
    let mut rendered = render(&parts, &grounding)?;
    while !budget.take(&[&rendered.system(), &rendered.user()]) {
        if !shorten(&mut grounding) {
            // Instruction and question go in all the same; the model's own limit has the last word.
            budget.exhaust();
            break;
        }
        rendered = render(&parts, &grounding)?;
    }
    // What a stateless client instructs stands behind our instruction, and is no part of what was said.
    let (theirs, said): (Vec<Message>, Vec<Message>) = parts.window.iter().cloned().partition(|message| message.role == Role::System);
    let theirs = fit(&theirs, &mut budget, false);
    let demos = fit(&rendered.demos, &mut budget, false);
    let window = fit(&said, &mut budget, true);
    let named = |part, messages: &[Message]| std::iter::repeat_n(part, messages.len()).collect::<Vec<&'static str>>();
    let names = [vec!["system"], named("window", &theirs), named("demo", &demos), named("window", &window), vec!["user"]].concat();
    let mut tokens = count(&parts, &rendered, &demos, &[theirs.as_slice(), &window].concat());
    tokens.sources_left_out = parts.hits.len() - grounding.len();
    let mut messages = vec![Message { role: Role::System, content: rendered.system() }];
    messages.extend(theirs);
    messages.extend(demos);
    messages.extend(window);
    messages.push(Message { role: Role::User, content: rendered.user() });
    tokens.total = parts.family.count_messages(messages.iter().map(|message| message.content.as_str()));
    let request = CompletionRequest {
        messages,
        grounding,
        question: parts.query.to_owned(),
        language: parts.language,
        max_tokens: Some(parts.answer_tokens),
        temperature: None,
        native_reasoning: parts.reasoning == Reasoning::Native,
    };
    Ok(Composed { request, tokens, parts: names })
}

fn count(parts: &Parts<'_>, rendered: &Rendered, demos: &[Message], window: &[Message]) -> PartTokens {
    let of = |text: &str| parts.family.count(text);
    let all = |messages: &[Message]| messages.iter().map(|message| of(&message.content)).sum();
    PartTokens {
        instruction: of(&rendered.instruction),
        reasoning: of(&rendered.reasoning),
        output: of(&rendered.output),
        demos: all(demos),
        window: all(window),
        context: of(&rendered.context),
        input: of(&rendered.input),
        budget: parts.budget.tokens(),
        demos_left_out: (rendered.demos.len() - demos.len()) / 2,
        window_left_out: parts.window.len() - window.len(),
        ..PartTokens::default()
    }
}

fn render(parts: &Parts<'_>, grounding: &[Grounding]) -> Result<Rendered> {
    let sources: Vec<_> = grounding.iter().zip(parts.hits).map(|(source, hit)| as_source(source, hit, parts.zone)).collect();
    let follow_up_of = (parts.query != parts.question).then_some(parts.query);
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let vars = json!({
        "facts": given(&parts.facts), "memory": given(&parts.memory),
        "shop": parts.shop, "question": parts.question, "sources": sources, "market": parts.market,
        "today": date(parts.now, parts.zone), "follow_up_of": follow_up_of,
    });
    let demos = parts.picked.iter().map(|row| example(parts, &vars, row)).collect::<Result<Vec<_>>>()?;
    parts.template.render_with(&vars, parts.reasoning, &demos)
}

/// A source as templates see it.
fn as_source(source: &Grounding, hit: &Hit, zone: chrono_tz::Tz) -> Value {
    let draft = &hit.entry.draft;
    let day = |at: Option<Timestamp>| at.map(|at| date(at, zone));
    json!({"n": source.n, "title": source.title, "text": source.text, "market": draft.market,
           "valid_from": day(draft.valid_from), "valid_to": day(draft.valid_to.map(|end| Timestamp(end.0 - 1)))})
}

/// A row as a worked example: its question, itself as the only source, and its answer with the marker.
fn example(parts: &Parts<'_>, vars: &Value, row: &Hit) -> Result<Demo> {
    let draft = &row.entry.draft;
    let source = Grounding { n: 1, title: draft.question.clone(), text: draft.answer.clone(), score: row.score };
    let mut vars = vars.clone();
    vars["sources"] = json!([as_source(&source, row, parts.zone)]);
    vars["market"] = json!(draft.market);
    Ok(Demo {
        question: draft.question.clone(),
        context: parts.template.context(&vars)?,
        reasoning: parts.template.choice.reasoning.clone(),
        answer: cite::whole(&draft.answer, 1).0,
    })
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

/// Questions with their answers that fit, the newest first when `newest`, in their own order.
fn fit(messages: &[Message], budget: &mut Budget, newest: bool) -> Vec<Message> {
    let pairs: Vec<&[Message]> = messages.chunk_by(|_, next| next.role == Role::Assistant).collect();
    let order: Vec<usize> = if newest { (0..pairs.len()).rev().collect() } else { (0..pairs.len()).collect() };
    let fits = |at: &usize| budget.take(&pairs[*at].iter().map(|message| message.content.as_str()).collect::<Vec<_>>());
    let mut kept: Vec<usize> = order.into_iter().take_while(fits).collect();
    kept.sort_unstable();
    kept.into_iter().flat_map(|at| pairs[at].iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_pairs_fit_first_and_keep_their_order() {
        let message = |at: usize, content: &str| Message { role: [Role::User, Role::Assistant][at % 2], content: content.into() };
        let said = ["one", "two", "three", "four", "five", "six"].into_iter().enumerate();
        let messages: Vec<Message> = said.map(|(at, content)| message(at, content)).collect();
        let mut left = Budget::new([(Family::O200k, 4 * Family::O200k.count_message("one"))]);
        let kept: Vec<String> = fit(&messages, &mut left, true).into_iter().map(|m| m.content).collect();
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
