//! Which runs of digits are personal (pure): identity cards by their check digit and date, bank cards by
//! issuer, length and Luhn, phones by their shape. Order numbers, SKUs and amounts look alike, so what
//! stands directly before and after decides as well.

use std::ops::Range;

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A mainland identity card, 18 characters.
    IdCard,
    /// A mobile phone, a landline with its area code, or a number with its country code.
    Phone,
    /// A payment card.
    BankCard,
}

/// Longest number with its separators, in characters.
pub const REACH: usize = 40;
/// Longest way back to the word that says what a number is, in characters.
pub const LABEL_REACH: usize = 20;
/// Most groups a number is written in, unless it is spelled digit by digit.
const GROUPS: usize = 8;
/// What may stand between two groups, also between spaces.
pub const SEPARATORS: [char; 5] = ['-', '.', '_', '·', '•'];
/// What stands between the groups of a phone as well, but also between the numbers of a list, a date or a table.
const LOOSE: [&str; 13] = ["  ", "/", " / ", "/ ", " /", "\n", "\r\n", " \n", " \r\n", "\n ", "\r\n ", "-\n", "-\r\n"];
/// The longest of them, in characters.
const LONGEST_GAP: usize = 3;
/// What those are made of.
pub const LOOSE_CHARS: [char; 4] = [' ', '/', '\r', '\n'];

/// Finds personal numbers in half-width text, as byte ranges.
pub fn find(text: &str) -> Vec<(Range<usize>, Kind)> {
    let bytes = text.as_bytes();
    let starts = (0..bytes.len()).filter(|&at| bytes[at].is_ascii_digit() && (at == 0 || !bytes[at - 1].is_ascii_digit()));
    let mut found: Vec<(Range<usize>, Kind)> = Vec::new();
    for (span, kind) in starts.filter_map(|at| number_at(text, at)) {
        // The same number again without its country code.
        if found.last().is_none_or(|(before, _)| span.end > before.end) {
            found.push((span, kind));
        }
    }
    found
}

/// The longest personal number that begins with the digit at `at`.
fn number_at(text: &str, at: usize) -> Option<(Range<usize>, Kind)> {
    let start = with_country_sign(text, at);
    let label = Label::before(&text[..start]);
    let international = start < at || text[..at].ends_with('(');
    let mut number = Written { international, plus: start < at && text[start..].starts_with('+'), ..Written::default() };
    let mut found = None;
    let mut end = at;
    while (number.groups.len() < GROUPS || number.is_spelled()) && end - at < REACH {
        let rest = &text[end..];
        let Some(group) = next_group(rest, !number.groups.is_empty()).or_else(|| loose_group(rest)) else { break };
        number.gap(&rest[..group.start]);
        number.push(&text[end + group.start..end + group.end]);
        end += group.end;
        let stop = end + usize::from(number.is_one_short_of_an_id() && text[end..].starts_with(['x', 'X']));
        let whole = match number.loose {
            0 => !number.is_spelled() || stands_alone(text, start..stop),
            _ => label == Some(Label::Phone) || is_no_part_of_a_list(text, start..stop),
        };
        if let Some(kind) = number.kind(stop > end, label).filter(|kind| whole && may_stand(text, start..stop, *kind, label)) {
            found = Some((start..stop, kind));
        }
    }
    found
}

/// A number as it is written.
#[derive(Default)]
struct Written {
    digits: String,
    groups: Vec<usize>,
    international: bool,
    /// With a plus sign before its country's code.
    plus: bool,
    /// How many of the gaps are [`LOOSE`], and how many of those have a slash, or break the line.
    loose: usize,
    slashes: usize,
    breaks: usize,
    /// With dots, as decimals, versions and addresses of machines are too.
    dotted: bool,
}

impl Written {
    fn gap(&mut self, gap: &str) {
        self.dotted |= gap.contains('.');
        if LOOSE.contains(&gap) {
            self.loose += 1;
            self.slashes += usize::from(gap.contains('/'));
            self.breaks += usize::from(gap.contains('\n'));
        }
    }

    fn push(&mut self, group: &str) {
        self.digits.push_str(group);
        self.groups.push(group.len());
    }

