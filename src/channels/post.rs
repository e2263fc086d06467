//! From an answer to what a group sees: the text with its markers, the sources by number, the nearest
//! questions when there is no answer, and that a machine wrote it.

use serde::{Deserialize, Serialize};

use super::words;
use crate::chat::{ChatEvent, Citation, Decision, Done, EventKind, Source, Status};
use crate::config::AiMark;
use crate::models::Language;

/// Somebody a message calls by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mention {
    /// As the platform knows them.
    pub id: String,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Post {
    /// For the list of conversations.
    pub title: String,
    /// Markdown.
    pub text: String,
    /// Who is called.
    pub mention: Option<Mention>,
}

impl Post {
    /// A message in that language.
    pub fn new(language: Language, text: impl Into<String>) -> Self {
        Self { title: words::title(language).to_owned(), text: text.into(), mention: None }
    }

    /// The message in pieces that fit, numbered when there are several; the first one mentions.
    pub fn pieces(&self, limit: super::Limit) -> Vec<Self> {
        let texts = super::markdown::split(&self.text, limit);
        let count = texts.len();
        let number = |at: usize| if count == 1 { self.title.clone() } else { format!("{} ({}/{count})", self.title, at + 1) };
        let piece = |(at, text)| Self { title: number(at), text, mention: self.mention.clone().filter(|_| at == 0) };
        texts.into_iter().enumerate().map(piece).collect()
    }
}

/// An answer as its events told it.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// What was said so far; at the end all of it.
    pub text: String,
    decision: Option<Decision>,
    sources: Vec<Source>,
    /// How it ended, once it did.
    pub done: Option<Box<Done>>,
}

impl Answer {
    /// Takes an event of the answer in.
    pub fn hear(&mut self, event: ChatEvent) {
        match event.kind {
            EventKind::ResponseSources { decision, sources, courtesy, .. } => {
                (self.decision, self.sources) = ((!courtesy).then_some(decision), sources);
            }
            EventKind::ResponseTextDelta { delta, .. } => self.text.push_str(&delta),
            EventKind::ResponseTextDone { text } => self.text = text,
            EventKind::ResponseDone(done) => self.done = Some(done),
            _ => {}
        }
    }

    /// Whether the base had nothing.
    pub fn is_miss(&self) -> bool {
        self.decision == Some(Decision::None)
    }

    /// Whether it ended as it should.
    pub fn is_whole(&self) -> bool {
        self.done.as_ref().is_some_and(|done| done.status == Status::Completed)
    }

    /// Whether a stop of the server broke it off, so that it may be asked again.
    pub fn was_interrupted(&self) -> bool {
        self.done.as_ref().is_some_and(|done| done.status == Status::Incomplete && done.finish_reason == "interrupted")
    }

    /// The whole message, with what says that AI made it.
    pub fn markdown(&self, language: Language, mark: &AiMark) -> String {
        let mut parts = vec![self.text.trim().to_owned()];
        parts.retain(|part| !part.is_empty());
        if !self.is_whole() {
            parts.push(words::failed(language).to_owned());
        }
        parts.extend(self.source_list(language));
        parts.extend(self.nearest(language));
        parts.extend(mark.of(language.code()).map(|mark| format!("*{mark}*")));
        parts.join("\n\n")
    }

    /// The sources that the text cites, or all when it cites none.
    fn source_list(&self, language: Language) -> Option<String> {
        let cited: Vec<u32> = self.citations().iter().map(|citation| citation.n).collect();
        let shown = self.sources.iter().filter(|source| cited.is_empty() || cited.contains(&source.n));
        let lines: String = shown.map(|source| format!("\n> [{}] {}  ", source.n, linked(source))).collect();
        (!lines.is_empty() && !self.is_miss()).then(|| format!("> **{}**  {lines}", words::sources(language)))
    }

    fn nearest(&self, language: Language) -> Option<String> {
        let questions = &self.done.as_ref().filter(|_| self.is_miss())?.suggestions;
        let lines: String = questions.iter().map(|question| format!("\n- {}", one_line(question))).collect();
        (!lines.is_empty()).then(|| format!("**{}**\n{lines}", words::nearest(language)))
    }

    fn citations(&self) -> &[Citation] {
        self.done.as_ref().map_or(&[], |done| &done.citations)
    }
}

fn linked(source: &Source) -> String {
    let title = one_line(&source.title).replace(['[', ']'], "");
    match source.url.as_deref().filter(|url| url.starts_with("https://") || url.starts_with("http://")) {
        Some(url) => format!("[{title}]({})", url.replace(['(', ')', ' '], "")),
        None => title,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Timings, UsageReport};
    use crate::ids::ConversationId;

    fn answer(decision: Decision, text: &str, cited: &[u32], status: Status) -> Answer {
        let source = |n: u32, url: Option<&str>| Source {
            n,
            entry_id: format!("e{n}"),
            title: format!("第 {n}\n条 [规则]"),
            snippet: String::new(),
            url: url.map(str::to_owned),
            score: 0.9,
        };
        let done = Done {
            status,
            finish_reason: if status == Status::Incomplete { "interrupted" } else { "stop" }.into(),
            usage: UsageReport::default(),
            citations: cited.iter().map(|&n| Citation { n, start: 0, end: 0 }).collect(),
            suggestions: vec!["近的问题".into()],
            timings_ms: Timings::default(),
            error: None,
        };
        let kinds = [
            EventKind::ResponseSources {
                decision,
                sources: vec![source(1, Some("https://a.example/1")), source(2, None)],
                courtesy: false,
                unsourced: false,
            },
            EventKind::ResponseTextDelta { delta: text.into(), offset: 0 },
            EventKind::ResponseTextDone { text: text.into() },
            EventKind::ResponseDone(Box::new(done)),
        ];
        let mut answer = Answer::default();
        for kind in kinds {
            answer.hear(ChatEvent { conversation_id: ConversationId::from_text("c"), response_id: None, seq: 1, kind });
        }
        answer
    }

    fn mark() -> AiMark {
        AiMark { zh: "AI 生成，请以出处为准".into(), en: String::new() }
    }

    #[test]
    fn an_answer_shows_the_sources_it_cites_and_who_made_it() {
        let text = answer(Decision::Grounded, "十五天[1]。", &[1], Status::Completed).markdown(Language::Zh, &mark());
        assert_eq!(text, "十五天[1]。\n\n> **出处**  \n> [1] [第 1 条 规则](https://a.example/1)  \n\n*AI 生成，请以出处为准*");
        let both = answer(Decision::Direct, "十五天。", &[], Status::Completed).markdown(Language::Zh, &mark());
        assert!(both.contains("> [2] 第 2 条 规则"), "{both}");
    }

    #[test]
    fn no_answer_shows_the_nearest_questions_and_a_broken_one_says_so() {
        let text = answer(Decision::None, "没有。", &[], Status::Completed).markdown(Language::Zh, &mark());
        assert!(text.contains("**相近的问题**\n\n- 近的问题") && !text.contains("出处**"), "{text}");
        let broken = answer(Decision::Grounded, "十五", &[], Status::Incomplete);
        assert!(broken.was_interrupted() && broken.markdown(Language::En, &mark()).contains("could not be finished"));
        // A mark without words is no mark, and no empty emphasis either.
        assert!(!broken.markdown(Language::En, &mark()).ends_with('*'));
    }
}
