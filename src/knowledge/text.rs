//! One text pipeline for every index: NFKC (which folds full width to half), lower case, traditional
//! to simplified; then words: Chinese by jieba's search cut, English by its stem, and codes such as
//! order numbers and SKUs kept whole. Queries and passages go through the same functions.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use ferrous_opencc::OpenCC;
use ferrous_opencc::config::BuiltinConfig;
use jieba_rs::Jieba;
use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;

// The dictionaries are immutable and cost tens of milliseconds to load, so each process has one.
static JIEBA: LazyLock<Jieba> = LazyLock::new(Jieba::new);
static SIMPLIFY: LazyLock<Option<OpenCC>> = LazyLock::new(|| OpenCC::from_config(BuiltinConfig::T2s).ok());
// Character by character, for those who need to know which character became which.
static SIMPLIFIED: LazyLock<Simplified> = LazyLock::new(Simplified::new);
static STEM: LazyLock<Stemmer> = LazyLock::new(|| Stemmer::create(Algorithm::English));

/// Loads the dictionaries, so that the first question does not pay for it.
pub fn warm() {
    LazyLock::force(&JIEBA);
    LazyLock::force(&SIMPLIFY);
    LazyLock::force(&SIMPLIFIED);
    LazyLock::force(&STEM);
}

/// Whether a character is a Chinese ideograph.
pub fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

/// NFKC, lower case, traditional to simplified, white space folded: what spellings of the same text
/// have in common.
pub fn normalise(text: &str) -> String {
    let folded = plainly_folded(text).unwrap_or_else(|| text.nfkc().flat_map(char::to_lowercase).collect());
    let simple = match &*SIMPLIFY {
        // Most texts have nothing to convert, and looking is far quicker than converting.
        Some(converter) if folded.chars().any(|c| simplified(c) != c) => converter.convert(&folded),
        _ => folded,
    };
    if !simple.contains(char::is_whitespace) {
        return simple;
    }
    let mut out = String::with_capacity(simple.len());
    for word in simple.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// NFKC in lower case of a text of nothing but what most texts are made of: ASCII, also in full width, ideographs and
/// the signs between them. Each of these is folded by itself; none where there is anything else.
fn plainly_folded(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        out.push(match c {
            '\0'..='\x7f' => c.to_ascii_lowercase(),
            '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '、' | '。' | '《' | '》' | '「' | '」' | '【' | '】' | '“' | '”' => {
                c
            }
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0)?.to_ascii_lowercase(),
            '\u{3000}' => ' ',
            _ => return None,
        });
    }
    Some(out)
}

/// The simplified form of one character; itself when it has none.
pub fn simplified(c: char) -> char {
    if is_han(c) { SIMPLIFIED.of(c) } else { c }
}

/// The ideographs whose simplified form is another one.
struct Simplified {
    /// Of each of the common ones, from [`FIRST`] on: every character of every text is looked up.
    common: Vec<char>,
    rare: HashMap<char, char>,
}

/// The common ideographs.
const FIRST: char = '\u{3400}';
const LAST: char = '\u{9fff}';

impl Simplified {
    /// Found by converting one a line.
    fn new() -> Self {
        let Some(converter) = &*SIMPLIFY else { return Self { common: Vec::new(), rare: HashMap::new() } };
        let pairs = |all: RangeInclusive<char>| {
            let lines: String = all.clone().flat_map(|c| [c, '\n']).collect();
            let converted = converter.convert(&lines);
            let simple: Vec<Option<char>> = converted.lines().map(|line| line.chars().next()).collect();
            all.zip(simple).map(|(c, simple)| (c, simple.unwrap_or(c)))
        };
        Self {
            common: pairs(FIRST..=LAST).map(|(_, simple)| simple).collect(),
            rare: pairs('\u{20000}'..='\u{323af}').filter(|(c, simple)| c != simple).collect(),
        }
    }

    fn of(&self, c: char) -> char {
        let there = (c as usize).checked_sub(FIRST as usize).and_then(|at| self.common.get(at));
        there.or_else(|| self.rare.get(&c)).copied().unwrap_or(c)
    }
}

/// The identity of a question: `normalise` with only letters and digits left.
pub fn question_key(text: &str) -> String {
    normalise(text).chars().filter(|c| c.is_alphanumeric()).collect()
}

/// The words a text is found by, in order, repeats kept.
pub fn tokens(text: &str) -> Vec<String> {
    let text = normalise(text);
    let mut out = Vec::with_capacity(text.len() / 3);
    cut(&text, &mut out);
    out
}

/// The same of text that is normalised already.
pub fn cut(normal: &str, out: &mut Vec<String>) {
    let mut rest = normal;
    while let Some(first) = rest.chars().next() {
        let run = |same: fn(char) -> bool| rest.find(|c| !same(c)).unwrap_or(rest.len());
        let end = if is_han(first) {
            let end = run(is_han);
            out.extend(JIEBA.cut_for_search(&rest[..end], false).into_iter().map(|token| token.word.to_owned()));
            end
        } else if is_code(first) && first.is_alphanumeric() {
            let end = run(is_code);
            push_code(rest[..end].trim_end_matches(|c: char| !c.is_alphanumeric()), out);
            end
        } else {
            first.len_utf8()
        };
        rest = &rest[end..];
    }
}

/// Pieces of characters a text is found by when its words are misspelt or unknown to the dictionary:
/// pairs of neighbouring ideographs, and threes of letters and digits with the word's ends marked.
pub fn grams(text: &str) -> Vec<String> {
    let text = normalise(text);
    let mut out = Vec::with_capacity(text.len() / 3);
    for run in text.split(|c: char| !c.is_alphanumeric()) {
        for run in same_script(run) {
            let ideographs = run.starts_with(is_han);
            let chars: Vec<char> = if ideographs { run.chars().collect() } else { format!("^{run}$").chars().collect() };
            let width = if ideographs { 2 } else { 3 };
            match chars.len() {
                0 => {}
                few if few < width => out.push(chars.iter().collect()),
                _ => out.extend(chars.windows(width).map(|piece| piece.iter().collect::<String>())),
            }
        }
    }
    out
}

