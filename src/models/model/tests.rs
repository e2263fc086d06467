//! How a model is called, against providers that follow a script.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::fake::{Fake, Step, answer, chunk, delta, ending, reply, streaming};
use super::super::registry::Models;
use super::super::registry::tests::{build, config, provider};
use super::super::{Grounding, Message, Role};
use super::*;
use crate::config::ModelConfig;

type Items = Vec<std::result::Result<Delta, ModelError>>;

fn question() -> CompletionRequest {
    CompletionRequest { messages: vec![Message { role: Role::User, content: "q".into() }], ..CompletionRequest::default() }
}

/// Everything a model makes of a question, who answered, and the attempts.
async fn ask(models: &Models, id: &str) -> (Items, Option<String>, Value) {
    let attempts = Attempts::default();
    let (items, by) = match models.select(Some(id)).unwrap().stream(question(), &attempts).await {
        Ok(started) => (started.deltas.collect().await, Some(started.model.card.id.clone())),
        Err(error) => (vec![Err(error)], None),
    };
    (items, by, json!(attempts))
}

fn one(fake: &Fake) -> Models {
    build(&config(vec![("fake", provider(&fake.base_url(), vec![ModelConfig::named("m")]))])).unwrap()
}

/// Model `m` of one provider, for which `n` of another stands in.
fn two(first: &Fake, second: &Fake) -> Models {
    let m = ModelConfig { fallback: vec!["n".to_owned()], first_token_ms: Some(1000), ..ModelConfig::named("m") };
    let providers =
        vec![("first", provider(&first.base_url(), vec![m])), ("second", provider(&second.base_url(), vec![ModelConfig::named("n")]))];
    build(&config(providers)).unwrap()
}

fn outcomes(attempts: &Value) -> Vec<(String, String)> {
    let text = |attempt: &Value, name: &str| attempt[name].as_str().unwrap().to_owned();
    attempts.as_array().unwrap().iter().map(|attempt| (text(attempt, "model"), text(attempt, "outcome"))).collect()
}

fn pairs(said: &[(&str, &str)]) -> Vec<(String, String)> {
    said.iter().map(|(model, outcome)| ((*model).to_owned(), (*outcome).to_owned())).collect()
}

#[tokio::test]
async fn a_failing_provider_is_asked_again_before_the_first_token() {
    let fake = Fake::start(|nth| match nth {
        0 => reply(429, "Retry-After: 0\r\n", "{}"),
        1 => reply(500, "", "oops"),
        _ => answer(&["yes"]),
    })
    .await;
    let (items, by, attempts) = ask(&one(&fake), "m").await;
    assert_eq!(items[0].as_ref().unwrap(), &Delta::Text("yes".into()));
    assert_eq!((by.as_deref(), fake.seen().len()), (Some("m"), 3));
    assert_eq!(outcomes(&attempts), pairs(&[("m", "model_rate_limited"), ("m", "model_unavailable"), ("m", "answered")]));
    assert!(attempts[2]["first_token_ms"].as_f64() <= attempts[2]["ms"].as_f64());
}

