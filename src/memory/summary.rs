//! What a conversation's older turns come down to (pure): a line per turn, and prose when a model is
//! there to write it. Of the lines, those go into a prompt that have to do with the question, so that
//! turn 200 costs no more than turn 20 and still knows what turn 3 settled.

use serde::{Deserialize, Serialize};

use super::Fact;
use crate::knowledge::{decide, text};
use crate::models::tokens;

/// Lines kept at most; beyond it the oldest go.
const LINES: usize = 400;
/// Characters of a line's question and of its answer.
const QUESTION_CHARS: usize = 60;
const ANSWER_CHARS: usize = 100;

/// The summary of the turns that no longer fit the window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// A line per turn, oldest first.
    pub lines: Vec<Line>,
    /// What a model wrote about the turns up to `prose_to`.
    #[serde(default)]
    pub prose: String,
    /// The last turn that the prose is about.
    #[serde(default)]
    pub prose_to: i64,
}

/// One turn in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Which turn.
    pub place: i64,
    /// Its question and the beginning of its answer.
    pub text: String,
}

/// What a conversation remembers beside its window.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// Of the older turns.
    pub summary: Summary,
    /// The last turn in the summary.
    pub summary_to: i64,
    /// What the merchant has stated.
    pub facts: Vec<Fact>,
}

/// A turn as far as a summary needs it.
#[derive(Clone, Debug, sqlx::FromRow)]
#[expect(missing_docs, reason = "the fields are Turn's")]
pub struct Said {
    pub place: i64,
    pub question: String,
    pub answer: String,
}

/// How many of the newest turns fit a window of so many tokens and turns.
pub fn fitting(said: &[Said], budget: usize, most: usize) -> usize {
    let newest = || said.iter().rev().take(most);
    if tokens::fit(newest().flat_map(|turn| [turn.question.as_str(), &turn.answer]), budget) {
        return newest().count();
    }
    let mut left = budget;
    let costs = newest().map(|turn| tokens::count(&turn.question) + tokens::count(&turn.answer));
    costs.take_while(|cost| left.checked_sub(*cost).map(|rest| left = rest).is_some()).count()
}

impl Summary {
    /// Takes turns in, oldest first.
    pub fn fold(&mut self, said: &[Said]) {
        self.lines.extend(said.iter().filter(|turn| !turn.answer.is_empty()).map(Line::of));
        let over = self.lines.len().saturating_sub(LINES);
        self.lines.drain(..over);
    }

    /// What has to do with a question, within a budget: the prose, then lines by how many of the
    /// question's words they share, the newer first among equals; told in the order they were said.
    pub fn recall(&self, question: &str, budget: usize) -> String {
        let words: Vec<String> = text::tokens(question).into_iter().filter(|word| !decide::is_asking(word)).collect();
        let shared = |line: &Line| {
            let plain = line.text.to_lowercase();
            words.iter().filter(|word| plain.contains(word.as_str())).count()
        };
        let mut ranked: Vec<(usize, &Line)> = self.lines.iter().map(|line| (shared(line), line)).collect();
        ranked.sort_by_key(|(shared, line)| std::cmp::Reverse((*shared, line.place)));
        let mut left = budget.saturating_sub(tokens::count(&self.prose));
        let mut picked = Vec::new();
        for (_, line) in ranked {
            let cost = tokens::count(&line.text) + 1;
            if cost > left {
                break;
            }
            left -= cost;
            picked.push(line);
        }
        picked.sort_by_key(|line| line.place);
        let prose = (!self.prose.is_empty()).then_some(self.prose.as_str());
        prose.into_iter().chain(picked.into_iter().map(|line| line.text.as_str())).collect::<Vec<_>>().join("\n")
    }
}

impl Line {
    fn of(said: &Said) -> Self {
        let text = format!("{} → {}", cut(&said.question, QUESTION_CHARS), cut(&without_markers(&said.answer), ANSWER_CHARS));
        Self { place: said.place, text }
    }
}

/// The first so many characters on one line, up to a sentence's end where there is one.
fn cut(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    let head: String = line.chars().take(most).collect();
    match head.rfind(['。', '！', '？', '!', '?']) {
        Some(at) if at * 2 > head.len() => head[..at].to_owned(),
        _ => format!("{head}…"),
    }
}

/// `[1]` refers to sources that are not there any more.
fn without_markers(text: &str) -> String {
    let mut left = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('[') {
        let (before, marker) = rest.split_at(at);
        left.push_str(before);
        let digits = marker[1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(marker.len() - 1);
        let is_marker = digits > 0 && marker[1 + digits..].starts_with(']');
        let end = if is_marker { digits + 2 } else { 1 };
        if !is_marker {
            left.push('[');
        }
        rest = &marker[end..];
    }
    left.push_str(rest);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(place: i64, question: &str, answer: &str) -> Said {
        Said { place, question: question.into(), answer: answer.into() }
    }

    #[test]
    fn the_third_of_two_hundred_turns_is_recalled_at_no_more_cost() {
        let mut summary = Summary::default();
        summary.fold(&[said(3, "我们的退货仓定在哪里？", "退货仓定在宁波保税区 7 号库[1]。")]);
        let later: Vec<Said> = (4..200).map(|n| said(n, &format!("第 {n} 个订单怎么发货？"), "在发货中心打印面单[2]。")).collect();
        summary.fold(&later);
        let recalled = summary.recall("退货仓是哪个？", 200);
        assert!(recalled.contains("宁波保税区 7 号库") && !recalled.contains("[1]"), "{recalled}");
        assert!(tokens::count(&recalled) <= 200, "{}", tokens::count(&recalled));
        assert_eq!(summary.lines.len(), 197);
    }

    #[test]
    fn what_fits_is_counted_from_the_newest() {
        let turns = [said(1, "a", "b"), said(2, "一二三四五六七八九十", "很长的回答很长的回答"), said(3, "c", "d")];
        assert_eq!(fitting(&turns, 4, 12), 1);
        assert_eq!(fitting(&turns, 400, 12), 3);
        assert_eq!(fitting(&turns, 400, 2), 2);
    }

    #[test]
    fn markers_go_and_other_brackets_stay() {
        assert_eq!(without_markers("a[1][23] b [x] c[ 2] [9"), "a b [x] c[ 2] [9");
    }
}
