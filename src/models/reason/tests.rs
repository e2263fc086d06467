//! Reasoning and answer told apart, whatever the tags and wherever they are cut.

use futures::StreamExt;
use proptest::prelude::*;

use super::*;
use crate::models::fake::{Fake, answer};
use crate::models::{CompletionRequest, Delta};

/// Reasoning and answer, joined, of a text that comes in these parts.
fn split<'a>(parts: impl IntoIterator<Item = &'a str>) -> (String, String) {
    split_by(ReasonSplitter::new(), parts)
}

fn split_by<'a>(mut splitter: ReasonSplitter, parts: impl IntoIterator<Item = &'a str>) -> (String, String) {
    let mut pieces: Vec<Piece> = parts.into_iter().flat_map(|part| splitter.push(part)).collect();
    pieces.extend(splitter.finish());
    joined(pieces)
}

fn joined(pieces: Vec<Piece>) -> (String, String) {
    let (mut reasoning, mut answer) = (String::new(), String::new());
    for piece in pieces {
        match piece {
            Piece::Reasoning(text) => reasoning.push_str(&text),
            Piece::Text(text) => answer.push_str(&text),
        }
    }
    (reasoning, answer)
}

const CASES: [(&str, &str, &str); 40] = [
    ("<think>看来源[1]。\n国内站适用。</think>\n\n保证金是 1000 元[1]。", "看来源[1]。\n国内站适用。", "保证金是 1000 元[1]。"),
    (" \n<THINK>\n a < b, so </thin air> \n</Think>  yes", "a < b, so </thin air>", "yes"),
    ("<thinking>one</thinking>two", "one", "two"),
    ("<reasoning>one</reasoning>\ntwo </reasoning>", "one", "two "),
    ("<think></think>\n\nanswer", "", "answer"),
    ("<think>never closed </think", "never closed </think", ""),
    ("<think>only\n\n", "only", ""),
    ("no tags < here", "", "no tags < here"),
    ("the tag <think> in a text</b>", "in a text</b>", "the tag "),
    ("好。<think>再想</think> 答案[1]。", "再想", "好。答案[1]。"),
    ("a <thinly> veiled <th", "", "a <thinly> veiled <th"),
    ("</think>\nanswer", "", "answer"),
    ("prefilled reasoning</think>\nanswer</think>", "", "prefilled reasoning\nanswer"),
    ("<thin", "", "<thin"),
    ("  \n ", "", ""),
    ("<think>a</think>\n<think>b</think>c", "ab", "c"),
    // Tags of other models, and attributes.
    ("<thought>one</thought>two", "one", "two"),
    ("<seed:think>one</seed:think>\ntwo", "one", "two"),
    ("◁think▷one◁/think▷two ◁", "one", "two ◁"),
    ("<think time=\"3 s\" n='1'>one</think >two", "one", "two"),
    ("<think/>\n\ntwo <think />three", "", "two three"),
    ("a <think of it as follows", "", "a <think of it as follows"),
    ("a <think <b>bold</b>", "", "a <think <b>bold</b>"),
    // What servers leave of gpt-oss's format in the text.
    ("<|channel|>analysis<|message|>one<|end|><|start|>assistant<|channel|>final<|message|>two[1]。<|return|>", "one", "two[1]。"),
    ("<|start|>assistant<|channel|>analysis<|message|>\none\n<|end|>\n<|channel|>final <|constrain|>json<|message|>\ntwo", "one", "two"),
    ("<|channel|>final<|message|>two<|end|>", "", "two"),
    ("<|channel|>commentary to=functions.x <|constrain|>json<|message|>{}<|call|><|channel|>final<|message|>two", "{}", "two"),
    ("<|channel|>analysis<|message|>one<|channel|>final<|message|>two", "one", "two"),
    ("two<|return|><|start|>assistant<|channel|>analysis<|message|>one", "one", "two"),
    ("two<|end|><|start|>assis", "", "two"),
    ("<|channel|>final", "", ""),
    // A tag that closes itself, inside of reasoning and beside it.
    ("<think>one<think/> still one</think>two", "one still one", "two"),
    ("<think>one <reasoning /> still</think>two<think/>three", "one still", "twothree"),
    ("<think>one</think/>two", "one", "two"),
    ("<|channel|>analysis<|message|>one<think/>more<|end|>two", "onemore", "two"),
    // Heads of channels, however long, cut, or without a message.
    (LONG_ANALYSIS, "one", "two"),
    (LONG_FINAL, "one", "two"),
    ("<|channel|>analysis to=functions.search code code code code code code code code code code code code code code code code", "", ""),
    ("<|channel|>analysis<|end|><|start|>assistant<|channel|>final<|message|>two", "", "two"),
    ("<|start|>assistant<|message|>two<|end|>", "", "two"),
];
const LONG_ANALYSIS: &str = "<|channel|>analysis to=functions.a_very_long_name_of_a_tool_that_somebody_wrote_down_in_full_and_then_some_more_of_it \
    <|constrain|>json and still no end of it<|message|>one<|end|><|start|>assistant<|channel|>final<|message|>two";
