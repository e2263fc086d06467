//! What the merchant has said about itself (pure): market, kind of shop, order number. Only plain
//! statements count ("我是跨境店", "my order is …"), never a question about one; what is said later
//! replaces what was said before, and what is denied ("我不是跨境店了") is forgotten. Where goods go or come from says
//! nothing about the shop; where the shop moves to does.

use serde::{Deserialize, Serialize};

use self::markets::{GOODS, find_word, moved_to, of_else, of_goods, sells_in, spelled_out};

mod markets;

pub use markets::{CODES, shouts};

/// Something the merchant has stated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Of which kind.
    pub slot: Slot,
    /// In the one spelling we use.
    pub value: String,
    /// The turn that said it.
    pub place: i64,
}

/// What may be stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Slot {
    Market,
    ShopType,
    Order,
}

/// How a value is said, in lower case, the longest first.
type Spoken = (Slot, &'static str, &'static [&'static str]);

#[rustfmt::skip]
const SPOKEN: &[Spoken] = &[
    (Slot::Market, "中国站", &["中国站", "国内站", "china site", "chinese site"]),
    (Slot::Market, "新加坡站", &["新加坡站", "新加坡", "singapore"]),
    (Slot::Market, "马来西亚站", &["马来西亚站", "马来站", "马来西亚", "马来", "malaysia"]),
    (Slot::Market, "美国站", &["美国站", "美区", "us site", "us market", "united states"]),
    (Slot::Market, "英国站", &["英国站", "uk site", "uk market", "united kingdom"]),
    (Slot::Market, "德国站", &["德国站", "germany", "german site"]),
    (Slot::Market, "日本站", &["日本站", "japan"]),
    (Slot::ShopType, "跨境店", &["跨境店", "跨境店铺", "cross-border shop", "cross-border store", "cross-border seller"]),
    (Slot::ShopType, "本地店", &["本地店", "国内店", "本土店", "local shop", "local store", "local seller"]),
    (Slot::ShopType, "旗舰店", &["旗舰店", "flagship"]),
    (Slot::ShopType, "专卖店", &["专卖店", "specialty shop", "specialty store"]),
    (Slot::ShopType, "专营店", &["专营店"]),
    (Slot::ShopType, "普通店", &["普通店", "个人店", "general shop"]),
];

/// Who speaks of itself.
#[rustfmt::skip]
const SELF: &[&str] = &[
    "我是", "我们是", "我在", "我们在", "我做", "我们做", "我的", "我们的", "我开", "我们开", "本店", "我店", "咱们是", "咱是", "我家", "更正", "改成", "换成", "说错",
    "i am", "i'm", "we are", "we're", "i sell", "we sell", "my ", "our ", "i run", "we run", "i have", "we have", "actually",
];
/// A clause with one of these is about somebody else.
const OTHERS: &[&str] = &["买家", "客户", "顾客", "供应商", "对手", "同行", "buyer", "customer", "client", "supplier", "competitor"];
/// A clause with one of these asks or wishes; it states nothing and denies nothing.
#[rustfmt::skip]
const ASKED: &[&str] = &[
    "是不是", "是否", "能不能", "可不可以", "可以", "想", "打算", "准备", "如果", "要是", "假如", "吗", "什么", "怎么", "如何", "多少", "哪", "几", "问",
    "whether", "if ", "can ", "could ", "should ", "want", "plan", "what", "how", "which", "do you", "does ", "asking",
];
/// A clause with one of these states nothing.
#[rustfmt::skip]
const DENYING: &[&str] = &[
    "不是", "不再", "没有", "不做", "不在", "没在", "不开", "以前是", "曾经是", "原来是", "之前是", "以前在", "曾经在", "原来在", "之前在", "退出", "关了", "注销", "not ", "n't", "no longer", "never", "used to", "do ",
];
/// Denies what directly follows it.
#[rustfmt::skip]
const DENIES: &[&str] = &[
    "不是", "不再是", "不再做", "不再在", "不再有", "没有", "没在", "不在", "不做", "不开", "以前是", "曾经是", "原来是", "之前是", "以前在", "曾经在", "原来在", "之前在", "退出", "退出了", "关了",
    " not", "n't", "no longer", "never", "used to",
];
/// Denies what it directly follows.
const DENIES_BEHIND: &[&str] = &["不做", "不开", "不在", "关了", "关店", "注销", "退出"];
/// What something is said of when this follows: 不是新加坡站的问题 denies a problem, 不是新加坡站的商家 the site.
const WHO: &[&str] = &["商家", "卖家", "店", "了"];
/// What may stand between a denial and what it denies.
#[rustfmt::skip]
const BETWEEN: &[&str] = &[
    "一个", "一家", "什么", "个", "家", "的", "已经", "早就", "现在", "都", "也",
    " a", " an", " the", " any", " in", " on", " at", " of", " be", " been", " have", " run", " sell", " selling", " active",
];
/// What comes before an order's number.
const ORDER: &[&str] = &["订单号", "订单编号", "单号", "订单", "order number", "order no", "order id", "order #", "order"];
/// Shortest and longest order number.
const ORDER_CHARS: std::ops::RangeInclusive<usize> = 8..=32;

/// What is known once a message is heard: what it states replaces what was known, and what it denies is forgotten.
pub fn hear(known: &mut Vec<Fact>, message: &str, place: i64) {
    for clause in clauses(message) {
        if let Some(value) = order(&clause) {
            put(known, Fact { slot: Slot::Order, value, place });
        }
        let has = |words: &[&str]| words.iter().any(|word| clause.contains(word));
        if has(OTHERS) || has(ASKED) {
            continue;
        }
        // A correction leaves the speaker out: 说错了，是跨境店.
        let of_itself = clause.trim_start().starts_with('是') || has(SELF);
        let states = of_itself && !has(DENYING);
        // Money, pages and addresses move too.
        let of_a_shop = has(&["店", "站"]) || ["shop", "store", "site"].iter().any(|word| find_word(&clause, word).is_some());
        let moved = moved_to(&clause).filter(|_| of_a_shop && !has(DENYING) && !has(GOODS));
        if let Some(value) = moved {
            put(known, Fact { slot: Slot::Market, value: value.to_owned(), place });
        }
        for (slot, value, spoken) in SPOKEN {
            let Some((at, word)) = spoken.iter().find_map(|word| find_word(&clause, word).map(|at| (at, word))) else { continue };
            let market = *slot == Slot::Market;
            let (before, behind) = (&clause[..at], &clause[at + word.len()..]);
            if market && (moved.is_some() || of_goods(before, word, behind) || of_else(before, word, behind, of_a_shop)) {
                continue;
            }
            if states || market && sells_in(before, behind) && !has(DENYING) {
                put(known, Fact { slot: *slot, value: (*value).to_owned(), place });
            } else if is_denied(before, behind) {
                known.retain(|fact| fact.slot != *slot || fact.value != *value);
            }
        }
    }
}

/// Whether something is denied that stands between these.
fn is_denied(before: &str, behind: &str) -> bool {
    let mut before = before.trim_end();
    while let Some(rest) = BETWEEN.iter().find_map(|word| before.strip_suffix(word)) {
        before = rest.trim_end();
    }
    if behind.strip_prefix('的').is_some_and(|of| !of.is_empty() && !WHO.iter().any(|word| of.starts_with(word))) {
        return false;
    }
    let mut behind = behind.trim_start();
    while let Some(rest) = BETWEEN.iter().chain(&["我们", "我"]).find_map(|word| behind.strip_prefix(word)) {
        behind = rest.trim_start();
    }
    DENIES.iter().any(|word| before.ends_with(word)) || DENIES_BEHIND.iter().any(|word| behind.starts_with(word))
}

fn put(facts: &mut Vec<Fact>, fact: Fact) {
    facts.retain(|known| known.slot != fact.slot);
    facts.push(fact);
}

/// Clauses in lower case, codes of markets spelled out; one that ends with a question mark says so to itself only.
fn clauses(message: &str) -> Vec<String> {
    let mut clauses = Vec::new();
    let mut clause = String::new();
    for c in message.chars() {
        match c {
            '?' | '？' => {
                clause.push('吗');
                clauses.push(std::mem::take(&mut clause));
            }
            ',' | '，' | '.' | '。' | ';' | '；' | '!' | '！' | '\n' => clauses.push(std::mem::take(&mut clause)),
            c => clause.push(c),
        }
    }
    clauses.push(clause);
    clauses.iter().map(|clause| spelled_out(clause)).collect()
}

/// A number behind the word order: at least as long as an order's, with a digit in most places.
fn order(clause: &str) -> Option<String> {
    let at = ORDER.iter().find_map(|word| clause.find(word).map(|at| at + word.len()))?;
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut words = clause[at..].split(|c: char| !legal(c)).filter(|word| !word.is_empty());
    let number = words.find(|word| {
        let digits = word.chars().filter(char::is_ascii_digit).count();
        ORDER_CHARS.contains(&word.len()) && digits * 2 > word.len()
    })?;
    Some(number.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(message: &str) -> Vec<String> {
        let mut facts = Vec::new();
        hear(&mut facts, message, 1);
        facts.into_iter().map(|fact| fact.value).collect()
    }

    #[test]
    fn a_statement_counts_and_a_question_does_not() {
        assert_eq!(values("我是跨境店，在新加坡站，保证金多少？"), ["跨境店"]);
        assert_eq!(values("我是新加坡站的跨境店，保证金多少？"), ["新加坡站", "跨境店"]);
        assert_eq!(values("We are a cross-border shop in Singapore. What is the deposit?"), ["新加坡站", "跨境店"]);
        for other in ["My buyer is from Japan", "英国站的退货地址是后台修改的", "我的客户在日本"] {
            assert_eq!(values(other), [""; 0], "{other}");
        }
        for asked in
            ["跨境店的保证金多少？", "我是不是跨境店？", "我可以开旗舰店吗", "新加坡站要交税吗", "如果我是本地店呢", "I am a local shop?"]
        {
            assert_eq!(values(asked), [""; 0], "{asked}");
        }
    }

    #[test]
    fn where_goods_go_or_come_from_says_nothing_about_the_shop() {
        for goods in [
            "我的货发往马来西亚",
            "我的货在马来西亚",
            "我们从日本仓发货",
            "我的包裹寄到德国要几天",
            "我们卖到德国",
            "我的商品从马来西亚发出",
            "I ship to Germany",
            "I sell to Germany",
            "My parcel comes from the US warehouse",
            "We ship from the United States warehouse",
            "Our goods are in Malaysia",
            "My stock lies in Japan",
            "I sell Japanese snacks",
            "我是马来语客服",
            "my refund is late, tell us",
            "MY REFUND IS LATE",
            "I have a US visa card",
        ] {
            assert_eq!(values(goods), [""; 0], "{goods}");
        }
        assert_eq!(values("我是新加坡站的商家 货发往马来西亚"), ["新加坡站"]);
        assert_eq!(values("I sell in Singapore and ship to Germany"), ["新加坡站"]);
        assert_eq!(values("I sell goods in Singapore"), ["新加坡站"]);
        for both in [
            "I sell in Singapore and ship from Japan",
            "I sell in Singapore and my goods are made in Japan",
            "I sell in Singapore and my stock is in Japan",
            "We sell in Singapore but ship out of the Japan warehouse",
            "我在新加坡站卖马来西亚海外仓的货",
        ] {
            assert_eq!(values(both), ["新加坡站"], "{both}");
        }
        for from in ["I'm a seller from Singapore", "We are a store from Singapore", "我用海外仓在新加坡卖", "我们用马来西亚仓在新加坡卖货"]
        {
            assert_eq!(values(from), ["新加坡站"], "{from}");
        }
        assert_eq!(values("I'm a cross-border seller from Singapore"), ["新加坡站", "跨境店"]);
        for other in [
            "I'm buying from Singapore",
            "I sell snacks from Japan",
            "我用海外仓在新加坡卖吗",
            "我的店卖的货在马来西亚",
            "我用新加坡的卡付款",
        ] {
            assert_eq!(values(other), [""; 0], "{other}");
        }
        for stored in [
            "我的海外仓在马来西亚",
            "我在马来西亚有一个海外仓",
            "我在马来西亚租了仓库",
            "我做马来西亚海外仓",
            "我的工厂在马来西亚",
            "我的海外仓是马来西亚的",
            "I have a warehouse in Japan",
            "My overseas warehouse is in Malaysia",
            "I have a Malaysia overseas warehouse",
            "My goods come from Japan",
        ] {
            assert_eq!(values(stored), [""; 0], "{stored}");
        }
        for own in ["我在新加坡开店用海外仓发货", "我是新加坡站的商家用海外仓", "I am a seller from the Singapore site"]
        {
            assert_eq!(values(own), ["新加坡站"], "{own}");
        }
        assert_eq!(values("My flagship store is in Singapore"), ["新加坡站", "旗舰店"]);
        assert_eq!(values("我是 MY 站的商家"), ["马来西亚站"]);
        assert_eq!(values("We are a US seller"), ["美国站"]);
    }

    #[test]
    fn a_shop_that_moves_is_where_it_moves_to() {
        for moved in [
            "I moved my shop from MY to SG",
            "店铺从马来迁到新加坡",
            "我们从马来站搬到新加坡站了",
            "我把店从马来西亚转到新加坡",
            "Our store switched from the Malaysia site to the Singapore site.",
            "我们的店从 MY 站换到 SG 站",
            "我的店换成新加坡站了",
            "我们把店改成 SG 站了",
            "我们把马来的店换成新加坡的店了",
            "说错了，改成新加坡",
        ] {
            let mut known = Vec::new();
            hear(&mut known, "我是马来西亚站的跨境店", 1);
            hear(&mut known, moved, 2);
            let values: Vec<String> = known.into_iter().map(|fact| fact.value).collect();
            assert_eq!(values, ["跨境店", "新加坡站"], "{moved}");
        }
        for not in [
            "我把库存从马来转到新加坡",
            "我想把店从马来迁到新加坡",
            "Can I move my shop from MY to SG?",
            "我们没有搬到新加坡站",
            "我已经把保证金转到新加坡的银行账户了",
            "我把详情页改成马来语了",
            "我把店铺页面改成马来语了",
            "我把店铺页面改成马来西亚语了",
            "店铺语言已经换成马来语",
            "我们把店铺的收款账户换成新加坡的银行了",
            "我店的客服电话改成新加坡的号码了",
            "我店的客服电话改成新加坡号码了",
            "我们的店铺保证金转到新加坡的账户了",
            "my payout was transferred to the US account",
        ] {
            assert_eq!(values(not), [""; 0], "{not}");
        }
    }

    #[test]
    fn what_is_said_later_replaces_what_was_said_before() {
        let mut known = Vec::new();
        hear(&mut known, "我是本地店", 1);
        hear(&mut known, "说错了，我不是本地店，是跨境店", 4);
        assert_eq!(known, [Fact { slot: Slot::ShopType, value: "跨境店".into(), place: 4 }]);
        hear(&mut known, "我们在日本站", 6);
        assert_eq!(known.len(), 2);
    }

    #[test]
    fn what_is_denied_is_forgotten_and_nothing_else() {
        let known = || {
            let mut known = Vec::new();
            hear(&mut known, "我是新加坡站的跨境店", 1);
            known
        };
        let left = |message: &str| {
            let mut known = known();
            hear(&mut known, message, 2);
            known.into_iter().map(|fact| fact.value).collect::<Vec<_>>()
        };
        for denied in [
            "我不是跨境店了",
            "我们已经不再是跨境店",
            "我的店不再是跨境店了，怎么办",
            "我没有跨境店了",
            "我以前是跨境店",
            "我是跨境店的时候没事，现在不做跨境店了",
            "我的跨境店已经关了",
            "I am no longer a cross-border shop",
            "We're not a cross-border seller any more.",
            "I used to be a cross-border seller",
        ] {
            assert_eq!(left(denied), ["新加坡站"], "{denied}");
        }
        for denied in [
            "我们不在新加坡站了",
            "我们退出新加坡站了",
            "我不再是新加坡站的商家了",
            "新加坡站我们不做了",
            "We no longer sell in Singapore",
            "We don't sell in Singapore now",
        ] {
            assert_eq!(left(denied), ["跨境店"], "{denied}");
        }
        for other in [
            "我不是本地店",
            "我不是跨境店吗？",
            "如果我不是跨境店呢",
            "我的客户不是跨境店",
            "我们没有收到新加坡站的通知",
            "这不是新加坡站的问题",
            "我不是问跨境店的事",
            "跨境店怎么关店",
            "We have not received mail from Singapore",
        ] {
            assert_eq!(left(other), ["新加坡站", "跨境店"], "{other}");
        }
        assert_eq!(left("我不是跨境店了，是本地店"), ["新加坡站", "本地店"]);
    }

    #[test]
    fn an_order_is_known_by_its_number() {
        assert_eq!(values("订单号：2026112500871234 为什么还没发货？"), ["2026112500871234"]);
        assert_eq!(values("where is my order #MC-20261125-77"), ["MC-20261125-77"]);
        for none in ["订单多久到？", "订单 3 天没发货", "电话 13800138000"] {
            assert_eq!(values(none), [""; 0], "{none}");
        }
    }
}
