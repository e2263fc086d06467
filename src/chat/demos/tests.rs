//! The room's tests for picked examples: who may be one, and what a prompt with them looks like.

use proptest::prelude::*;

use super::*;
use crate::chat::compose::{Parts, compose};
use crate::ids::{EntryId, Timestamp};
use crate::knowledge::EntryDraft;
use crate::knowledge::decide::tests::hit;
use crate::models::Reasoning;
use crate::models::tokens::{Budget, Family};
use crate::prompts::TemplateSet;

fn row(id: &str, question: &str, answer: &str) -> Hit {
    let draft = EntryDraft { question: question.into(), answer: answer.into(), ..EntryDraft::default() };
    let mut hit = hit(draft, 0.5);
    hit.entry.id = EntryId::from_text(id);
    hit
}

fn choice(count: usize) -> DemoChoice {
    DemoChoice { kind: DemoKind::Picked, count, tag: None, reasoning: String::new() }
}

fn ids(picked: &[&Hit]) -> Vec<String> {
    picked.iter().map(|hit| hit.entry.id.to_string()).collect()
}

fn base() -> Vec<Hit> {
    vec![
        row("source", "保证金什么时候退？", "闭店申请通过后 30 天，没有未结纠纷时原路退回。"),
        row("same-answer", "押金多久能拿回来？", "闭店申请通过后 30 天，没有未结纠纷时，原路退回。"),
        row("asked", "退店后保证金多久到账", "5 个工作日。"),
        row("fee", "平台服务费怎么收？", "按成交额的 3% 收，每月 5 日出账。"),
        row("fee-again", "平台的服务费怎么收", "见费用说明。"),
        row("bare", "", "没有问题的一段话。"),
        row("english", "How are service fees charged?", "3% of the order value."),
        row("long", "店铺装修有什么规则？", &"规则".repeat(400)),
        row("label", "面单怎么打印？", "在 发货中心 > 打印面单 里选择承运商。"),
    ]
}

#[test]
fn an_example_is_no_source_no_echo_and_no_twin() {
    let base = base();
    let picked = pick(&base, &base[..1], "退店后保证金多久到账？", &choice(9));
    assert_eq!(ids(&picked), ["fee", "label"]);
    assert_eq!(ids(&pick(&base, &base[..1], "退店后保证金多久到账？", &choice(1))), ["fee"]);
}

#[test]
fn with_a_tag_only_approved_rows_are_examples() {
    let mut base = base();
    base[8].entry.draft.tags.push("示范".into());
    let tagged = DemoChoice { tag: Some("示范".into()), ..choice(9) };
    assert_eq!(ids(&pick(&base, &[], "退店后保证金多久到账？", &tagged)), ["label"]);
}

/// The prompt of a template with this front matter, message by message.
fn prompt(front: &str) -> String {
    let text =
        include_str!("../../../prompts/answer.zh.md").replacen("reasoning = \"hidden\"", &format!("reasoning = \"hidden\"\n{front}"), 1);
    let template = TemplateSet::with("answer.zh.md", &text).unwrap();
    let base = base();
    let picked: Vec<Hit> = pick(&base, &base[..1], "退店后保证金多久到账？", &template.choice).into_iter().cloned().collect();
    let composed = compose(Parts {
        template: &template,
        reasoning: Reasoning::Hidden,
        shop: "示例商城",
        question: "退店后保证金多久到账？",
        query: "退店后保证金多久到账？",
        language: Language::Zh,
        hits: &base[..1],
        picked: if template.choice.kind == DemoKind::Picked { &picked } else { &[] },
        market: Some("国内站"),
        window: Vec::new(),
        facts: String::new(),
        memory: String::new(),
        now: Timestamp(1_700_000_000_000),
        zone: chrono_tz::Asia::Shanghai,
        family: Family::Estimated,
        budget: Budget::new([(Family::Estimated, 6_000)]),
        answer_tokens: 1_200,
    })
    .unwrap();
    let demos = composed.parts.iter().zip(&composed.request.messages).filter(|(part, _)| **part == "demo");
    demos.map(|(_, message)| format!("--- {:?}\n{}\n", message.role, message.content)).collect()
}

#[test]
fn the_front_matter_says_which_examples_and_how_many() {
    insta::assert_snapshot!("none", prompt("demo_choice = \"none\""));
    insta::assert_snapshot!("fixed_one", prompt("demo_choice = \"fixed\"\ndemo_count = 1"));
    insta::assert_snapshot!(
        "picked_one",
        prompt("demo_choice = \"picked\"\ndemo_count = 1\ndemo_reasoning = \"1. 适用的资料：[1] 讲的就是这件事。\"")
    );
    // Two can be picked; the template's first fills up.
    insta::assert_snapshot!("picked_three", prompt("demo_choice = \"picked\"\ndemo_count = 3"));
}

proptest! {
    #[test]
    fn whatever_the_base_has_a_source_is_never_an_example(
        texts in prop::collection::vec(("[保证金退费店铺单a-c ]{0,8}", "[保证金退费店铺单a-c ]{0,8}"), 0..12),
        sources in 0usize..4,
        count in 0usize..5,
    ) {
        let base: Vec<Hit> = texts.iter().enumerate().map(|(i, (question, answer))| row(&i.to_string(), question, answer)).collect();
        let sources = &base[..sources.min(base.len())];
        let picked = pick(&base, sources, "保证金怎么退", &choice(count));
        prop_assert!(picked.len() <= count);
        for (i, hit) in picked.iter().enumerate() {
            let said = Said::of(hit);
            prop_assert!(sources.iter().all(|source| source.entry.id != hit.entry.id && !Said::of(source).same(&said)));
            prop_assert!(picked[..i].iter().all(|other| !Said::of(other).same(&said)));
        }
    }
}