#[tokio::test]
async fn a_wait_that_was_asked_for_is_kept() {
    for status in [429, 503, 529] {
        let fake = Fake::start(move |nth| if nth == 0 { reply(status, "retry-after-ms: 400\r\n", "{}") } else { answer(&["yes"]) }).await;
        let started = std::time::Instant::now();
        assert!(ask(&one(&fake), "m").await.0[0].is_ok());
        assert!(started.elapsed() >= Duration::from_millis(400), "{status}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn what_cannot_help_is_not_tried_again() {
    for (status, headers) in [(401, ""), (400, ""), (429, "Retry-After: 60\r\n")] {
        let fake = Fake::start(move |_| reply(status, headers, "{}")).await;
        assert!(ask(&one(&fake), "m").await.0[0].is_err());
        assert_eq!(fake.seen().len(), 1, "{status}");
    }
    let fake = Fake::start(|_| reply(503, "", "{}")).await;
    assert!(matches!(ask(&one(&fake), "m").await.0[0], Err(ModelError::Unavailable(_))));
    assert_eq!(fake.seen().len(), 3);
}

#[tokio::test]
async fn another_model_answers_when_this_one_gives_no_token() {
    let second = Fake::start(|_| answer(&["second"])).await;
    for script in [reply(503, "", "{}"), reply(401, "", "{}"), vec![streaming(), Step::Hang], vec![]] {
        let first = Fake::start(move |_| script.clone()).await;
        let (items, by, attempts) = ask(&two(&first, &second), "m").await;
        assert_eq!((items[0].as_ref().unwrap(), by.as_deref()), (&Delta::Text("second".into()), Some("n")));
        assert_eq!(outcomes(&attempts).last().unwrap(), &("n".to_owned(), "answered".to_owned()));
    }
    // A question that is refused is refused.
    let (first, second) = (Fake::start(|_| reply(400, "", "{}")).await, Fake::start(|_| answer(&["second"])).await);
    let (items, ..) = ask(&two(&first, &second), "m").await;
    assert!(matches!(items[..], [Err(ModelError::Refused(_))]));
    assert!(second.seen().is_empty());
    // When nobody answers, it is the chosen model's error that is told.
    let (first, second) = (Fake::start(|_| reply(401, "", "{}")).await, Fake::start(|_| reply(500, "", "{}")).await);
    assert!(matches!(ask(&two(&first, &second), "m").await.0[..], [Err(ModelError::Unauthorized(_))]));
}

#[tokio::test]
async fn the_built_in_model_stands_in_only_where_it_has_sources_to_quote() {
    let fake = Fake::start(|_| reply(401, "", "{}")).await;
    let m = ModelConfig { fallback: vec![BUILTIN.to_owned()], ..ModelConfig::named("m") };
    let models = build(&config(vec![("fake", provider(&fake.base_url(), vec![m]))])).unwrap();
    let (items, by, attempts) = ask(&models, "m").await;
    assert!(matches!(items[..], [Err(ModelError::Unauthorized(_))]), "{items:?}");
    assert_eq!((by, outcomes(&attempts)), (None, pairs(&[("m", "model_unauthorized")])));

    let source = Grounding { n: 1, title: "q".into(), text: "Within 15 days.".into(), score: 1.0 };
    let request = CompletionRequest { grounding: vec![source], ..question() };
    let started = models.select(Some("m")).unwrap().stream(request, &Attempts::default()).await.ok().unwrap();
    assert_eq!(started.model.card.id, BUILTIN);
}

#[tokio::test]
async fn nothing_is_tried_again_after_the_first_token() {
    let first = Fake::start(|_| vec![streaming(), delta("content", "half")]).await;
    let second = Fake::start(|_| answer(&["second"])).await;
    let (items, by, attempts) = ask(&two(&first, &second), "m").await;
    assert!(matches!(&items[..], [Ok(Delta::Text(_)), Err(ModelError::Broken(_))]), "{items:?}");
    assert_eq!((by.as_deref(), first.seen().len(), second.seen().len()), (Some("m"), 1, 0));
    assert_eq!(outcomes(&attempts), pairs(&[("m", "model_stream_broken")]));
}

#[tokio::test]
async fn silence_has_limits_and_a_model_may_have_its_own() {
    let fake = Fake::start(|_| vec![streaming(), Step::Hang]).await;
    let quick = ModelConfig { first_token_ms: Some(200), ..ModelConfig::named("m") };
    let models = build(&config(vec![("fake", provider(&fake.base_url(), vec![quick]))])).unwrap();
    let (items, ..) = ask(&models, "m").await;
    assert!(matches!(items[..], [Err(ModelError::Timeout("first token"))]), "{items:?}");
    fake.somebody_left().await;
    assert_eq!(fake.seen().len(), 1);

    let fake = Fake::start(|_| vec![streaming(), delta("content", "half"), Step::Hang]).await;
    let (items, _, attempts) = ask(&one(&fake), "m").await;
    assert!(matches!(items[..], [Ok(_), Err(ModelError::Timeout("between tokens"))]), "{items:?}");
    assert_eq!(outcomes(&attempts), pairs(&[("m", "model_timeout")]));
    fake.somebody_left().await;
}

#[tokio::test]
async fn calls_beyond_the_limit_wait_and_beyond_the_queue_are_told_busy() {
    let fake = Fake::start(|nth| if nth == 0 { vec![streaming(), delta("content", "x"), Step::Hang] } else { answer(&["next"]) }).await;
    let narrow = ModelConfig { concurrency: 1, queue: 1, stall_ms: Some(60_000), ..ModelConfig::named("m") };
    let models = Arc::new(build(&config(vec![("fake", provider(&fake.base_url(), vec![narrow]))])).unwrap());
    let first = models.select(None).unwrap().stream(question(), &Attempts::default()).await.ok().unwrap();
    let waiting = tokio::spawn({
        let models = Arc::clone(&models);
        async move { ask(&models, "m").await }
    });
    while models.select(None).unwrap().gate.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let (items, _, attempts) = ask(&models, "m").await;
    assert!(matches!(items[..], [Err(ModelError::Busy)]), "{items:?}");
    assert_eq!(outcomes(&attempts), pairs(&[("m", "model_busy")]));
    assert_eq!(fake.seen().len(), 1);
    drop(first);
    assert_eq!(waiting.await.unwrap().0[0].as_ref().unwrap(), &Delta::Text("next".into()));
}

#[tokio::test]
async fn a_dead_provider_is_left_alone_until_a_probe_comes_through() {
    let fake = Fake::start(|nth| if nth < 3 { reply(500, "", "{}") } else { answer(&["back"]) }).await;
    let mut config = config(vec![("fake", provider(&fake.base_url(), vec![ModelConfig::named("m")]))]);
    config.breaker_failures = 3;
    let models = build(&config).unwrap();
    let mut changes = models.changes();
    assert!(ask(&models, "m").await.0[0].is_err());
    assert_eq!(fake.seen().len(), 3);
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    let (items, _, attempts) = ask(&models, "m").await;
    assert!(matches!(&items[..], [Err(ModelError::Unavailable(why))] if why.contains("left alone")), "{items:?}");
    assert_eq!((outcomes(&attempts), fake.seen().len()), (pairs(&[("m", "model_unavailable")]), 3));
    let health = json!(models.health());
    assert_eq!((&health["fake"]["health"], &health["fake"]["last_error"]["code"]), (&json!("open"), &json!("model_unavailable")));
    assert_eq!(json!(models.statuses())[0]["health"], "open");

    tokio::time::sleep(Duration::from_millis(config.breaker_open_ms)).await;
    assert!(ask(&models, "m").await.0[0].is_ok());
    assert_eq!(json!(models.health())["fake"]["health"], "ok");
    assert!(changes.has_changed().unwrap());
}

#[tokio::test]
async fn an_answer_is_no_longer_than_the_model_may_give() {
    let fake = Fake::start(|_| answer(&["x"])).await;
    let short = ModelConfig { answer_tokens: Some(50), ..ModelConfig::named("m") };
    let models = build(&config(vec![("fake", provider(&fake.base_url(), vec![short]))])).unwrap();
    for (asked, sent) in [(Some(1200), 50), (Some(20), 20), (None, 50)] {
        let request = CompletionRequest { max_tokens: asked, ..question() };
        let started = models.select(None).unwrap().stream(request, &Attempts::default()).await.ok().unwrap();
        started.deltas.collect::<Vec<_>>().await;
        assert_eq!(fake.seen().last().unwrap().body["max_tokens"], sent);
    }
}

#[tokio::test]
async fn an_end_without_a_word_is_no_answer_and_another_model_may_give_one() {
    let silent = |_| std::iter::once(streaming()).chain(ending()).collect::<Vec<Step>>();
    let (first, second) = (Fake::start(silent).await, Fake::start(|_| answer(&["second"])).await);
    let (items, by, attempts) = ask(&two(&first, &second), "m").await;
    assert_eq!((by.as_deref(), items[0].as_ref().unwrap()), (Some("n"), &Delta::Text("second".into())));
    assert_eq!(outcomes(&attempts)[0], ("m".to_owned(), "model_stream_broken".to_owned()));
    assert!(attempts[0].get("first_token_ms").is_none(), "{attempts}");
    let (items, ..) = ask(&one(&first), "m").await;
    assert!(matches!(&items[..], [Err(ModelError::Broken(why))] if why == "there was no answer"), "{items:?}");

    // A limit or a filter would end the next call in the same way.
    let full = chunk(json!({"choices": [{"delta": {}, "finish_reason": "length"}]}));
    let fake = Fake::start(move |_| vec![streaming(), full.clone(), Step::Send("data: [DONE]\n\n".into())]).await;
    let (items, ..) = ask(&one(&fake), "m").await;
    assert!(matches!(&items[..], [Ok(Delta::Finish(FinishReason::Length))]), "{items:?}");
    assert_eq!(fake.seen().len(), 1);
}
