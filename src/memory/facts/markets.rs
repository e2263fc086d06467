//! Markets in what a merchant says (pure): codes in capitals, where goods go or come from, and where a shop moves to.

use std::cmp::Reverse;

use super::{SPOKEN, Slot};

/// Codes of markets with their names in what is read, which are none in small letters: "my refund", "tell us". Of China
/// the site: many shops are in that country and sell elsewhere.
pub const CODES: [(&str, &str); 7] = [
    ("CN", "china site"),
    ("SG", "singapore"),
    ("MY", "malaysia"),
    ("US", "united states"),
    ("UK", "united kingdom"),
    ("DE", "germany"),
    ("JP", "japan"),
];
/// Capital words that are as many shout: there MY is no market.
const SHOUTED: usize = 3;
/// A code is a market's between these: "sell in US", "SG 站".
const CODE_BEHIND: &[&str] =
    &["sell in ", "selling in ", "based in ", "i am in ", "i'm in ", "we are in ", "we're in ", "我在", "我们在", "我是", "我做"];
const SHOP_FOLLOWS: &[&str] =
    &["站", "店", "区", "商家", "卖家", "的商家", "的卖家", "的店", "site", "market", "shop", "store", "seller", "marketplace"];
/// The shop goes from one market to another; the new one stands behind.
const MOVES: &[&str] =
    &["迁到", "迁至", "迁往", "搬到", "搬至", "搬去", "转到", "转至", "转移到", "换到", "改到", "切换到", "换成", "改成"];
/// Of these, what changes much besides shops: languages, accounts, telephone numbers. Only with the name of a shop or site
/// behind them a shop does.
const CHANGES: &[&str] = &["换成", "改成"];
const MOVES_EN: &[&str] = &["moved", "migrated", "switched", "relocated", "transferred"];
/// What belongs to goods.
pub(super) const GOODS: &[&str] = &[
    "货",
    "包裹",
    "库存",
    "快递",
    "仓",
    "工厂",
    "产地",
    "factory",
    "goods",
    "parcel",
    "package",
    "stock",
    "inventory",
    "shipment",
    "warehouse",
    "deliver",
    " ship",
];
/// Directly before a place that goods go to or come from.
const BOUND_FOR: &[&str] = &[
    "发往",
    "发到",
    "发去",
    "发",
    "寄往",
    "寄到",
    "寄去",
    "寄",
    "运往",
    "运到",
    "运去",
    "送到",
    "送往",
    "卖到",
    "卖往",
    "销往",
    "销到",
    "出口到",
    "出口",
    "从",
    "自",
    " to",
    " from",
    " out of",
    " made in",
    " sourced in",
    " stored in",
];
/// Directly before " from" a place that somebody is from.
const WHO_SELLS: &[&str] = &["seller", "sellers", "shop", "store", "merchant"];
/// Directly behind one.
const STORED: &[&str] =
    &["仓", "海外仓", "库存", "现货", "发货", "发出", "寄出", "出货", "进口", "采购", "直邮", "warehouse", "overseas warehouse", "fulfil"];
/// May stand before one of these: 在马来西亚有一个海外仓.
const HAD: &[&str] = &["有", "租了", "租", "建了", "建", "设了", "设", "自己的", "自己", "自建", "一个", "个", "的", "当地"];
/// Directly behind the name of a country that is no market then.
const OF_A_COUNTRY: &[&str] = &["语", "文", "人", "货"];

/// The market that the shop goes to.
pub(super) fn moved_to(clause: &str) -> Option<&'static str> {
    let to = |verb: &&str| clause.find(*verb).and_then(|at| clause[at..].rfind(" to ").map(|to| (at + to + " to ".len(), false)));
    let behind = |verb: &&str| clause.find(*verb).map(|at| (at + verb.len(), CHANGES.contains(verb)));
    let (at, changes) = MOVES.iter().find_map(behind).or_else(|| MOVES_EN.iter().find_map(to))?;
    let target = &clause[at..];
    let markets = SPOKEN.iter().filter(|(slot, ..)| *slot == Slot::Market);
    let named = markets.filter_map(|(_, value, spoken)| {
        // The longest name at a place: what follows it tells, and 西亚语 would tell nothing.
        let (at, _, word) = spoken.iter().filter_map(|word| Some((find_word(target, word)?, Reverse(word.len()), *word))).min()?;
        let behind = target[at + word.len()..].trim_start();
        let of_else = behind.starts_with('的') || OF_A_COUNTRY.iter().any(|word| behind.starts_with(word));
        (names_shop(word, behind) || !changes && !of_else).then_some((at, *value))
    });
    named.min().map(|(_, value)| value)
}

