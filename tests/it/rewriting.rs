//! Follow-ups that a model makes stand alone: what is searched for, what it costs, and what happens when the
//! model has nothing to offer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::fake_provider::FakeProvider;
use super::server::{Server, Setup, Turn};

const FIRST: &str = "退货地址在哪里修改？";
const FOLLOW_UP: &str = "那个打印的呢？";

async fn server(rewriter: &'static str) -> (Server, Arc<FakeProvider>) {
    let provider = Arc::new(FakeProvider::start());
    let change = move |config: &mut merchant_copilot::config::Config| {
        config.chat.rewrite_model = rewriter.into();
        config.chat.rewrite_ms = 400;
    };
    let setup = Setup { provider: Some(Arc::clone(&provider)), change: Some(Box::new(change)), ..Setup::default() };
    (Server::start(setup).await, provider)
}

/// Asks a question and a follow-up; the follow-up's turn, and its trace.
async fn follow_up(server: &Server, text: &str, model: &str) -> (Turn, Value) {
    let mut socket = server.session(&server.member).await;
    let first = socket.ask(FIRST, json!({"model": model})).await;
    let turn = socket.ask(text, json!({"model": model, "conversation_id": first.conversation()})).await;
    turn.check();
    let trace = server.json(&format!("/api/v1/responses/{}/trace", turn.response()), &server.admin).await["trace"].clone();
    (turn, trace)
}

#[tokio::test]
async fn a_model_makes_a_follow_up_stand_alone_and_is_paid() {
    let (server, provider) = server("rewriter").await;
    let (turn, trace) = follow_up(&server, FOLLOW_UP, "normal").await;
    let rewrite = &trace["rewrite"];
    assert_eq!(
        (&trace["query"], &rewrite["by"], &rewrite["model"]),
        (&json!("跨境包裹的面单怎么打印？"), &json!("model"), &json!("rewriter"))
    );
    assert_eq!((&rewrite["usage"]["prompt_tokens"], &rewrite["why"]), (&json!(100), &Value::Null), "{rewrite}");
    assert_eq!(turn.first("response.sources")["sources"][0]["entry_id"], "label");
    let asked = provider.requests("rewriter");
    assert_eq!(asked.len(), 1, "a first question stands alone: one call for the follow-up");
    let told = asked[0]["messages"].to_string();
    assert!(told.contains(FIRST) && told.contains(FOLLOW_UP) && told.contains("JSON"), "{told}");
    let usage = server.json("/api/v1/usage", &server.admin).await;
    let line = usage["models"].as_array().unwrap().iter().find(|line| line["model"] == "rewriter").unwrap();
    assert_eq!((&line["calls"], &line["prompt_tokens"]), (&json!(1), &json!(100)), "{usage}");
    let beside = &turn.done()["usage"]["beside"];
    assert_eq!(
        (&beside[0]["purpose"], &beside[0]["model"], &beside[0]["prompt_tokens"]),
        (&json!("rewrite"), &json!("rewriter"), &json!(100))
    );
    assert!(beside[0]["cost"].as_f64().unwrap() > 0.0 && beside.as_array().unwrap().len() == 1, "{beside}");
    // Thanks need no model, and another one may answer.
    let (thanks, trace) = follow_up(&server, "谢谢", "builtin").await;
    assert_eq!((thanks.decision(), &trace["intent"]), ("none", &json!("greeting")));
    assert_eq!(provider.requests("rewriter").len(), 1);
}

#[tokio::test]
async fn without_a_usable_reply_the_local_rules_have_the_word() {
    for (rewriter, why, paid) in [
        ("normal", "unreadable", true),
        ("stall-first", "timeout", true),
        ("unauthorized", "model_unauthorized", false),
        ("stall-middle", "timeout", true),
    ] {
        let (server, _provider) = server(rewriter).await;
        let started = Instant::now();
        let (turn, trace) = follow_up(&server, "那跨境包裹的面单呢？", "normal").await;
        let rewrite = &trace["rewrite"];
        assert_eq!((&rewrite["by"], &rewrite["why"]), (&json!("rules"), &json!(why)), "{rewriter}: {rewrite}");
        assert_eq!(rewrite["rules"], trace["query"]);
        let usage = server.json("/api/v1/usage", &server.admin).await;
        assert_eq!(
            usage["models"].as_array().unwrap().iter().any(|line| line["model"] == rewriter && rewriter != "normal"),
            paid && rewriter != "normal",
            "{usage}"
        );
        assert_eq!(turn.done()["usage"]["beside"].is_array(), paid, "{rewriter}");
        assert_eq!(turn.done()["status"], "completed");
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}

#[tokio::test]
async fn the_model_that_answers_rewrites_unless_another_is_named_and_the_built_in_one_never_does() {
    let (server, provider) = server("").await;
    let (_, trace) = follow_up(&server, FOLLOW_UP, "rewriter").await;
    assert_eq!((&trace["rewrite"]["model"], &trace["query"]), (&json!("rewriter"), &json!("跨境包裹的面单怎么打印？")));
    let (_, trace) = follow_up(&server, FOLLOW_UP, "builtin").await;
    assert_eq!(trace["rewrite"], Value::Null);
    // What asks something is no greeting; what does not, may be one.
    let (_, trace) = follow_up(&server, "那跨境包裹的面单呢？", "rewriter-greets").await;
    assert_eq!((&trace["rewrite"]["by"], &trace["rewrite"]["why"]), (&json!("rules"), &json!("unreadable")));
    let (greeted, trace) = follow_up(&server, "原来如此这样子", "rewriter-greets").await;
    assert_eq!((greeted.decision(), &trace["intent"]), ("none", &json!("greeting")), "{trace}");
    assert!(provider.requests("rewriter").len() == 3, "two answers and one rewriting");
}
