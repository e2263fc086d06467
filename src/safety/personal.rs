//! Personal data: identity card, mobile phone, bank card, e-mail, passport. It is replaced by a word that
//! says what stood there, so that the question stays readable.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::fold::Folded;
use super::numbers::{self, Kind};
use super::words::tail;
use super::{Action, Finding, Rule};
use crate::models::Language;

/// Longest e-mail address that is looked for, in characters.
const ADDRESS_REACH: usize = 128;

static EMAIL: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,30}\.){1,4}[A-Za-z]{2,12}").ok());
static PASSPORT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)(?:护照|護照|passport)(?:号码|号|號|\s*no\.?|\s*number)?(?:\s*[:：是为]|\s+is)?\s*([A-Z]{1,2}[0-9]{7,8})(?-u:\b)").ok()
});
/// Endings of file names that look like domains: `icon@2x.png`.
const FILES: [&str; 8] = ["png", "jpg", "jpeg", "gif", "webp", "svg", "pdf", "js"];

/// Finds personal data; what is listed as known (a shop's own contacts in the sources) is not personal.
#[derive(Clone, Debug, Default)]
pub struct PersonalData {
    known: BTreeSet<String>,
}

impl PersonalData {
    /// Everything in `sources` that is a phone or an e-mail address is published by the shop itself.
    pub fn beside<'a>(sources: impl IntoIterator<Item = &'a str>) -> Self {
        let mut known = BTreeSet::new();
        for source in sources.into_iter().filter(|source| may_have(source)) {
            let folded = Folded::width(source);
            let contacts = found(&folded.text).into_iter().filter(|(_, rule)| matches!(*rule, PHONE | EMAIL_RULE));
            known.extend(contacts.map(|(span, _)| key(&folded.text[span])));
        }
        Self { known }
    }
}

const ID_CARD: &str = "personal.id_card";
const PHONE: &str = "personal.phone";
const BANK_CARD: &str = "personal.bank_card";
const EMAIL_RULE: &str = "personal.email";
const PASSPORT_RULE: &str = "personal.passport";

impl Rule for PersonalData {
    fn find(&self, text: &str, language: Language) -> Vec<Finding> {
        if !may_have(text) {
            return Vec::new();
        }
        let folded = Folded::width(text);
        let spans = found(&folded.text).into_iter().filter(|(span, _)| !self.known.contains(&key(&folded.text[span.clone()])));
        spans
            .map(|(span, rule)| Finding {
                rule,
                action: Action::Redact,
                span: folded.origin(&span),
                instead: instead(rule, language).to_owned(),
            })
            .collect()
    }