    /// Digit by digit: 1 3 8 0 0 …, the country's code maybe in one.
    fn is_spelled(&self) -> bool {
        let rest = match self.groups.first() {
            Some(2) if self.digits.starts_with("86") => &self.groups[1..],
            _ => &self.groups[..],
        };
        rest.len() > 2 && rest.iter().all(|&group| group == 1)
    }

    fn is_one_short_of_an_id(&self) -> bool {
        self.digits.len() == 17
    }

    fn kind(&self, ends_in_x: bool, label: Option<Label>) -> Option<Kind> {
        if ends_in_x {
            return is_id_card(&format!("{}X", self.digits)).then_some(Kind::IdCard);
        }
        if is_id_card(&self.digits) || (label == Some(Label::Personal) && is_old_id_card(&self.digits)) {
            return Some(Kind::IdCard);
        }
        if self.is_phone(label) {
            return Some(Kind::Phone);
        }
        (self.loose == 0 && self.is_grouped_like_a_card() && is_bank_card(&self.digits)).then_some(Kind::BankCard)
    }

    fn is_phone(&self, label: Option<Label>) -> bool {
        let labelled = label == Some(Label::Phone);
        if self.is_chinese_mobile(labelled) || self.is_landline(labelled) {
            return true;
        }
        if self.groups == [3, 3, 4] && !self.digits.starts_with(['0', '1']) {
            return labelled || self.plus || self.international && self.loose == 0;
        }
        if self.loose > 0 {
            // +1 415 555 2671, or +49 30/123456 as it is usual there: not a date, nor the next line's number.
            let usual = self.groups == [1, 3, 3, 4] || self.groups.len() >= 3 && self.loose == 1 && self.slashes == 1;
            return self.plus && usual && (9..=15).contains(&self.digits.len()) && !self.digits.starts_with('0');
        }
        let fewest = if self.dotted { 3 } else { 2 };
        let long_enough = (self.groups.len() >= fewest && self.digits.len() >= 9) || self.digits.len() >= 11 && !self.dotted;
        self.international && long_enough && self.digits.len() <= 15 && !self.digits.starts_with('0')
    }

    /// An area's code and the number in it, with an extension maybe; in one only where the text says so.
    fn is_landline(&self, labelled: bool) -> bool {
        let area = match self.digits.as_bytes() {
            [b'0', b'1', b'0', ..] | [b'0', b'2', b'0'..=b'5' | b'7'..=b'9', ..] => 3,
            [b'0', b'3'..=b'9', ..] => 4,
            _ => return false,
        };
        let Some((first, rest)) = self.groups.split_first() else { return false };
        let local = |groups: &[usize]| matches!(groups, [8] | [4, 4]) || area == 4 && matches!(groups, [7] | [3, 4]);
        if self.loose > 0 {
            // Without an extension, which may be the next line's number.
            return labelled && *first == area && local(rest);
        }
        let apart = local(rest) || rest.split_last().is_some_and(|(extension, rest)| *extension <= 5 && local(rest));
        let certain = !self.dotted && self.digits.get(area..).is_some_and(|number| !number.starts_with('0'));
        certain && (*first == area && apart || labelled && rest.is_empty() && local(&[first.saturating_sub(area)]))
    }

    /// 1[3-9] and nine more, with or without 86, in one, in the usual groups or digit by digit; in any groups where the
    /// text says so.
    fn is_chinese_mobile(&self, labelled: bool) -> bool {
        let code = ["0086", "86", ""].iter().find(|code| self.digits.strip_prefix(**code).is_some_and(is_mobile));
        let Some(code) = code.map(|code| code.len()) else { return false };
        let mut groups = self.groups.clone();
        match groups.first_mut() {
            Some(first) if code > 0 && *first == code => drop(groups.remove(0)),
            Some(first) => *first -= code.min(*first),
            None => {}
        }
        if self.loose > 0 {
            return labelled && matches!(groups[..], [3, 8] | [7, 4])
                || matches!(groups[..], [3, 4, 4]) && (labelled || self.is_no_list(code));
        }
        let usual = matches!(groups[..], [11] | [3, 8] | [7, 4]) || self.is_spelled();
        matches!(groups[..], [3, 4, 4]) || !self.dotted && (labelled || usual)
    }

