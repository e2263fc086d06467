//! Makes an answer of quotations: which pieces of which sources, in which order, with their markers.
//! Every word of it stands in a source.

use std::collections::HashSet;

use super::super::Grounding;
use super::units::{Kind, Unit, units};

/// An answer up to this length is quoted whole: in Chinese characters, of which a Latin letter counts half.
const SHORT: usize = 220;
/// Most characters quoted of a longer one, unless one piece alone is longer.
const QUOTE: usize = 300;
/// Most characters of a list that is quoted because its introduction was.
const LIST: usize = 600;
/// Most pieces looked at in one source; retrieval hands over passages, not books.
const PIECES: usize = 24;
/// How close to the best piece another must be to be quoted too.
const CLOSE: f32 = 0.6;
/// A single piece shorter than this is quoted with what follows it: a sentence that only names the matter
/// is often explained by the next one.
const BARE: usize = 60;
/// Below this relevance no piece stands out, and the source is quoted from its beginning.
const FAINT: f32 = 0.15;
/// A second source must be this sure, compared with the first,
const NEARLY: f32 = 0.8;
/// and cover at least this share of the question that the first does not.
const ADDS: f32 = 0.15;

/// A source with its pieces and how relevant each is to the question.
pub(super) struct Candidate<'a> {
    source: &'a Grounding,
    pieces: Vec<Unit>,
    relevance: Vec<f32>,
}

impl<'a> Candidate<'a> {
    fn new(source: &'a Grounding, question: &HashSet<String>) -> Self {
        let mut pieces = if is_short(&source.text) { Vec::new() } else { units(&source.text) };
        pieces.truncate(PIECES);
        let relevance = pieces.iter().map(|piece| share(question, &features(&source.text[piece.range.clone()]))).collect();
        Self { source, pieces, relevance }
    }

    /// The texts whose closeness to the question would help to choose; none for a short source.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> + '_ {
        self.pieces.iter().map(|piece| self.source.text[piece.range.clone()].to_owned())
    }

    /// Mixes in how close each text is to the question, as a cosine.
    pub(super) fn weigh(&mut self, cosines: impl IntoIterator<Item = f32>) {
        for (relevance, cosine) in self.relevance.iter_mut().zip(cosines) {
            *relevance = (*relevance + cosine.max(0.0)) / 2.0;
        }
    }

    /// What to quote, with its marker.
    fn quote(&self) -> String {
        let text = &self.source.text;
        let quoted = if self.pieces.is_empty() { text.trim().to_owned() } else { join(text, &self.pieces, &self.chosen()) };
        mark(&defuse(&quoted), self.source.n)
    }

    /// The pieces to quote, in order.
    fn chosen(&self) -> Vec<usize> {
        let best = self.relevance.iter().copied().fold(0.0, f32::max);
        let mut ranking: Vec<usize> = (0..self.pieces.len()).filter(|&i| self.pieces[i].kind != Kind::Heading).collect();
        if best >= FAINT {
            ranking.retain(|&i| self.relevance[i] >= CLOSE * best);
            ranking.sort_by(|&a, &b| self.relevance[b].total_cmp(&self.relevance[a]));
        }
        let mut chosen = HashSet::new();
        let mut length = 0;
        for i in ranking {
            length += self.length(i);
            if length > QUOTE && !chosen.is_empty() {
                break;
            }
            chosen.insert(i);
            chosen.extend(self.introduced_by(i));
        }
        let mut chosen: Vec<usize> = chosen.into_iter().collect();
        chosen.sort_unstable();
        if let [only] = chosen[..] {
            chosen.extend(self.following(only));
        }
        chosen
    }

    /// What follows a bare piece, until there is enough to understand it.
    fn following(&self, only: usize) -> impl Iterator<Item = usize> + '_ {
        let mut length = self.length(only);
        let fits = |&next: &usize| self.pieces[next].kind != Kind::Heading && self.length(next) <= QUOTE;
        (only + 1..self.pieces.len()).take_while(fits).take_while(move |&next| {
            let bare = length < BARE;
            length += self.length(next);
            bare
        })
    }

    fn length(&self, i: usize) -> usize {
        self.source.text[self.pieces[i].range.clone()].chars().count()
    }

    /// The list or table that a piece ending in a colon announces.
    fn introduced_by(&self, i: usize) -> impl Iterator<Item = usize> + '_ {
        let introduces = self.source.text[self.pieces[i].range.clone()].ends_with([':', '：']);
        let listed = move |&next: &usize| introduces && matches!(self.pieces[next].kind, Kind::Item | Kind::Block);
        let mut room = LIST;
        (i + 1..self.pieces.len()).take_while(listed).take_while(move |&next| {
            let length = self.length(next);
            let fits = length <= room;
            room = room.saturating_sub(length);
            fits
        })
    }
}

