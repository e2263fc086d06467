//! What a shop's words do to a text.

use super::*;

fn terms(lines: &str) -> Terms {
    Terms::new(&lines::read(lines).checked().unwrap())
}

#[test]
fn a_word_is_kept_whole_and_found_by_its_parts() {
    let own = terms("店小蜜\n3C认证\ncash on delivery\nop");
    let words = own.tokens("怎么开通店小蜜？支持3c認證和 Cash  on Delivery");
    for word in ["店小蜜", "3c认证", "认证", "cash_on_delivery", "deliveri"] {
        assert!(words.iter().any(|w| w == word), "{word} in {words:?}");
    }
    assert!(!text::tokens("怎么开通店小蜜").contains(&"店小蜜".to_owned()), "the common dictionary does not know it");
    assert!(!own.tokens("shopping").contains(&"op".to_owned()), "letters inside a longer word are not it");
}

#[test]
fn words_of_a_group_are_one_word() {
    let own = terms("保证金, 押金 = deposit");
    assert_eq!(own.tokens("押金多少"), own.tokens("保证金多少"));
    assert_eq!(own.grams("押金多少"), own.grams("保证金多少"));
    assert_eq!(own.canonical("Deposit 多少"), "保证金 多少");
    assert_eq!(own.variants("押金多少"), ["deposit多少", "保证金多少"]);
    assert!(own.variants("运费多少").is_empty());
}

#[test]
fn without_words_of_its_own_a_shop_has_the_common_pipeline() {
    let plain = Terms::default();
    for text in ["保税仓发货时限 SKU-4471B refunds 7days", "限時搶購報名", "？！", ""] {
        assert_eq!(plain.tokens(text), text::tokens(text));
        assert_eq!(plain.grams(text), text::grams(text));
    }
    assert_eq!(plain.fingerprint(), "");
    assert_ne!(terms("店小蜜").fingerprint(), terms("店小二").fingerprint());
}

#[test]
fn bad_words_are_named() {
    for (lines, said) in [("款", "款"), ("a,b", "a"), ("保证金,押金\n定金,押金 金", "")] {
        let outcome = lines::read(lines).checked();
        match said {
            "" => assert!(outcome.is_ok()),
            _ => assert!(outcome.unwrap_err().message().contains(said)),
        }
    }
    let twice =
        Words { synonyms: vec![vec!["保证金".into(), "押金".into()], vec!["押金".into(), "定金".into()]], ..Words::default() };
    assert_eq!(twice.checked().unwrap_err().code(), "bad_words");
    let alone = Words { synonyms: vec![vec!["保证金".into()]], ..Words::default() };
    assert!(alone.checked().unwrap_err().message().contains("保证金"));
}

#[test]
fn lines_are_added_to_and_taken_from() {
    let mut words = lines::read("店小蜜 # the bot\n保证金,押金\n\n");
    lines::add(&mut words, "押金、定金");
    assert_eq!(lines::write(&words), "店小蜜\n保证金, 押金, 定金\n");
    assert!(lines::remove(&mut words, "定金") && lines::remove(&mut words, "押金") && !lines::remove(&mut words, "押金"));
    assert_eq!(lines::write(&words), "店小蜜\n");
}

proptest::proptest! {
    #[test]
    fn pieces_are_the_text(text in "[a-z店小蜜保证金押 0-9?]{0,40}", shop in "(店小|小蜜|保证金|押金|ab|b c){1,4}") {
        let own = terms(&format!("{shop}xx\n店小蜜\n保证金,押金,ab"));
        let normal = text::normalise(&text);
        let joined: String = own.pieces(&normal).iter().map(|piece| match piece { Piece::Plain(text) => *text, Piece::Term(term) => term.text.as_str() }).collect();
        proptest::prop_assert_eq!(joined, normal);
        proptest::prop_assert_eq!(own.tokens(&text), own.tokens(&own.canonical(&text)));
    }
}