    /// Whether three groups with loose gaps behind a country's code of `code` digits are no prices or sizes (199/2999/3999):
    /// those have no country's code and none of them begins with 0; and beside each other they end alike.
    fn is_no_list(&self, code: usize) -> bool {
        let Some([second, third]) = self.digits.get(code + 3..).and_then(|rest| Some([rest.get(..4)?, rest.get(4..)?])) else {
            return false;
        };
        let alike = second[2..] == third[2..];
        code > 0 || second.starts_with('0') || third.starts_with('0') || self.slashes + self.breaks == 0 && !alike
    }

    /// Groups of four (the last of any length), 4-6-5, or all in one.
    fn is_grouped_like_a_card(&self) -> bool {
        let (last, before) = self.groups.split_last().unwrap_or((&0, &[]));
        before.is_empty() || self.groups == [4, 6, 5] || (before.iter().all(|&group| group == 4) && *last <= 4) || self.groups == [6, 13]
    }
}

/// What the word directly before a number says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    Phone,
    Personal,
    /// An order, a parcel, an article, an amount.
    Thing,
}

#[rustfmt::skip]
const LABELS: &[(Label, &[&str])] = &[
    (Label::Phone, &["手机", "手机号", "手机号码", "电话", "联系方式", "联系", "致电", "拨打", "微信", "tel", "phone", "mobile", "cell", "call", "whatsapp", "telephone", "手機", "電話"]),
    (Label::Personal, &["卡号", "银行卡", "信用卡", "储蓄卡", "身份证", "证件", "收款账号", "卡號", "card", "card number", "card no"]),
    (Label::Thing, &[
        "订单", "订单编", "运单", "快递单", "物流单", "单", "流水", "交易", "商品", "货", "编", "sku", "条形", "商品条", "批次", "批", "工单", "发票", "店铺",
        "活动", "合同", "税", "序列", "金额", "报关单", "提单", "型", "型号", "库存", "销量", "商户", "訂單", "單", "件数", "数量", "总额", "余额", "收入",
        "order", "orders", "tracking", "track", "shipment", "parcel", "item", "product", "asin", "ean", "upc", "gtin", "barcode", "invoice", "ref", "reference",
        "transaction", "txn", "case", "ticket", "batch", "lot", "serial", "awb", "container", "amount", "total", "id", "code", "model", "waybill", "payment",
    ]),
];

impl Label {
    /// Only fillers such as 号码是： and `no.` may stand between the word and the number.
    fn before(text: &str) -> Option<Self> {
        let tail = &text[super::words::tail(text, LABEL_REACH)..];
        let tail = tail.to_lowercase();
        let word = bare(&tail);
        let ends = |(label, words): &(Self, &[&str])| {
            let longest = words.iter().filter(|known| ends_with_word(word, known)).map(|known| known.len()).max()?;
            Some((longest, *label))
        };
        LABELS.iter().filter_map(ends).max_by_key(|(length, _)| *length).map(|(_, label)| label)
    }
}

/// Without what may stand between a label and its number.
fn bare(mut text: &str) -> &str {
    const FILLERS: [&str; 13] = ["号码", "号", "码", "號", "是", "为", "為", "no.", "no", "number", "numbers", "#", " is"];
    loop {
        let before = text;
        text =
            text.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '：' | '=' | '(' | '（' | '"' | '“' | '「' | '-' | '.'));
        // `card no` ends a label itself; everything else is trimmed.
        for filler in FILLERS {
            if let Some(rest) = text
                .strip_suffix(filler)
                .filter(|rest| !rest.is_empty() && (!filler.is_ascii() || !rest.ends_with(|c: char| c.is_ascii_alphanumeric())))
            {
                text = rest;
            }
        }
        if text == before {
            return text;
        }
    }
}

fn ends_with_word(text: &str, word: &str) -> bool {
    let Some(rest) = text.strip_suffix(word) else { return false };
    !word.is_ascii() || !rest.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// Whether what stands around a number lets it be one.
fn may_stand(text: &str, span: Range<usize>, kind: Kind, label: Option<Label>) -> bool {
    let personal = matches!(label, Some(Label::Phone | Label::Personal));
    let thing = label == Some(Label::Thing) && kind != Kind::IdCard;
    !thing && begins(&text[..span.start], personal) && ends(&text[span.end..], kind)
}

fn begins(before: &str, personal: bool) -> bool {
    let mut back = before.chars().rev();
    match back.next() {
        Some(c) if c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '$' | '¥' | '€' | '£' | '￥') => false,
        Some('#') => personal,
        Some('.' | ',') => !back.next().is_some_and(|c| c.is_ascii_digit()),
        Some('-') => personal || !back.next().is_some_and(|c| c.is_ascii_alphanumeric()),
        _ => true,
    }
}

