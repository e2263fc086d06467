//! Rows that say the same take one place (pure): the same question in other words with nearly the same
//! answer, for the same market, with the same numbers and the same yes or no. The first one stays, and
//! says whom it stands for. What differs in any of that is a row of its own.

use super::Hit;
use super::gist::{Gist, Phrasing};

/// Share of both answers' words that they have in common.
const SAME_ANSWER: f32 = 0.9;

/// Takes out every hit that says the same as one before it.
pub fn near_duplicates(hits: &mut Vec<Hit>) {
    let mut kept: Vec<Hit> = Vec::with_capacity(hits.len());
    for hit in hits.drain(..) {
        match kept.iter_mut().find(|first| say_the_same(first, &hit)) {
            Some(first) => first.folded.push(hit.entry.id),
            None => kept.push(hit),
        }
    }
    *hits = kept;
}

fn say_the_same(one: &Hit, other: &Hit) -> bool {
    let (a, b) = (&one.entry.draft, &other.entry.draft);
    let alike = (&a.market, &a.locale, a.direct, &a.category) == (&b.market, &b.locale, b.direct, &b.category);
    let (a, b) = (&*one.gist, &*other.gist);
    alike && a.numbers == b.numbers && a.places == b.places && a.not_keys == b.not_keys && same_answer(a, b) && same_question(a, b)
}

fn same_answer(a: &Gist, b: &Gist) -> bool {
    let common = a.answer.intersection(&b.answer).count();
    let all = a.answer.len() + b.answer.len() - common;
    all > 0 && common as f32 >= SAME_ANSWER * all as f32 && a.answer_turns == b.answer_turns
}

/// One has a phrasing whose telling words are all in a phrasing of the other; sections have none.
fn same_question(a: &Gist, b: &Gist) -> bool {
    let within = |x: &Phrasing, y: &Phrasing| !x.telling.is_empty() && x.telling.iter().all(|word| y.telling.binary_search(word).is_ok());
    let (a, b) = (&a.phrasings, &b.phrasings);
    (a.is_empty() && b.is_empty()) || a.iter().any(|x| b.iter().any(|y| within(x, y) || within(y, x)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{EntryId, Timestamp};
    use crate::knowledge::decide::Evidence;
    use crate::knowledge::{EntryDraft, KnowledgeEntry};

    fn hit(id: &str, question: &str, answer: &str) -> Hit {
        let draft = EntryDraft { question: question.into(), answer: answer.into(), ..Default::default() };
        let gist = std::sync::Arc::new(Gist::of(&draft));
        let id = EntryId::from_text(id);
        let entry = KnowledgeEntry { id, draft, content_hash: String::new(), revision: 1, created: Timestamp(0), updated: Timestamp(0) };
        Hit {
            entry,
            passage: String::new(),
            score: 0.5,
            fused: 0.5,
            lexical: None,
            semantic: None,
            rerank: None,
            evidence: Evidence::default(),
            gist,
            folded: Vec::new(),
            passed: false,
            reason: None,
            matched: Vec::new(),
            direct_refused: None,
        }
    }

    fn left(hits: Vec<Hit>) -> Vec<(String, usize)> {
        let mut hits = hits;
        near_duplicates(&mut hits);
        hits.iter().map(|hit| (hit.entry.id.to_string(), hit.folded.len())).collect()
    }

    const ANSWER: &str = "在店铺设置的退货地址页面里修改，保存以后立即生效，之后的退货单都用新地址；修改以前已经寄出的包裹仍旧按照原来的地址签收，由仓库登记入库。";

    #[test]
    fn the_same_in_other_words_takes_one_place() {
        let rows = vec![
            hit("a", "退货地址在哪里修改？", ANSWER),
            hit("b", "怎么修改退货地址", &ANSWER.replace("立即", "马上")),
            hit("c", "发票抬头在哪里修改？", ANSWER),
        ];
        assert_eq!(left(rows), [("a".to_owned(), 1), ("c".to_owned(), 0)]);
    }

    #[test]
    fn a_number_a_not_or_a_market_makes_another_row() {
        let refund = |id: &str, days: &str| hit(id, "退款几天到账", &format!("买家申请通过以后退款会在 {days} 天内原路退回到付款账户里。"));
        assert_eq!(left(vec![refund("a", "7"), refund("b", "15"), refund("c", "7")]).len(), 2);
        let ship = |id: &str, how: &str| {
            hit(id, "大件包裹", &format!("大件包裹{how}支持上门取件，请在发货中心里预约时间并打印面单以后交给承运商。"))
        };
        assert_eq!(left(vec![ship("a", ""), ship("b", "不")]).len(), 2);
        let mut elsewhere = hit("b", "退货地址在哪里修改？", ANSWER);
        elsewhere.entry.draft.market = Some("JP".into());
        assert_eq!(left(vec![hit("a", "退货地址在哪里修改？", ANSWER), elsewhere]).len(), 2);
    }
}