/// Cuts a run of letters where ideographs begin or end.
fn same_script(run: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = run;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_han(c) != is_han(first)).unwrap_or(rest.len());
        parts.push(&rest[..end]);
        rest = &rest[end..];
    }
    parts
}

/// A long text's words with repeats counting less and less: a word stands again where it comes the second, fourth,
/// eighth time. What a passage says five times it is not five times as much about.
pub fn damped(words: Vec<String>) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut again = |word: &String| {
        let times = seen.entry(word.clone()).or_default();
        *times += 1;
        times.is_power_of_two()
    };
    words.into_iter().filter(|word| again(word)).collect()
}

/// Letters and digits, and what holds an order number, a SKU or a decimal together.
fn is_code(c: char) -> bool {
    (c.is_alphanumeric() && !is_han(c)) || matches!(c, '-' | '_' | '.' | '\'')
}

/// From so many digits on, digits with letters behind them are a code.
const CODE_DIGITS: usize = 3;

fn push_code(word: &str, out: &mut Vec<String>) {
    let parts: Vec<&str> = word.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).collect();
    let mixed = |part: &str| letters_and_digits(part).len() > 1;
    if parts.len() > 1 && word.chars().any(|c| c.is_ascii_digit()) {
        out.push(word.to_owned());
    }
    for part in parts {
        // `4471B` of an order number is looked for as a whole too; `7days` is only the number and the word.
        if mixed(part) && part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len() >= CODE_DIGITS {
            out.push(part.to_owned());
        }
        for piece in letters_and_digits(part) {
            let stem = if piece.chars().all(|c| c.is_ascii_alphabetic()) { STEM.stem(piece).into_owned() } else { piece.to_owned() };
            out.push(stem);
        }
    }
}

/// `7days` is `7` and `days`; a long mixture is a code and stays whole.
fn letters_and_digits(part: &str) -> Vec<&str> {
    let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
    if digits > 0 && digits < part.len() && part[digits..].chars().all(char::is_alphabetic) {
        return vec![&part[..digits], &part[digits..]];
    }
    vec![part]
}

/// The numbers in a text, as written (`15`, `0.5`, `2026`), for guards that must not confuse 7 days
/// with 15.
pub fn numbers(text: &str) -> Vec<String> {
    let text = normalise(text);
    let mut found = Vec::new();
    let mut current = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_ascii_digit() || (matches!(c, '.' | ',') && !current.is_empty()) {
            current.push(c);
        } else if !current.is_empty() {
            found.push(current.trim_end_matches(['.', ',']).replace(',', ""));
            current.clear();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_the_same_text_meet() {
        assert_eq!(normalise("ＡＢＣ　保證金\n多少？"), "abc 保证金 多少?");
        assert_eq!(question_key("跨境店 保证金，要交多少？"), question_key("跨境店保證金要交多少"));
    }

    #[test]
    fn ideographs_have_their_simplified_forms() {
        let simple: String = "證書㑮后頭，𠁞丁".chars().map(simplified).collect();
        assert_eq!((simple.as_str(), SIMPLIFIED.common.len()), ("证书𫝈后头，𠀾丁", LAST as usize - FIRST as usize + 1));
    }

    proptest::proptest! {
        /// The quick way is no other way.
        #[test]
        fn plain_texts_are_folded_as_all_are(text in "[ -~\t\n\u{3400}-\u{4dff}\u{4e00}-\u{9fff}、。《》「」【】“”\u{3000}\u{ff01}-\u{ff5e}é\u{304b}\u{3099}…]{0,12}") {
            let all: String = text.nfkc().flat_map(char::to_lowercase).collect();
            let other = text.chars().any(|c| matches!(c, 'é' | '\u{304b}' | '\u{3099}' | '…' | '\u{4dc0}'..='\u{4dff}'));
            proptest::prop_assert_eq!(plainly_folded(&text), (!other).then_some(all));
        }
    }

    #[test]
    fn words_codes_and_stems() {
        let words = tokens("保税仓发货时限 SKU-4471B refunds 7days");
        for word in ["保税", "发货", "时限", "sku-4471b", "4471b", "refund", "7", "day"] {
            assert!(words.iter().any(|w| w == word), "{word} in {words:?}");
        }
        assert!(tokens("4471B").contains(&"4471b".to_owned()) && !tokens("7days").contains(&"7days".to_owned()));
    }

    #[test]
    fn grams_survive_a_wrong_character() {
        assert_eq!(grams("保证金"), ["保证", "证金"]);
        assert_eq!(grams("退 fee"), ["退", "^fe", "fee", "ee$"]);
        let right = grams("限时抢购报名");
        let wrong = grams("限时抢够报名");
        assert!(wrong.iter().filter(|gram| right.contains(gram)).count() >= 3);
        assert!(grams("？！").is_empty());
    }

    #[test]
    fn repeats_count_less_and_less() {
        let words: Vec<String> = "a b a a a c a a a a a".split(' ').map(str::to_owned).collect();
        assert_eq!(damped(words).join(" "), "a b a a c a", "nine are as good as four");
        assert!(damped(Vec::new()).is_empty());
    }

    #[test]
    fn numbers_are_read_as_written() {
        assert_eq!(numbers("60,000 元，7 天内；0.5%。"), ["60000", "7", "0.5"]);
    }
}