fn ends(after: &str, kind: Kind) -> bool {
    let mut next = after.chars();
    match next.next() {
        Some(c) if c.is_ascii_alphanumeric() || matches!(c, '_' | '%') => return false,
        Some('-') => return !next.next().is_some_and(|c| c.is_ascii_alphanumeric()),
        Some('.' | ',') => return !next.next().is_some_and(|c| c.is_ascii_digit()),
        _ => {}
    }
    let unit = after.trim_start_matches(' ').chars().next();
    kind == Kind::IdCard || !unit.is_some_and(|c| matches!(c, '元' | '块' | '円' | '件' | '个' | '条' | '次' | '万' | '亿' | '%'))
}

/// The plus sign or bracket before the first digit belongs to the number.
fn with_country_sign(text: &str, at: usize) -> usize {
    let before = &text[..at];
    let open = if before.ends_with('(') && text[at..].find(')').is_some_and(|close| close <= 4) { 1 } else { 0 };
    let plus = before[..at - open].trim_end_matches(' ').strip_suffix('+').map_or(0, |rest| at - open - rest.len());
    at - open - if plus <= 2 { plus } else { 0 }
}

/// The next group of digits, after at most one separator, which may stand between spaces; in brackets after two.
fn next_group(text: &str, separated: bool) -> Option<Range<usize>> {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    if !separated {
        return Some(0..digits(0)).filter(|group| !group.is_empty());
    }
    let tight = text.strip_prefix(' ').unwrap_or(text);
    let separator = tight.strip_prefix(SEPARATORS).map(|rest| text.len() - rest.strip_prefix(' ').unwrap_or(rest).len());
    let bracket = || [") ", ")-", " (", ")", "(", " "].iter().find(|gap| text.starts_with(**gap)).map(|gap| gap.len());
    let gap = separator.or_else(bracket)?;
    Some(gap..gap + digits(gap)).filter(|group| !group.is_empty())
}

/// The same behind a [loose](LOOSE) gap.
fn loose_group(text: &str) -> Option<Range<usize>> {
    let gap = text.len() - text.trim_start_matches(|c| LOOSE_CHARS.contains(&c) || c == '-').len();
    let digits = text[gap..].bytes().take_while(u8::is_ascii_digit).count();
    Some(gap..gap + digits).filter(|group| !group.is_empty() && LOOSE.contains(&&text[..gap]))
}

/// Whether no other number stands beside it, or in the line before or behind.
fn is_no_part_of_a_list(text: &str, span: Range<usize>) -> bool {
    let before = text[..span.start].char_indices().rev().take(LONGEST_GAP).take_while(|(_, c)| LOOSE_CHARS.contains(c)).last();
    let before = &text[..before.map_or(span.start, |(at, _)| at)];
    let rest = &text[span.end..];
    !before.ends_with(|c: char| c.is_ascii_digit()) && next_group(rest, true).or_else(|| loose_group(rest)).is_none()
}

/// Whether no more digits stand around it: a longer row of single digits is no phone with something before or behind.
fn stands_alone(text: &str, span: Range<usize>) -> bool {
    let gap = |c: char| c == ' ' || SEPARATORS.contains(&c);
    let before = text[..span.start].trim_end_matches(gap);
    !before.ends_with(|c: char| c.is_ascii_digit()) && next_group(&text[span.end..], true).is_none()
}

fn is_mobile(digits: &str) -> bool {
    digits.len() == 11 && digits.starts_with('1') && matches!(digits.as_bytes()[1], b'3'..=b'9')
}

/// GB 11643: region, date of birth, and the check character modulo 11-2.
fn is_id_card(number: &str) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const PROVINCES: [&str; 35] = [
        "11", "12", "13", "14", "15", "21", "22", "23", "31", "32", "33", "34", "35", "36", "37", "41", "42", "43", "44", "45", "46", "50",
        "51", "52", "53", "54", "61", "62", "63", "64", "65", "71", "81", "82", "83",
    ];
    if number.len() != 18 || !PROVINCES.contains(&&number[..2]) || !is_date_of_birth(&number[6..14]) {
        return false;
    }
    let sum: u32 = number.bytes().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    number.as_bytes()[17] == b"10X98765432"[(sum % 11) as usize]
}

