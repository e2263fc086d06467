//! Which countries a text names: a question about Japan is not answered with the row about Germany
//! because the two look alike. The list is data (`places.txt`); unknown places name nothing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::text;

/// Two letters that shops use beside those: the European Union and its own code for Greece, Northern Ireland, Kosovo, the
/// whole world.
const BESIDE_ISO: &str = "EU EL XI XK WW";
/// The two letters of every country (ISO 3166-1).
const ISO: &str = "\
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD \
    CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF \
    GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN \
    KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA \
    NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI \
    SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI \
    VN VU WF WS YE YT ZA ZM ZW";

// As capitals: every row of an import is asked for.
static COUNTRIES: LazyLock<HashSet<&str>> = LazyLock::new(|| ISO.split(' ').collect());

struct Places {
    words: AhoCorasick,
    codes: Vec<&'static str>,
    /// The codes by their capitals.
    known: HashMap<String, &'static str>,
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
    let known = codes.iter().map(|code| (code.to_ascii_uppercase(), *code)).collect();
    Some(Places { words, codes, known })
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
    PLACES.as_ref()?.known.get(&word.to_ascii_uppercase()).copied()
}

/// Whether two letters stand for no country: as a market they can only be a slip.
pub fn is_no_code(market: &str) -> bool {
    let two_letters = market.len() == 2 && market.bytes().all(|byte| byte.is_ascii_alphabetic());
    two_letters && !is_iso(market) && code(market).is_none() && !BESIDE_ISO.split(' ').any(|code| code.eq_ignore_ascii_case(market))
}

/// Whether a market names a country.
pub fn is_known(market: &str) -> bool {
    is_iso(market) || !of_market(market).is_empty()
}

fn is_iso(market: &str) -> bool {
    market.len() == 2 && COUNTRIES.contains(market.to_ascii_uppercase().as_str())
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
    fn a_slip_is_told_from_a_market() {
        assert_eq!(ISO.split(' ').filter(|code| code.len() == 2).count(), 249);
        assert!(["XX", "zz", "Jq"].iter().all(|slip| is_no_code(slip) && !is_known(slip)));
        assert!(["JP", "jp", "KE", "UK", "EU", "GB"].iter().all(|code| !is_no_code(code) && is_known(code)));
        assert!(["国内站", "Germany", "DE/FR"].iter().all(|name| is_known(name)));
        assert!(["Japn", "东仓"].iter().all(|name| !is_no_code(name) && !is_known(name)));
    }

    #[test]
    fn a_market_is_matched_by_code_or_name() {
        let named = named("柏林的客人");
        assert!(is_for("DE", &named) && is_for("德国站", &named) && !is_for("JP", &named));
    }
}