/// Whether something else than the shop, perhaps the shop's own, becomes one of the place between these:
/// 店铺的客服电话改成新加坡的号码.
pub(super) fn of_else(before: &str, word: &str, behind: &str, of_a_shop: bool) -> bool {
    let follows = |verbs: &[&str]| verbs.iter().any(|verb| before.contains(verb));
    let behind = behind.trim_start();
    !names_shop(word, behind) && (of_a_shop && follows(CHANGES) || behind.starts_with('的') && follows(MOVES))
}

/// Whether a market's name is a shop's or a site's: of itself (新加坡站), or with what follows it (新加坡的店).
fn names_shop(word: &str, behind: &str) -> bool {
    let of = behind.strip_prefix('的').unwrap_or(behind);
    word.ends_with(['站', '区'])
        || word.ends_with("site")
        || word.ends_with("market")
        || SHOP_FOLLOWS.iter().any(|word| of.starts_with(word))
}

/// Whether a place that stands between these is where goods go, lie or come from.
pub(super) fn of_goods(before: &str, word: &str, behind: &str) -> bool {
    let behind = behind.trim_start();
    let (before, of) = (before.trim_end(), behind.strip_prefix('的').unwrap_or(behind));
    let before = before.strip_suffix(" the").unwrap_or(before);
    let mut had = behind;
    while let Some(rest) = HAD.iter().find_map(|word| had.strip_prefix(word)) {
        had = rest.trim_start();
    }
    if STORED.iter().any(|word| had.starts_with(word)) {
        return true;
    }
    if names_shop(word, behind) {
        return false;
    }
    // Where somebody sells goods is one thing, and where its goods lie is another: I sell in … and my stock is in ….
    let last = [" and ", " but "].iter().filter_map(|word| before.rfind(word).map(|at| at + word.len() - 1)).max().unwrap_or(0);
    let near = &before[last..];
    let bound = BOUND_FOR.iter().any(|word| before.ends_with(word)) && !is_from(before);
    let sold_there = near.contains("sell") || behind.starts_with('卖');
    bound || OF_A_COUNTRY.iter().any(|word| of.starts_with(word)) || GOODS.iter().any(|word| near.contains(word)) && !sold_there
}

/// Who comes from there, not what: a seller from ….
fn is_from(before: &str) -> bool {
    before.strip_suffix(" from").is_some_and(|who| WHO_SELLS.iter().any(|word| who.ends_with(word)))
}

/// Whether somebody says of itself that it sells in the place between these: 我用海外仓在新加坡卖.
pub(super) fn sells_in(before: &str, behind: &str) -> bool {
    let before = before.trim();
    ["我用", "我们用"].iter().any(|word| before.starts_with(word)) && before.ends_with('在') && behind.trim_start().starts_with('卖')
}

/// Where a word stands; a Latin one by itself.
pub(super) fn find_word(text: &str, word: &str) -> Option<usize> {
    let apart = |at: usize| {
        let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        !word.is_ascii() || !letter(text[..at].chars().next_back()) && !letter(text[at + word.len()..].chars().next())
    };
    text.match_indices(word).map(|(at, _)| at).find(|at| apart(*at))
}

/// A clause in lower case, with codes of markets as their names.
pub(super) fn spelled_out(clause: &str) -> String {
    let lower = clause.to_lowercase();
    let moves = moved_verb(&lower);
    if shouts(clause) {
        return lower;
    }
    let mut spelled = String::with_capacity(clause.len());
    let mut rest = clause;
    while let Some((at, code, name)) = CODES.iter().filter_map(|(code, name)| Some((find_word(rest, code)?, *code, *name))).min() {
        let (before, behind) = (&rest[..at], &rest[at + code.len()..]);
        spelled.push_str(&before.to_lowercase());
        let follows = behind.trim_start().to_lowercase();
        let is_market =
            moves || SHOP_FOLLOWS.iter().any(|word| follows.starts_with(word)) || CODE_BEHIND.iter().any(|word| spelled.ends_with(word));
        spelled.push_str(if is_market { name } else { code });
        rest = behind;
    }
    spelled.push_str(&rest.to_lowercase());
    spelled
}

/// Whether a text of Latin words is all in capitals: then they say nothing.
pub fn shouts(text: &str) -> bool {
    let latin = || text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    latin().count() >= SHOUTED && !latin().any(|word| word.contains(|c: char| c.is_ascii_lowercase()))
}

fn moved_verb(clause: &str) -> bool {
    MOVES.iter().chain(MOVES_EN).any(|verb| clause.contains(verb))
}