/// Fifteen digits without a check digit, issued until 1999: only where the text says so.
fn is_old_id_card(number: &str) -> bool {
    number.len() == 15 && is_date_of_birth(&format!("19{}", &number[6..12]))
}

fn is_date_of_birth(date: &str) -> bool {
    let part = |range: Range<usize>| date[range].parse::<u32>().unwrap_or_default();
    let year = i32::try_from(part(0..4)).unwrap_or_default();
    (1900..2100).contains(&year) && chrono::NaiveDate::from_ymd_opt(year, part(4..6), part(6..8)).is_some()
}

/// Lengths in use per issuer; rare ones (Visa with 13 or 19 digits) are left out, because order numbers
/// of that length are common.
fn is_bank_card(digits: &str) -> bool {
    let begins = |length: usize| digits.get(..length).and_then(|prefix| prefix.parse::<u32>().ok()).unwrap_or_default();
    let issued = match digits.len() {
        14 => matches!(begins(3), 300..=305) || matches!(begins(2), 36 | 38),
        15 => matches!(begins(2), 34 | 37),
        16 => {
            matches!(begins(1), 4)
                || matches!(begins(2), 51..=55 | 62 | 65)
                || matches!(begins(3), 644..=649)
                || matches!(begins(4), 2221..=2720 | 3528..=3589 | 6011 | 8171)
        }
        17 | 18 => begins(2) == 62,
        19 => begins(2) == 62 || begins(4) == 9558,
        _ => false,
    };
    issued && luhn(digits) && digits.bytes().any(|digit| digit != digits.as_bytes()[0])
}