const LONG_FINAL: &str = "<|channel|>analysis<|message|>one<|end|><|start|>assistant<|channel|>final <|constrain|>json with a description that goes on and \
    on and on and on, far beyond what anybody would put into the head of a message<|message|>two";

#[test]
fn known_outputs_split_as_expected_wherever_they_are_cut() {
    for (output, reasoning, answer) in CASES {
        let expected = (reasoning.to_owned(), answer.to_owned());
        assert_eq!(split([output]), expected, "{output:?} in one");
        for (at, _) in output.char_indices() {
            assert_eq!(split([&output[..at], &output[at..]]), expected, "{output:?} at {at}");
        }
        let letters: Vec<String> = output.chars().map(String::from).collect();
        assert_eq!(split(letters.iter().map(String::as_str)), expected, "{output:?} letter by letter");
    }
}

#[test]
fn text_is_not_held_back_without_need() {
    let mut splitter = ReasonSplitter::new();
    assert_eq!(splitter.push("保证"), [Piece::Text("保证".into())]);
    assert_eq!(splitter.push("金 "), [Piece::Text("金 ".into())]);
    let mut splitter = ReasonSplitter::new();
    assert_eq!(splitter.push("<think>步骤"), [Piece::Reasoning("步骤".into())]);
}

#[tokio::test]
async fn a_provider_may_cut_its_inline_reasoning_anywhere() {
    let output = "<think>\n看来源[1]\n</think>\n\n1000 元[1]。";
    let cuts: Vec<usize> = output.char_indices().map(|(at, _)| at).collect();
    let script = move |nth: usize| match cuts.get(nth) {
        Some(&at) => answer(&[&output[..at], &output[at..]]),
        None => answer(&output.char_indices().map(|(at, c)| &output[at..at + c.len_utf8()]).collect::<Vec<_>>()),
    };
    let fake = Fake::start(script).await;
    let model = fake.model("m");
    for _ in 0..=output.chars().count() {
        let deltas = model.stream(CompletionRequest::default()).await.unwrap();
        let texts: Vec<String> =
            deltas.filter_map(|delta| async { if let Delta::Text(text) = delta.unwrap() { Some(text) } else { None } }).collect().await;
        assert_eq!(split(texts.iter().map(String::as_str)), ("看来源[1]".into(), "1000 元[1]。".into()), "{texts:?}");
    }
}

#[test]
fn reasoning_whose_opening_tag_is_in_the_prompt_is_told_from_the_answer() {
    for output in ["机密\n推理</think>\n\n答案", "机密\n推理</THINKING>答案"] {
        let letters: Vec<String> = output.chars().map(String::from).collect();
        let told = split_by(ReasonSplitter::inside(), letters.iter().map(String::as_str));
        assert_eq!(told, ("机密\n推理".into(), "答案".into()));
    }
    let mut splitter = ReasonSplitter::new();
    splitter.push("早已说出</think>答案");
    assert!(splitter.saw_stray());
}