/// The sources to answer from: the first, because they come in rank order, and the next one that is
/// nearly as sure if it covers more of the question.
pub(super) fn candidates<'a>(question: &str, grounding: &'a [Grounding]) -> Vec<Candidate<'a>> {
    let asked = features(&without_stop_words(question));
    let ranked: Vec<&Grounding> = grounding.iter().filter(|source| !source.text.trim().is_empty()).collect();
    let Some((lead, others)) = ranked.split_first() else { return Vec::new() };
    let covered = |source: &Grounding| features(&format!("{}\n{}", source.title, source.text));
    let known = covered(lead);
    let missing: HashSet<String> = asked.difference(&known).cloned().collect();
    let adds = |source: &&&Grounding| {
        let found = missing.intersection(&covered(source)).count() as f32;
        source.score >= NEARLY * lead.score && found >= ADDS * asked.len() as f32 && found > 0.0
    };
    let second = others.iter().find(adds).copied();
    std::iter::once(*lead).chain(second).map(|source| Candidate::new(source, &asked)).collect()
}

/// The answer. A second source is led in by its title, so that two rules are not read as one.
pub(super) fn answer(candidates: &[Candidate<'_>]) -> String {
    let mut parts = Vec::new();
    for (i, candidate) in candidates.iter().enumerate() {
        let title = candidate.source.title.trim();
        if i > 0 && !title.is_empty() && !candidate.source.text.contains(title) {
            parts.push(format!("**{}**", defuse(title)));
        }
        parts.push(candidate.quote());
    }
    parts.join("\n\n")
}

/// Joins pieces as they stood, or by the least that keeps them apart.
fn join(text: &str, pieces: &[Unit], chosen: &[usize]) -> String {
    let mut joined = String::new();
    for (k, &i) in chosen.iter().enumerate() {
        if let Some(before) = k.checked_sub(1).map(|k| chosen[k]) {
            joined.push_str(between(text, pieces, before, i));
        }
        joined.push_str(&text[pieces[i].range.clone()]);
    }
    joined
}

/// What stands between two quoted pieces.
fn between<'a>(text: &'a str, pieces: &[Unit], before: usize, after: usize) -> &'a str {
    let (last, next) = (&pieces[before], &pieces[after]);
    if before + 1 == after {
        &text[last.range.end..next.range.start]
    } else if last.kind == Kind::Item && next.kind == Kind::Item {
        "\n"
    } else if last.paragraph != next.paragraph {
        "\n\n"
    } else if text[..last.range.end].ends_with(|c: char| c.is_ascii()) {
        " "
    } else {
        ""
    }
}

/// Puts `[n]` behind a quotation, which stays as it stood; behind a table or code block, on a line of its own.
fn mark(text: &str, n: u32) -> String {
    let last_line = text.lines().last().unwrap_or_default().trim_start();
    // After Latin text a space keeps the marker out of a word or an address.
    let space = match text.chars().last() {
        _ if last_line.starts_with("```") || last_line.starts_with('|') => "\n\n",
        Some(last) if last.is_ascii() => " ",
        _ => "",
    };
    format!("{text}{space}[{n}]")
}

/// Keeps brackets with numbers that stand in a source from being read as markers of ours.
fn defuse(text: &str) -> String {
    if text.contains('`') {
        // Code is left alone by everybody who reads markers.
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['[', '【']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let open = if from.starts_with('[') { '[' } else { '【' };
        let inner = &from[open.len_utf8()..];
        let digits = inner.len() - inner.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        match (open, digits, inner[digits..].chars().next()) {
            ('[', 1.., Some(']' | ',')) => out.push_str("\\["),
            ('【', 1.., Some('】')) => {
                out.push_str(&format!("（{}）", &inner[..digits]));
                rest = &inner[digits + '】'.len_utf8()..];
                continue;
            }
            _ => out.push(open),
        }
        rest = inner;
    }
    out.push_str(rest);
    out
}

fn is_short(text: &str) -> bool {
    text.trim().chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>() <= 2 * SHORT
}

/// Words that every question has.
const STOP_WORDS: [&str; 22] = [
    "请问",
    "怎么样",
    "怎么",
    "如何",
    "什么",
    "多少",
    "哪些",
    "哪里",
    "是否",
    "可以",
    "需要",
    "能不能",
    "为什么",
    "吗",
    "呢",
    "我们",
    "我",
    "的",
    "了",
    "是",
    "有",
    "要",
];
const STOP_WORDS_EN: [&str; 24] = [
    "how", "do", "does", "i", "the", "a", "an", "to", "is", "are", "what", "can", "my", "for", "of", "in", "on", "and", "it", "when",
    "where", "which", "you", "your",
];

fn without_stop_words(question: &str) -> String {
    let mut kept = question.to_lowercase();
    for word in STOP_WORDS {
        kept = kept.replace(word, " ");
    }
    let words = kept.split(|c: char| c.is_whitespace() || c.is_ascii_punctuation());
    words.filter(|word| !STOP_WORDS_EN.contains(word)).collect::<Vec<_>>().join(" ")
}