    fn open_from(&self, text: &str) -> usize {
        let start = tail(text, ADDRESS_REACH + numbers::REACH);
        let folded = Folded::width(&text[start..]);
        let address = run(&folded.text, ADDRESS_REACH, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-' | '@'));
        let digits = run(&folded.text, numbers::REACH, |c| {
            c.is_ascii_digit()
                || matches!(c, '+' | '(' | ')' | 'x' | 'X' | ',')
                || numbers::SEPARATORS.contains(&c)
                || numbers::LOOSE_CHARS.contains(&c)
        });
        let digits =
            folded.text[digits..].find(|c: char| c.is_ascii_digit() || matches!(c, '+' | '(')).map_or(folded.text.len(), |at| digits + at);
        start + folded.origin_start(address.min(digits), &text[start..])
    }
}

/// Where the run of such characters that ends the text begins, `reach` characters back at most.
fn run(text: &str, reach: usize, belongs: impl Fn(char) -> bool) -> usize {
    text.char_indices().rev().take(reach).take_while(|(_, c)| belongs(*c)).last().map_or(text.len(), |(at, _)| at)
}

/// A text without digits and `@` is told at once.
fn may_have(text: &str) -> bool {
    text.chars().any(|c| c.is_ascii_digit() || matches!(c, '@' | '＠' | '０'..='９'))
}

fn found(text: &str) -> Vec<(std::ops::Range<usize>, &'static str)> {
    let mut found: Vec<_> = numbers::find(text)
        .into_iter()
        .map(|(span, kind)| {
            let rule = match kind {
                Kind::IdCard => ID_CARD,
                Kind::Phone => PHONE,
                Kind::BankCard => BANK_CARD,
            };
            (span, rule)
        })
        .collect();
    if let Some(email) = &*EMAIL {
        let addresses: Vec<_> = email.find_iter(text).filter(|hit| is_address(hit.as_str())).map(|hit| hit.range()).collect();
        // 13800138000@139.com is one address, not a phone as well.
        found.retain(|(span, _)| !addresses.iter().any(|address| address.start <= span.start && span.end <= address.end));
        found.extend(addresses.into_iter().map(|span| (span, EMAIL_RULE)));
    }
    if let Some(passport) = &*PASSPORT {
        found.extend(passport.captures_iter(text).filter_map(|hit| Some((hit.get(1)?.range(), PASSPORT_RULE))));
    }
    found
}

fn is_address(found: &str) -> bool {
    let ending = found.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    !FILES.contains(&ending.as_str()) && !found.starts_with("git@")
}

/// What spellings of the same contact have in common.
fn key(contact: &str) -> String {
    let digits: String = contact.chars().filter(char::is_ascii_digit).collect();
    if contact.contains('@') { contact.to_ascii_lowercase() } else { digits.strip_prefix("86").map(str::to_owned).unwrap_or(digits) }
}

/// What stands in place of what was taken out, in all languages.
const MARKS: [&str; 10] = [
    "[身份证号]",
    "[手机号]",
    "[银行卡号]",
    "[邮箱]",
    "[护照号]",
    "[ID card number]",
    "[phone number]",
    "[bank card number]",
    "[e-mail]",
    "[passport number]",
];

/// A question to search with: what stands in place of a number says nothing of what is asked, and would find the rows
/// about phones and cards.
pub fn searchable(question: &str) -> String {
    let bare = MARKS.iter().fold(question.to_owned(), |text, mark| text.replace(mark, " "));
    let left = bare.trim();
    if left.is_empty() { question.trim().to_owned() } else { left.to_owned() }
}

fn instead(rule: &str, language: Language) -> &'static str {
    match (rule, language) {
        (ID_CARD, Language::Zh) => "[身份证号]",
        (PHONE, Language::Zh) => "[手机号]",
        (BANK_CARD, Language::Zh) => "[银行卡号]",
        (EMAIL_RULE, Language::Zh) => "[邮箱]",
        (_, Language::Zh) => "[护照号]",
        (ID_CARD, Language::En) => "[ID card number]",
        (PHONE, Language::En) => "[phone number]",
        (BANK_CARD, Language::En) => "[bank card number]",
        (EMAIL_RULE, Language::En) => "[e-mail]",
        (_, Language::En) => "[passport number]",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::safety::redacted;

    fn shown(text: &str, language: Language) -> String {
        redacted(text, &PersonalData::default().find(text, language))
    }

    #[test]
    fn what_was_taken_out_is_not_searched_for() {
        for (rule, language) in
            [ID_CARD, PHONE, BANK_CARD, EMAIL_RULE, "passport"].into_iter().flat_map(|rule| [(rule, Language::Zh), (rule, Language::En)])
        {
            assert!(MARKS.contains(&instead(rule, language)), "{rule}");
        }
        assert_eq!(searchable("[手机号] 这是我的电话，退店后保证金多久退"), "这是我的电话，退店后保证金多久退");
        assert_eq!((searchable("[手机号]").as_str(), searchable(" 退款 ").as_str()), ("[手机号]", "退款"));
    }

    #[test]
    fn what_stood_there_stays_readable() {
        assert_eq!(shown("我的手机１３８００１３８０００，邮箱 a.b@shop.cn", Language::Zh), "我的手机[手机号]，邮箱 [邮箱]");
        assert_eq!(shown("ID 11010519491231002X, card 4111 1111 1111 1111", Language::En), "ID [ID card number], card [bank card number]");
        assert_eq!(shown("护照号：E12345678 可以吗", Language::Zh), "护照号：[护照号] 可以吗");
        assert_eq!(shown("图标 icon@2x.png，编号 E12345678", Language::Zh), "图标 icon@2x.png，编号 E12345678");
    }

    #[test]
    fn the_shops_own_contacts_may_be_said() {
        let rule = PersonalData::beside(["客服电话 138 0013 8000，help@shop.cn"]);
        let text = "请拨 13800138000 或写信到 Help@shop.cn；不要联系 13900139000。";
        assert_eq!(redacted(text, &rule.find(text, Language::Zh)), "请拨 13800138000 或写信到 Help@shop.cn；不要联系 [手机号]。");
    }

    #[test]
    fn only_a_number_or_a_word_under_way_is_pending() {
        let rule = PersonalData::default();
        let pending = |text: &str| text[rule.open_from(text)..].to_owned();
        assert_eq!(pending("保证金是 138"), "138");
        for under_way in [
            "138 0013 ",
            "1 3 8 0 0 1 3 ",
            "139·0013·",
            "139_0013",
            "138 . 0013 . ",
            "(0571) 87",
            "010-1",
            "138  0013",
            "138/00",
            "138\n0013\n",
        ] {
            assert_eq!(pending(&format!("打 {under_way}")), under_way);
        }
        assert_eq!(pending("write to some.bo"), "some.bo");
        assert_eq!(pending("好的，"), "");
    }
}
