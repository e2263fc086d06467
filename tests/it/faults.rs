//! A provider that breaks at every place in every way: there is exactly one end, soon; what came is kept
//! in one stored turn; and another model answers only when nothing had come yet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use merchant_copilot::config::ProviderKind;
use serde_json::{Value, json};

use super::fault_server::{FAULTS, FaultServer, SPARE, TOKENS, tokens};
use super::server::{Server, Setup, Turn};

const GROUNDED: &str = "退货地址在哪里修改？";
/// How long the provider may be silent in these tests.
const STALL: Duration = Duration::from_millis(300);
/// From noticing the fault to telling the end.
const SOON: Duration = Duration::from_secs(1);

async fn server(faults: &Arc<FaultServer>) -> Server {
    let faults = Arc::clone(faults);
    let change = move |config: &mut merchant_copilot::config::Config| {
        config.models.providers.insert("faults".into(), faults.config(ProviderKind::Auto));
        config.models.providers.insert("faults-a".into(), faults.config(ProviderKind::Anthropic));
        config.models.first_token_ms = 3000;
        config.models.stall_ms = STALL.as_millis() as u64;
        config.chat.memory_tokens = 0;
    };
    Server::start(Setup { change: Some(Box::new(change)), ..Setup::default() }).await
}

/// A turn, and how long its end took after the last piece of text (or the question, when none came).
async fn ask(server: &Server, model: &str) -> (Turn, Duration) {
    let mut socket = server.session(&server.member).await;
    socket.say(GROUNDED, json!({"model": model})).await;
    let (mut frames, mut last) = (Vec::new(), Instant::now());
    loop {
        let frame = socket.frame().await;
        let kind = frame["type"].as_str().unwrap().to_owned();
        frames.push(frame);
        match kind.as_str() {
            "response.text.delta" => last = Instant::now(),
            "response.done" => break,
            _ => {}
        }
    }
    let took = last.elapsed();
    socket.is_quiet().await;
    (Turn(frames), took)
}

/// The turns that are stored of a conversation.
async fn stored(server: &Server, turn: &Turn) -> Vec<Value> {
    let body = server.json(&format!("/api/v1/conversations/{}", turn.conversation()), &server.admin).await;
    body["turns"].as_array().unwrap().clone()
}

/// What holds for this fault at this place; what does not is said. The time that the end took after it was
/// noticed that one is due.
async fn check(server: &Server, faults: &FaultServer, model: &str) -> Result<Duration, String> {
    let (fault, at) = model.trim_start_matches("a-").split_once('-').unwrap();
    let at: usize = at.parse().unwrap();
    let spare_before_first = at == 0;
    let (turn, took) = ask(server, model).await;
    turn.check();
    let done = turn.done();
    let must = |fact: bool, what: &str| if fact { Ok(()) } else { Err(format!("{model}: {what}: {done} {:?}", turn.text())) };
    let rows = stored(server, &turn).await;
    must(rows.len() == 1, "one turn is stored")?;
    must(rows[0]["answer"] == turn.text() && rows[0]["status"] == done["status"], "the stored turn is the one that was told")?;
    if spare_before_first {
        must(turn.text() == tokens(TOKENS) && done["status"] == "completed", "the stand-in answers whole")?;
        must(rows[0]["model"] == SPARE, "the stored model is the one that answered")?;
        let told = turn.all("response.status").iter().any(|frame| frame["model"] == SPARE);
        must(told, "the client hears who answers")?;
        return Ok(Duration::ZERO);
    }
    must(turn.text() == tokens(at), "what came is kept, no more and no less")?;
    must(done["status"] == "incomplete" && done["finish_reason"] == "error", "the end is honest")?;
    must(rows[0]["model"] == model, "nobody stands in once something came")?;
    must(faults.asked(model) == 1, "nothing is asked again once something came")?;
    let code = match fault {
        "stall" => "model_timeout",
        "429" => "model_rate_limited",
        "500" => "model_unavailable",
        _ => "model_stream_broken",
    };
    must(done["error"]["code"] == code, code)?;
    let says_kept = done["error"]["message"].as_str().unwrap_or_default().contains("保留");
    must(says_kept == (code == "model_stream_broken"), "who has half an answer reads that it is kept")?;
    must(done["usage"]["completion_tokens"].as_u64() > Some(0), "what came is counted")?;
    let silence = if fault == "stall" { STALL } else { Duration::ZERO };
    Ok(took.saturating_sub(silence))
}

async fn matrix(models: Vec<String>) {
    let faults = Arc::new(FaultServer::start().await);
    let server = server(&faults).await;
    let checked: Vec<(String, Result<Duration, String>)> = stream::iter(models)
        .map(|model| {
            let (server, faults) = (&server, &faults);
            async move {
                let took = check(server, faults, &model).await;
                (model, took)
            }
        })
        .buffer_unordered(12)
        .collect()
        .await;
    let wrong: Vec<&String> = checked.iter().filter_map(|(_, took)| took.as_ref().err()).collect();
    assert!(wrong.is_empty(), "{} are wrong:\n{wrong:#?}", wrong.len());
    let latest = checked.iter().filter_map(|(_, took)| took.clone().ok()).max().unwrap_or_default();
    println!("{} faults, the latest end after {latest:?}", checked.len());
    // On a busy machine an end may come late: it has to come soon when nothing else happens.
    for (model, _) in checked.iter().filter(|(_, took)| took.as_ref().is_ok_and(|took| *took >= SOON)) {
        let took = ask(&server, model).await.1;
        assert!(took < STALL + SOON, "{model}: the end took {took:?}");
    }
}

#[tokio::test]
async fn every_fault_at_every_token_has_one_honest_end() {
    matrix(FAULTS.iter().flat_map(|fault| (0..TOKENS).map(move |at| format!("{fault}-{at}"))).collect()).await;
}

#[tokio::test]
async fn anthropic_s_dialect_ends_as_honestly() {
    matrix(FAULTS.iter().flat_map(|fault| [0, 1, 7, TOKENS - 1].map(|at| format!("a-{fault}-{at}"))).collect()).await;
}