/// The words of Latin text and the pairs of neighbouring Chinese characters.
fn features(text: &str) -> HashSet<String> {
    let lower = text.to_lowercase();
    let mut found = HashSet::new();
    for run in lower.split(|c: char| !c.is_alphanumeric()) {
        let mut word = String::new();
        let mut before = None;
        for c in run.chars().chain([' ']) {
            if c.is_ascii_alphanumeric() {
                word.push(c);
                before = None;
                continue;
            }
            if !word.is_empty() {
                found.insert(stem(&std::mem::take(&mut word)));
            }
            if let Some(before) = before {
                found.insert(format!("{before}{c}"));
            }
            before = (c != ' ').then_some(c);
        }
    }
    found.retain(|feature| !feature.ends_with(' '));
    found
}

/// Takes a plural's s off.
fn stem(word: &str) -> String {
    let plural = word.len() > 3 && !word.ends_with("ss");
    word.strip_suffix('s').filter(|_| plural).unwrap_or(word).to_owned()
}

/// The share of `asked` that `said` has, 0 to 1.
fn share(asked: &HashSet<String>, said: &HashSet<String>) -> f32 {
    if asked.is_empty() { 0.0 } else { asked.intersection(said).count() as f32 / asked.len() as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: u32, title: &str, text: &str, score: f32) -> Grounding {
        Grounding { n, title: title.into(), text: text.into(), score }
    }

    fn say(question: &str, grounding: &[Grounding]) -> String {
        answer(&candidates(question, grounding))
    }

    #[test]
    fn a_short_answer_is_quoted_whole() {
        let sources = [source(1, "保证金是多少？", "保证金为 1000 元。退店后可退。", 0.9), source(2, "保证金退还", "7 天内退还。", 0.7)];
        assert_eq!(say("保证金多少", &sources), "保证金为 1000 元。退店后可退。[1]");
        let english = [source(3, "Refunds", "Refunds take 3 days, see https://x.com/a", 0.9)];
        assert_eq!(say("refund time", &english), "Refunds take 3 days, see https://x.com/a [3]");
    }

    #[test]
    fn the_first_source_leads_because_retrieval_ranked_it_so() {
        let sources = [source(1, "a", "对。", 0.8), source(2, "b", "不对。", 0.9)];
        assert_eq!(say("问", &sources), "对。[1]");
        assert_eq!(say("问", &[]), "");
    }

    #[test]
    fn a_second_source_comes_when_it_covers_more_of_the_question() {
        let sources = [
            source(1, "保证金是多少？", "保证金为 1000 元。", 0.90),
            source(2, "保证金金额", "保证金 1000 元。", 0.89),
            source(3, "发票怎么开具？", "在后台开具发票。", 0.85),
            source(4, "发票在哪里开", "发票页面。", 0.84),
        ];
        assert_eq!(say("保证金多少？发票怎么开？", &sources), "保证金为 1000 元。[1]\n\n**发票怎么开具？**\n\n在后台开具发票。[3]");
        assert_eq!(say("保证金多少？", &sources), "保证金为 1000 元。[1]");
    }

    #[test]
    fn of_a_long_source_the_closest_sentences_are_quoted_in_order() {
        let filler = "平台每年更新一次规则说明文档，请各位留意站内信的通知内容。".repeat(8);
        let text = format!("{filler}退款通常三天到账。{filler}退款超过七天未到账请联系客服。{filler}");
        let said = say("退款多久到账？", &[source(1, "", &text, 0.9)]);
        assert_eq!(said, "退款通常三天到账。退款超过七天未到账请联系客服。[1]");
    }

    #[test]
    fn a_list_comes_with_its_introduction_and_whole() {
        let filler = "平台每年更新一次规则说明文档，请各位留意站内信的通知内容。".repeat(8);
        let text = format!("{filler}\n\n入驻材料如下：\n\n- 营业执照\n- 法人证件\n  正反面\n\n{filler}");
        let said = say("入驻材料有哪些？", &[source(2, "", &text, 0.9)]);
        assert_eq!(said, "入驻材料如下：\n\n- 营业执照\n- 法人证件\n  正反面[2]");
    }

    #[test]
    fn brackets_of_a_source_are_not_markers() {
        assert_eq!(defuse("见[3]、[表](u)、【2】和[2009]、[a][x]"), "见\\[3]、[表](u)、（2）和\\[2009]、[a][x]");
        assert_eq!(mark("|a|b|", 1), "|a|b|\n\n[1]");
    }

    #[test]
    fn features_are_words_and_pairs() {
        let mut found: Vec<String> = features("退款 Refunds到账").into_iter().collect();
        found.sort();
        assert_eq!(found, ["refund", "到账", "退款"]);
    }
}