fn luhn(digits: &str) -> bool {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let values = digits.bytes().rev().map(|digit| u32::from(digit - b'0'));
    let sum: u32 = values.enumerate().map(|(place, digit)| if place % 2 == 1 { doubled(digit) } else { digit }).sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(&str, Kind)> {
        find(text).into_iter().map(|(span, kind)| (&text[span], kind)).collect()
    }

    #[test]
    fn checksums_are_the_published_ones() {
        assert!(is_id_card("11010519491231002X") && !is_id_card("110105194912310020") && !is_id_card("99010519491231002X"));
        assert!(is_bank_card("4111111111111111") && is_bank_card("6222020200112233447") == luhn("6222020200112233447"));
        assert!(!is_bank_card("4111111111111112") && !is_bank_card("1234567812345670"));
    }

    #[test]
    fn numbers_are_read_however_they_are_grouped() {
        assert_eq!(kinds("身份证 110105 19491231 002X。"), [("110105 19491231 002X", Kind::IdCard)]);
        assert_eq!(kinds("+86 138-0013-8000"), [("+86 138-0013-8000", Kind::Phone)]);
        assert_eq!(kinds("call +1 (415) 555-2671 now"), [("+1 (415) 555-2671", Kind::Phone)]);
        assert_eq!(kinds("4111 1111 1111 1111"), [("4111 1111 1111 1111", Kind::BankCard)]);
        for phone in ["138.0013.8000", "138 - 0013 - 8000", "138- 0013 -8000", "+86 138.0013.8000", "+1.415.555.2671"] {
            assert_eq!(kinds(&format!("打 {phone} 找我")), [(phone, Kind::Phone)]);
        }
        assert_eq!(kinds("4111 - 1111 - 1111 - 1111"), [("4111 - 1111 - 1111 - 1111", Kind::BankCard)]);
        for none in ["139.69171234", "138.00138000", "+139.69171234", "138.0013.8000.5", "192.168.1.100", "版本 138.0013", "7.13800138000"]
        {
            assert_eq!(kinds(none), [], "{none}");
        }
        #[rustfmt::skip]
        let spellings = [
            "138 . 0013 . 8000", "139_0013_9000", "139·0013·9000", "139 · 0013 · 9000", "1 3 8 0 0 1 3 8 0 0 0", "+86 1 3 8 0 0 1 3 8 0 0 0",
            "1-3-8-0-0-1-3-8-0-0-0", "+86·139·0013·9000", "+86_139_0013_9000", "010-12345678", "(0571) 8765 4321", "0571-8765432",
            "021 6543 2100", "0755-2654-3210-801", "+86 10 6543 2100", "+86 (571) 8765 4321",
        ];
        for phone in spellings {
            assert_eq!(kinds(&format!("打 {phone} 找我")), [(phone, Kind::Phone)]);
        }
        for labelled in ["电话 01065432100", "手机号：138 001 38000", "联系 138 00138 000"] {
            assert_eq!(kinds(labelled).len(), 1, "{labelled}");
        }
        #[rustfmt::skip]
        let none = [
            "1 3 8 0 0 1 3 8 0 0 0 5", "5 1 3 8 0 0 1 3 8 0 0 0", "1.3.8.0.0.1.3.8.0.0.0", "SKU_139_0013_9000", "订单号 010-12345678",
            "批号：0571-87654321", "编号 1 3 8 0 0 1 3 8 0 0 0", "000-12345678", "0100-1234-5678", "010-02345678", "尺码 3 6 3 8 4 0 4 2 4 4 4",
            "01065432100", "139_0013_9000_1", "010.12345678", "139·0013·9000 元", "138 001 38000",
        ];
        for none in none {
            assert_eq!(kinds(none), [], "{none}");
        }
        #[rustfmt::skip]
        let loose = [
            "138  0013  8000", "139  1234  5678", "138/0013/8000", "138 / 0013 / 8000", "138\n0013\n8000", "138 0013\n8000", "138-0013-\n8000",
            "138\r\n0013 8000", "+86 139/1234/5678", "+86  139  1234  5678", "86\n139 1234 5678", "+49 30/123456", "+1  415  555  2671",
        ];
        for phone in loose {
            assert_eq!(kinds(&format!("打 {phone} 找我")), [(phone, Kind::Phone)]);
        }
        for (labelled, phone) in [
            ("手机：139/1234/5678", "139/1234/5678"),
            ("电话 139\n1234\n5678", "139\n1234\n5678"),
            ("电话：0571/87654321", "0571/87654321"),
            ("电话 010  6543  2100", "010  6543  2100"),
            ("tel: 415/555/2671", "415/555/2671"),
            ("手机 138\n00138000\n2 件", "138\n00138000"),
            ("电话 010-12345678\n2. 邮箱", "010-12345678"),
            ("+86 10 6543 2100\n2. 邮箱", "+86 10 6543 2100"),
            ("打 138 0013 8000\n5 件", "138 0013 8000"),
        ] {
            assert_eq!(kinds(labelled), [(phone, Kind::Phone)], "{labelled}");
        }
        #[rustfmt::skip]
        let none = [
            "套餐 199/2999/3999 任选", "150  2000  3000", "199  2999  3999", "150\n2000\n3000", "139\n1234\n5678", "2026/11/25", "15/11/2026 10:30",
            "(12) 25/11/2026 10:30", "(300/400/5000)", "+10  2026  11  25", "增长 +10\n20261125 12", "13800\n138000", "138/00138000",
            "1380013\n8000", "5  138  0013  8000", "138  0013  8000  12", "138\n0013\n8000\n12", "1\n3\n8\n0\n0\n1\n3\n8\n0\n0\n0",
            "订单号 138/0013/8000", "0571/87654321", "4111\n1111\n1111\n1111", "数量 138  0013  8000 件", "1/3/8/0/0/1/3/8/0/0/0",
        ];
        for none in none {
            assert_eq!(kinds(none), [], "{none}");
        }
        assert_eq!(kinds("13800138000 - 13900139000"), [("13800138000", Kind::Phone), ("13900139000", Kind::Phone)]);
        assert_eq!(kinds("13800138000 13900139000"), [("13800138000", Kind::Phone), ("13900139000", Kind::Phone)]);
    }

    #[test]
    fn the_word_before_tells_an_order_from_a_phone() {
        for none in
            ["订单号：13800138000", "order no. 13800138000", "SKU-13800138000", "¥13800138000", "13800138000元", "运单4111111111111111"]
        {
            assert_eq!(kinds(none), [], "{none}");
        }
        for phone in ["手机号码是13800138000", "订单里写的电话：13800138000", "我的号 13800138000"] {
            assert_eq!(kinds(phone), [("13800138000", Kind::Phone)], "{phone}");
        }
    }
}
