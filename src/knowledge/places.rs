//! Which countries a text names: a question about Japan is not answered with the row about Germany
//! because the two look alike. The list is data (`places.txt`); unknown places name nothing.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::text;

struct Places {
    words: AhoCorasick,
    codes: Vec<&'static str>,
}

// Immutable and built once, like the dictionaries of `text`.
static PLACES: LazyLock<Option<Places>> = LazyLock::new(|| {
    let lines = include_str!("places.txt").lines().filter(|line| !line.starts_with('#'));
    let pairs: Vec<(&str, &str)> = lines
        .filter_map(|line| line.split_once(" = "))
        .flat_map(|(code, words)| words.split(" | ").map(move |word| (word, code)))
        .collect();
    let (words, codes): (Vec<&str>, Vec<&str>) = pairs.into_iter().unzip();
    let words = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(words).ok()?;
    Some(Places { words, codes })
});

/// The codes of the countries a text names (`JP`, `DE` …).
pub fn named(text: &str) -> BTreeSet<&'static str> {
    let normal = text::normalise(text);
    let Some(places) = &*PLACES else { return BTreeSet::new() };
    let found = places.words.find_iter(&normal).filter(|found| stands_alone(&normal, found.start(), found.end()));
    let words = found.filter_map(|found| places.codes.get(found.pattern().as_usize()).copied());
    words.chain(codes_in(text)).collect()
}

/// Codes written as such: in capitals (`US`, not `tell us`), or before an ideograph (`us站`).
fn codes_in(text: &str) -> impl Iterator<Item = &'static str> {
    let runs = text.char_indices().filter(|(at, c)| {
        c.is_ascii_alphanumeric() && !text[..*at].chars().next_back().is_some_and(|before| before.is_ascii_alphanumeric())
    });
    runs.filter_map(|(at, _)| {
        let rest = &text[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let meant = word.chars().all(|c| c.is_ascii_uppercase()) || after.starts_with(text::is_han);
        if meant { code(word) } else { None }
    })
}

/// The code that a word is, in whatever case.
fn code(word: &str) -> Option<&'static str> {
    let word = if word.eq_ignore_ascii_case("GB") { "UK" } else { word };
    PLACES.as_ref()?.codes.iter().find(|code| code.eq_ignore_ascii_case(word)).copied()
}

/// The countries that a row's market means, given as a code or by a name.
pub fn of_market(market: &str) -> BTreeSet<&'static str> {
    code(market).map_or_else(|| named(market), |code| BTreeSet::from([code]))
}

/// Whether a row for `market` is about one of the `named` countries.
pub fn is_for(market: &str, named: &BTreeSet<&'static str>) -> bool {
    !of_market(market).is_disjoint(named)
}

/// A Latin word must not be a part of a longer one (`us` in `customs`).
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let latin = |c: char| c.is_ascii_alphanumeric();
    let word = &text[start..end];
    let before = text[..start].chars().next_back().is_some_and(latin);
    let after = text[end..].chars().next().is_some_and(latin);
    !(word.starts_with(latin) && before || word.ends_with(latin) && after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<&'static str> {
        named(text).into_iter().collect()
    }

    #[test]
    fn names_nicknames_and_borders_of_words() {
        assert_eq!(of("去狮城開店，和德国站比呢"), ["DE", "SG"]);
        assert_eq!(of("Shipping from Shenzhen to the United States"), ["CN", "US"]);
        assert!(of("customs dues of my parcels, please tell us").is_empty());
        assert_eq!(of("JP站的buyer"), ["JP"]);
        assert_eq!(of("us站 or GB?"), ["UK", "US"]);
        assert_eq!(of("how long to ship on the us site"), ["US"]);
    }

    #[test]
    fn a_market_is_matched_by_code_or_name() {
        let named = named("柏林的客人");
        assert!(is_for("DE", &named) && is_for("德国站", &named) && !is_for("JP", &named));
    }
}
