//! What could be asked next: questions of near rows that the base can answer and that were not asked
//! in this conversation (pure). A row's own question finds that row letter by letter, so nothing has to
//! be searched once more.

use std::collections::HashSet;

use crate::knowledge::{Hit, gist, read, text};
use crate::models::Language;

/// Questions suggested after an answer.
const SUGGESTIONS: usize = 3;
/// A row is near to a question that nothing answers when it is rather about the same thing than not.
const NEAR: f32 = 0.5;

/// The questions of near rows, the nearest first, without the row that the answer quotes first. In another
/// language than the reader's only when that row is: else they mostly ask once more what was just answered.
pub fn after_answer(hits: &[Hit], sources: &[Hit], language: Language) -> Vec<String> {
    let quoted = sources.first().map(|source| &source.entry);
    let mixed = quoted.is_some_and(|entry| Language::of(&entry.draft.question) != language);
    let near = questions(hits.iter().filter(|hit| Some(&hit.entry.id) != quoted.map(|entry| &entry.id)), language);
    near.into_iter().filter(|question| mixed || Language::of(question) == language).collect()
}

/// The questions of rows about the same thing as one that the base cannot answer.
pub fn instead(hits: &[Hit], language: Language) -> Vec<String> {
    questions(hits.iter().filter(|hit| hit.evidence.about() >= NEAR), language)
}

/// Those that were not asked before.
pub fn fresh(candidates: Vec<String>, asked: &[String]) -> Vec<String> {
    let mut known: HashSet<String> = asked.iter().map(|question| text::question_key(question)).collect();
    candidates.into_iter().filter(|question| known.insert(text::question_key(question))).take(SUGGESTIONS).collect()
}

/// Their own questions, those in the reader's language before the others.
fn questions<'a>(hits: impl Iterator<Item = &'a Hit>, language: Language) -> Vec<String> {
    let own = hits.filter(|hit| is_answered(hit)).map(|hit| hit.entry.draft.question.clone());
    let (same, others): (Vec<_>, Vec<_>) = own.partition(|question| Language::of(question) == language);
    same.into_iter().chain(others).collect()
}

/// Whether a row has a question that it answers: not the heading of a section, and not one that it is
/// said not to answer.
fn is_answered(hit: &Hit) -> bool {
    let question = &hit.entry.draft.question;
    let refused = hit.gist.not_keys.contains(&gist::word(&text::question_key(question)));
    !question.is_empty() && !question.contains(read::markdown_path()) && !refused
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::EntryId;
    use crate::knowledge::EntryDraft;
    use crate::knowledge::decide::tests::hit;

    fn row(id: &str, question: &str, cosine: f32) -> Hit {
        let draft = EntryDraft { question: question.into(), answer: "…".into(), ..EntryDraft::default() };
        let mut hit = hit(draft, 0.1);
        hit.entry.id = EntryId::from_text(id);
        (hit.evidence.cosine, hit.evidence.support) = (cosine, cosine);
        (hit.evidence.in_phrasing, hit.evidence.of_phrasing) = (0.2, 0.2);
        hit
    }

    #[test]
    fn instead_of_an_answer_comes_only_what_is_near() {
        let hits = [
            row("a", "How do I appeal?", 0.7),
            row("b", "申诉要多久？", 0.6),
            row("c", "怎么申诉？", 0.7),
            row("d", "怎么修打印机？", 0.2),
        ];
        assert_eq!(instead(&hits, Language::Zh), ["申诉要多久？", "怎么申诉？", "How do I appeal?"]);
        assert!(instead(&hits[3..], Language::Zh).is_empty());
    }

    #[test]
    fn after_an_answer_in_the_readers_language_nothing_comes_in_another() {
        let hits = [row("a", "怎么申诉？", 0.7), row("b", "How do I appeal?", 0.7), row("c", "申诉要多久？", 0.6)];
        assert_eq!(after_answer(&hits, &hits[..1], Language::Zh), ["申诉要多久？"]);
        // A base that only has it in English goes on in English, the reader's own language first.
        assert_eq!(after_answer(&hits, &hits[1..2], Language::Zh), ["怎么申诉？", "申诉要多久？"]);
        let english = [row("b", "How do I appeal?", 0.7), row("d", "How long does an appeal take?", 0.6)];
        assert_eq!(after_answer(&english, &english[..1], Language::Zh), ["How long does an appeal take?"]);
    }

    #[test]
    fn nothing_is_suggested_that_was_asked_quoted_or_is_not_answered() {
        let section = format!("规则{}申诉", read::markdown_path());
        let mut refused = row("r", "怎么关店？", 0.7);
        refused.entry.draft.negative = vec!["怎么关店".into()];
        refused.gist = std::sync::Arc::new(gist::Gist::of(&refused.entry.draft));
        let hits = [row("a", "怎么申诉？", 0.7), refused, row("s", &section, 0.7), row("b", "要多久？", 0.7), row("c", "找谁？", 0.7)];
        let offered = after_answer(&hits, &hits[..1], Language::Zh);
        assert_eq!(offered, ["要多久？", "找谁？"]);
        assert_eq!(fresh(offered, &["要多久".into()]), ["找谁？"]);
    }
}