#[test]
fn a_model_that_may_think_is_told_by_the_first_tag_wherever_it_is_cut() {
    for (output, reasoning, answer) in [
        ("机密\n推理</think>\n\n答案</think>[1]。", "机密\n推理", "答案[1]。"),
        ("<think>机密</think>答案", "机密", "答案"),
        ("好。<think>机密</think>答案", "机密", "好。答案"),
        (" 没有标签的答案 <b", "", "没有标签的答案 <b"),
    ] {
        let letters: Vec<String> = output.chars().map(String::from).collect();
        for parts in [letters.iter().map(String::as_str).collect::<Vec<_>>(), vec![output]] {
            assert_eq!(split_by(ReasonSplitter::unsure(), parts), (reasoning.into(), answer.into()), "{output}");
        }
    }
    // An answer of gpt-oss that begins inside its analysis.
    let output = "机密<|end|><|start|>assistant<|channel|>final<|message|>答案<|return|>";
    let told = split_by(ReasonSplitter::unsure(), output.split_inclusive(|_| true));
    assert_eq!(told, ("机密".into(), "答案".into()));
    let mut splitter = ReasonSplitter::new();
    splitter.push(output);
    assert!(splitter.saw_stray(), "of others it was told, and the next answers wait");
    assert_eq!(split_by(ReasonSplitter::unsure(), ["答案<|return|>"]), (String::new(), "答案".into()));

    // Cut off before the tag that would tell, it was reasoning; behind it, the answer is kept.
    for (output, reasoning, answer) in
        [("机密\n推理", "机密\n推理", ""), (" 机密</thi", "机密</thi", ""), ("机密</think>答", "机密", "答"), ("<think>机密", "机密", "")]
    {
        for at in output.char_indices().map(|(at, _)| at) {
            let mut splitter = ReasonSplitter::unsure();
            let mut pieces = [splitter.push(&output[..at]), splitter.push(&output[at..])].concat();
            pieces.extend(splitter.cut_off());
            assert_eq!(joined(pieces), (reasoning.into(), answer.into()), "{output} at {at}");
        }
    }

    let mut splitter = ReasonSplitter::unsure();
    assert!(splitter.push("保证金").is_empty());
    splitter.sure();
    assert_eq!(splitter.push("是"), [Piece::Text("保证金是".into())], "the provider has told its reasoning elsewhere");
}

/// What stands between tags, and what between those: neither has a letter of the other's.
fn output() -> impl Strategy<Value = (String, String)> {
    let tags = prop::sample::select(vec![
        ("<think>", "</think>"),
        ("<Thinking>", "</THINKING>"),
        ("<reasoning r=1>", "</reasoning>"),
        ("<|channel|>analysis<|message|>", "<|end|>"),
        ("◁think▷", "◁/think▷"),
    ]);
    let block = (tags, "[机密<>thinkrea \n]{0,12}", "[答案甲<> \n]{0,8}");
    prop::collection::vec(block, 1..4).prop_map(|blocks| {
        let (mut whole, mut answer) = (String::new(), String::new());
        for ((open, close), secret, said) in blocks {
            whole.push_str(&format!("{open}机{secret}密{close}{said}"));
            answer.push_str(&said);
        }
        (whole, answer)
    })
}

/// `text` cut at these places.
fn cut(text: &str, cuts: &[prop::sample::Index]) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(chars.len() + 1)).collect();
    places.extend([0, chars.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| chars[pair[0]..pair[1]].iter().collect()).collect()
}

proptest! {
    #[test]
    fn hidden_reasoning_is_never_text_wherever_the_output_is_cut(
        (whole, answer) in output(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..24)
    ) {
        let parts = cut(&whole, &cuts);
        let (_, said) = split(parts.iter().map(String::as_str));
        prop_assert!(!said.contains(['机', '密', 't', 'h', 'r']), "{said:?} of {whole:?}");
        let told = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        prop_assert_eq!(told(&said), told(&answer));
    }

    #[test]
    fn cutting_changes_nothing(
        parts in prop::collection::vec(
            "(<think>|</think>|</THINKING>|<|/|think|>|[ \n]|[a中◁]|<\\|end\\|>|<\\|channel\\|>|<\\|message\\|>|<think/>|final|<\\|start\\|>|assist|ant){0,4}", 0..8
        )
    ) {
        let whole = parts.concat();
        prop_assert_eq!(split(parts.iter().map(String::as_str)), split([whole.as_str()]));
        let unsure = |parts: Vec<&str>| split_by(ReasonSplitter::unsure(), parts);
        prop_assert_eq!(unsure(parts.iter().map(String::as_str).collect()), unsure(vec![whole.as_str()]));
    }

    #[test]
    fn of_an_answer_cut_off_before_its_tag_nothing_is_text(
        secret in "[机密<>/think \n]{0,24}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..24)
    ) {
        // A closing tag would have told that what follows is the answer.
        prop_assume!(!secret.contains("think"));
        let parts = cut(&secret, &cuts);
        let mut splitter = ReasonSplitter::unsure();
        let mut pieces: Vec<Piece> = parts.iter().flat_map(|part| splitter.push(part)).collect();
        pieces.extend(splitter.cut_off());
        prop_assert_eq!(joined(pieces).1, "");
    }
}
