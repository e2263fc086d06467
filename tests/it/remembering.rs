//! What a conversation keeps: answers asked for again and messages edited, ratings, lists and
//! deletion, what the merchant said of itself, older turns, and what is suggested next.

use std::sync::Arc;

use merchant_copilot::chat::stopped;
use merchant_copilot::config::Config;
use merchant_copilot::db::Db;
use merchant_copilot::ids::{Clock, ConversationId, OwnerId, TenantId, Timestamp};
use merchant_copilot::memory::{Memory, NewTurn, Outcome, Progress};
use reqwest::Method;
use serde_json::{Value, json};

use super::fake_provider::{ANSWER, FakeProvider};
use super::server::{Server, Setup, Socket, shared};

const GROUNDED: &str = "退货地址在哪里修改？";
const DIRECT: &str = "普通店保证金要交多少？";
/// Tokens by which two prompts under the same full budgets may differ: a line of the summary, because turns are taken whole.
const MARGIN: usize = 64;

async fn with_provider() -> (Server, Arc<FakeProvider>) {
    let provider = Arc::new(FakeProvider::start());
    let server = Server::start(Setup { provider: Some(Arc::clone(&provider)), ..Setup::default() }).await;
    (server, provider)
}

/// The frames of one answer to `response.regenerate`.
async fn again(socket: &mut Socket, response: &str, model: Option<&str>) -> super::server::Turn {
    socket.send(json!({"type": "response.regenerate", "response_id": response, "model": model})).await;
    socket.turn().await
}

async fn refused(socket: &mut Socket, frame: Value) -> Value {
    let id = socket.send(frame).await;
    let answer = socket.frame().await;
    assert_eq!((&answer["type"], &answer["ref"]), (&json!("error"), &json!(id)), "{answer}");
    answer
}

/// What the provider was told last, as one text.
fn prompt(provider: &FakeProvider, model: &str) -> String {
    provider.requests(model).last().unwrap()["messages"].to_string()
}

#[tokio::test]
async fn an_answer_asked_for_again_takes_the_place_of_the_old_one() {
    let (server, provider) = with_provider().await;
    let mut socket = server.session(&server.member).await;
    let first = socket.ask(GROUNDED, json!({"model": "builtin"})).await;
    let second = again(&mut socket, first.response(), Some("normal")).await;
    second.check();
    assert_eq!(second.text(), ANSWER.concat());
    let created = second.first("response.created");
    assert_eq!((&created["model"], &created["replaces"]), (&json!("normal"), &json!(first.response())));
    assert_eq!(created["message_id"], first.first("response.created")["message_id"], "the same message");
    assert!(!prompt(&provider, "normal").contains(first.text()), "the old answer is not in front of the new one");

    // Of the two only the new one is remembered; both are kept.
    socket.ask("打印面单要选什么？", json!({"model": "normal", "conversation_id": first.conversation()})).await;
    let told = prompt(&provider, "normal");
    assert!(told.contains(&ANSWER.concat()) && !told.contains(first.text()), "{told}");
    let stored = server.json(&format!("/api/v1/conversations/{}", first.conversation()), &server.member).await;
    assert_eq!(
        (&stored["turns"][0]["replaced_by"], &stored["turns"][1]["replaces"]),
        (&json!(second.response()), &json!(first.response()))
    );

    let old = refused(&mut socket, json!({"type": "response.regenerate", "response_id": first.response()})).await;
    assert_eq!(old["code"], "response_replaced");
    let mut stranger = server.session(&server.site).await;
    let theirs = refused(&mut stranger, json!({"type": "response.regenerate", "response_id": second.response()})).await;
    assert_eq!(theirs["code"], "response_not_found");
    socket.say(GROUNDED, json!({"model": "endless-1"})).await;
    let running = socket.until("response.text.delta").await["response_id"].clone();
    let early = refused_in_stream(&mut socket, json!({"type": "response.regenerate", "response_id": running})).await;
    assert_eq!(early["code"], "response_running");
    socket.send(json!({"type": "response.cancel", "response_id": running})).await;
    let end = socket.turn().await;
    let usage = &end.done()["usage"];
    assert!(
        usage["prompt_tokens"].as_u64() > Some(0) && usage["completion_tokens"].as_u64() > Some(0),
        "a cancel says what was used: {usage}"
    );
}

/// The refusal of a frame while an answer is coming in.
async fn refused_in_stream(socket: &mut Socket, frame: Value) -> Value {
    let id = socket.send(frame).await;
    loop {
        let frame = socket.frame().await;
        if frame["type"] == "error" {
            assert_eq!(frame["ref"], json!(id));
            return frame;
        }
    }
}

#[tokio::test]
async fn an_edited_message_takes_what_followed_out_of_memory() {
    let (server, provider) = with_provider().await;
    let mut socket = server.session(&server.member).await;
    let first = socket.ask("我是日本站的跨境店，退货地址在哪里修改？", json!({"model": "normal"})).await;
    let conversation = first.conversation().to_owned();
    socket.ask("第二个问题：面单怎么打印才对？", json!({"model": "normal", "conversation_id": conversation})).await;
    assert!(prompt(&provider, "normal").contains("站点: 日本站; 店铺类型: 跨境店"));
    let message = first.first("message.accepted")["message_id"].clone();
    let edited = socket.ask(GROUNDED, json!({"model": "normal", "replaces": message})).await;
    edited.check();
    assert_eq!(edited.conversation(), conversation);
    assert_eq!(edited.first("response.created")["replaces"], first.response());
    let told = prompt(&provider, "normal");
    for gone in ["日本站", "第二个问题"] {
        assert!(!told.contains(gone), "{gone}: {told}");
    }
    let unknown = refused(
        &mut socket,
        json!({"type": "message.create", "text": "改", "client_msg_id": "x1", "replaces": "r_none", "conversation_id": conversation}),
    )
    .await;
    assert_eq!(unknown["code"], "response_not_found");
}

#[tokio::test]
async fn what_a_reader_thinks_is_kept_with_the_answer() {
    let server = Server::small().await;
    let mut socket = server.session(&server.member).await;
    let turn = socket.ask(DIRECT, json!({})).await;
    let rate = |rating: &str| json!({"type": "feedback.create", "response_id": turn.response(), "rating": rating});
    socket.send(rate("up")).await;
    socket.is_quiet().await;
    let stored = async || {
        server.json(&format!("/api/v1/conversations/{}", turn.conversation()), &server.admin).await["turns"][0]["feedback"].clone()
    };
    assert_eq!(stored().await["rating"], "up");

    let body = json!({"response_id": turn.response(), "rating": "down", "reasons": ["wrong", "outdated"], "comment": " 金额不对 "});
    let post =
        async |key: &str, body: &Value| server.request(Method::POST, "/api/v1/feedback").bearer_auth(key).json(body).send().await.unwrap();
    assert_eq!(post(&server.member, &body).await.status(), 204);
    let kept = stored().await;
    assert_eq!((&kept["rating"], &kept["reasons"], &kept["comment"]), (&json!("down"), &json!(["wrong", "outdated"]), &json!("金额不对")));
    assert_eq!(post(&server.admin, &body).await.status(), 404, "an admin is not who asked");
    let long = json!({"response_id": turn.response(), "rating": "down", "comment": "长".repeat(2001)});
    assert_eq!(post(&server.member, &long).await.json::<Value>().await.unwrap()["error"]["code"], "bad_feedback");
    let mut stranger = server.session(&server.site).await;
    assert_eq!(refused(&mut stranger, rate("up")).await["code"], "response_not_found");

    let listed = async |query: &str| server.json(&format!("/api/v1/feedback{query}"), &server.admin).await["feedback"].clone();
    let all = listed("").await;
    assert_eq!((all.as_array().unwrap().len(), &all[0]["question"], &all[0]["rating"]), (1, &json!(DIRECT), &json!("down")));
    assert_eq!((listed("?rating=up").await, listed("?rating=down").await), (json!([]), all));
    socket.send(rate("none")).await;
    socket.is_quiet().await;
    assert_eq!((stored().await, listed("").await), (Value::Null, json!([])));
}

#[tokio::test]
async fn conversations_are_found_exported_and_deleted_for_good() {
    let (server, provider) = with_provider().await;
    let mut socket = server.session(&server.member).await;
    let mut ids = Vec::new();
    for (question, fields) in [(DIRECT, json!({})), (GROUNDED, json!({"model": "normal"})), ("火星天气怎么样", json!({}))] {
        ids.push(socket.ask(question, fields).await.conversation().to_owned());
    }
    let list = async |query: &str| {
        let page = server.json(&format!("/api/v1/conversations{query}"), &server.admin).await;
        let found: Vec<String> =
            page["conversations"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        (found, page["next"].as_str().map(str::to_owned))
    };
    assert_eq!(list("?q=中国站").await.0, [ids[0].clone()]);
    assert_eq!(list("?decision=none").await.0, [ids[2].clone()]);
    assert_eq!(list("?channel=sse").await.0, [""; 0]);
    let (mut seen, mut next) = list("?limit=2").await;
    while let Some(before) = next.take() {
        let (more, further) = list(&format!("?limit=2&before={before}")).await;
        seen.extend(more);
        next = further;
    }
    assert_eq!(seen, [ids[2].clone(), ids[1].clone(), ids[0].clone()]);
    assert_eq!(server.json("/api/v1/conversations?before=x", &server.admin).await["error"]["code"], "bad_page");

    let lines = server.get("/api/v1/conversations/export").bearer_auth(&server.admin).send().await.unwrap().text().await.unwrap();
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), &rows[2]["turns"][0]["question"]), (3, &json!(DIRECT)));

    // Deleted in the middle of an answer: the answer is stopped, and nothing is left.
    socket.say(GROUNDED, json!({"model": "endless-1", "conversation_id": ids[0]})).await;
    socket.until("response.text.delta").await;
    let delete = async |id: &str, key: &str| {
        server.request(Method::DELETE, &format!("/api/v1/conversations/{id}")).bearer_auth(key).send().await.unwrap().status()
    };
    assert_eq!(delete(&ids[0], &server.site).await, 403, "a page on no list");
    assert_eq!(delete(&ids[0], &server.member).await, 204);
    provider.left("endless-1", 1).await;
    assert_eq!(socket.turn().await.done()["status"], "cancelled");
    assert_eq!(delete(&ids[0], &server.member).await, 404);
    assert_eq!(delete(&ids[1], &server.admin).await, 204, "an admin may too");
    assert_eq!(list("").await.0, [ids[2].clone()]);
    let trace = server.get(&format!("/api/v1/conversations/{}", ids[0])).bearer_auth(&server.admin).send().await.unwrap();
    assert_eq!(trace.status(), 404);
}

#[tokio::test]
async fn a_late_turn_costs_no_more_and_knows_what_an_early_one_settled() {
    let (server, provider) = with_provider().await;
    let mut socket = server.session(&server.member).await;
    let conversation = socket.ask("我是日本站的商家", json!({})).await.conversation().to_owned();
    socket.ask("我们约定：退货仓用宁波 7 号库的退货地址，行不行？", json!({"conversation_id": conversation})).await;
    let mut tokens = Vec::new();
    for turn in 3..=44 {
        let question = format!("第 {turn} 次问：普通店保证金要交多少？");
        socket.ask(&question, json!({"conversation_id": conversation, "model": "builtin"})).await;
        if matches!(turn, 20 | 44) {
            socket.ask(GROUNDED, json!({"conversation_id": conversation, "model": "normal"})).await;
            let told = prompt(&provider, "normal");
            tokens.push(merchant_copilot::models::tokens::count(&told));
            assert!(told.contains("宁波 7 号库"), "turn {turn}: {told}");
            assert!(told.contains("站点: 日本站"), "turn {turn}");
            assert!(!told.contains("第 4 次问") || turn < 44, "turn {turn}: only what concerns the question");
        }
    }
    assert!(tokens[1] < tokens[0] * 5 / 4 + 100, "turn 44 costs {}, turn 20 {}", tokens[1], tokens[0]);
    // Another word replaces the first one.
    socket.ask("更正，我们在新加坡站", json!({"conversation_id": conversation})).await;
    let last = socket.ask(GROUNDED, json!({"conversation_id": conversation, "model": "normal"})).await;
    let told = prompt(&provider, "normal");
    assert!(told.contains("站点: 新加坡站") && !told.contains("站点: 日本站"), "{told}");
    let trace = server.json(&format!("/api/v1/responses/{}/trace", last.response()), &server.admin).await["trace"].clone();
    assert_eq!(trace["facts"][0]["value"], "新加坡站");
    for part in ["asked", "query", "search", "prompt", "memory", "model"] {
        assert!(!trace[part].is_null(), "{part}: {trace}");
    }
}

#[tokio::test]
async fn turn_200_costs_no_more_than_turn_20_and_knows_what_turn_3_settled() {
    let (server, provider) = with_provider().await;
    let mut socket = server.session(&server.member).await;
    let conversation = socket.ask("我是日本站的商家", json!({})).await.conversation().to_owned();
    socket.ask(DIRECT, json!({"conversation_id": conversation})).await;
    socket.ask("我们约定：退货仓用宁波 7 号库的退货地址，行不行？", json!({"conversation_id": conversation})).await;
    // So long that window and summary are full long before turn 20, and never with the words of the settled fact.
    let chatter = "团队里新来的同事负责开店，他想知道普通店保证金要交多少，什么时候交，交了以后换类目会不会再补，\
        之前客服说过一次但是没有记下来，另外几位同事也在等这个答复，麻烦再完整地说一遍，我们好一起记到笔记里面，谢谢。";
    let mut costs = Vec::new();
    for turn in 4..=200 {
        if matches!(turn, 20 | 200) {
            let told = socket.ask(GROUNDED, json!({"conversation_id": conversation, "model": "normal"})).await;
            let prompt = prompt(&provider, "normal");
            costs.push(merchant_copilot::models::tokens::count(&prompt));
            assert!(prompt.contains("宁波 7 号库") && prompt.contains("站点: 日本站"), "turn {turn}: {prompt}");
            assert_eq!(told.done()["status"], "completed");
        } else {
            socket.ask(&format!("第 {turn} 次问：{chatter}"), json!({"conversation_id": conversation, "model": "builtin"})).await;
        }
    }
    assert!(costs[1] <= costs[0] + MARGIN, "turn 200 costs {}, turn 20 {}", costs[1], costs[0]);
}

#[tokio::test]
async fn suggestions_can_be_answered_and_were_not_asked() {
    let (server, _) = shared().await;
    let mut socket = server.session(&server.member).await;
    let mut turn = socket.ask("怎么申诉扣分？", json!({"model": "builtin"})).await;
    let conversation = turn.conversation().to_owned();
    let mut asked = Vec::new();
    for _ in 0..4 {
        let offered: Vec<String> = serde_json::from_value(turn.done()["suggestions"].clone()).unwrap();
        assert!(offered.len() <= 3);
        assert!(offered.iter().all(|one| !asked.contains(one)), "{offered:?} after {asked:?}");
        let Some(next) = offered.first().cloned() else { break };
        turn = socket.ask(&next, json!({"model": "builtin", "conversation_id": conversation})).await;
        assert_ne!(turn.decision(), "none", "{next}");
        asked.push(next);
    }
    assert!(!asked.is_empty(), "something was suggested");
}

/// The server's database beside it, seen at another time.
async fn memory(server: &Server, clock: Clock) -> Memory {
    Memory::new(Db::open("", &server.data_dir).await.unwrap(), clock)
}

#[tokio::test]
async fn a_configured_model_writes_about_what_left_the_window() {
    let provider = Arc::new(FakeProvider::start());
    let setup =
        Setup { provider: Some(Arc::clone(&provider)), config: Some(|config| config.models.default = "normal".into()), ..Setup::default() };
    let server = Server::start(setup).await;
    let mut socket = server.session(&server.member).await;
    let conversation = socket.ask("我们约定退货仓用宁波 7 号库", json!({"model": "builtin"})).await.conversation().to_owned();
    for _ in 0..17 {
        socket.ask(DIRECT, json!({"conversation_id": conversation})).await;
    }
    let memory = memory(&server, Clock::system()).await;
    let (demo, id) = (TenantId::parse("demo").unwrap(), ConversationId::from_text(conversation.clone()));
    let written = async {
        loop {
            let summary = memory.remembered(&demo, &id).await.unwrap().summary;
            if !summary.prose.is_empty() {
                return summary;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let summary = tokio::time::timeout(super::server::PATIENCE, written).await.expect("nothing was written");
    assert_eq!(summary.prose, ANSWER.concat());
    assert!(summary.lines[0].text.contains("宁波 7 号库"), "{summary:?}");
    let asked: Vec<String> = provider.requests("normal").iter().map(Value::to_string).filter(|body| body.contains("<turns>")).collect();
    assert!(asked[0].contains("宁波 7 号库"), "{asked:?}");
}

#[tokio::test]
async fn what_a_crash_cut_off_is_paid_as_far_as_it_is_known() {
    let server = Server::small().await;
    let (memory, demo) = (memory(&server, Clock::system()).await, TenantId::parse("demo").unwrap());
    let turn = memory.record_question(&demo, &question(&OwnerId::from_text("k_gone"))).await.unwrap().turn;
    let owed = json!({"day": "2026-01-15", "model": "gone", "prompt_tokens": 700, "price_in": 1.0, "price_out": 2.0, "currency": "CNY"});
    let progress = Progress {
        tenant: demo.clone(),
        turn: turn.id.clone(),
        answer: "保证金是 10,000 元".into(),
        decision: Some("grounded".into()),
        unsourced: false,
        sources: json!([]),
        numbers: json!({}),
        owed: Some(serde_json::from_value(owed).unwrap()),
    };
    memory.note_progress(&[progress]).await.unwrap();
    assert_eq!(memory.end_interrupted(0, stopped).await.unwrap(), 1);
    assert_eq!(memory.end_interrupted(0, stopped).await.unwrap(), 0, "once");
    let usage = memory.turn(&demo, None, &turn.id).await.unwrap().usage;
    let said = usage["completion_tokens"].as_u64().unwrap();
    assert!(usage["prompt_tokens"] == 700 && said > 3, "{usage}");
    let month = server.json("/api/v1/usage?month=2026-01", &server.admin).await;
    let line = &month["models"][0];
    assert_eq!(
        (&line["model"], &line["calls"], &line["prompt_tokens"], &line["completion_tokens"]),
        (&json!("gone"), &json!(1), &json!(700), &json!(said))
    );
    assert!((line["cost"].as_f64().unwrap() - (700.0 + 2.0 * said as f64) / 1e6).abs() < 1e-9, "{month}");
}

#[tokio::test]
async fn a_shop_says_how_long_it_keeps_things_and_the_sweeper_follows() {
    let folder = tempfile::tempdir().unwrap();
    let setup = || Setup { data_dir: Some(folder.path().to_owned()), ..Setup::default() };
    let mut server = Server::start(setup()).await;
    let (demo, other, owner) = (TenantId::parse("demo").unwrap(), TenantId::parse("other").unwrap(), OwnerId::from_text("k_gone"));
    server.tenants.add(&other, "Other").await.unwrap();
    let fresh = server.session(&server.member).await.ask(DIRECT, json!({})).await.conversation().to_owned();
    let day = 24 * 60 * 60 * 1000;
    let old = memory(&server, Clock::fixed(Timestamp(Clock::system().now().0 - 3 * day))).await;
    old.record_question(&demo, &question(&owner)).await.unwrap();
    let kept = old.record_question(&other, &question(&owner)).await.unwrap().turn;

    let at_first = server.json("/api/v1/retention", &server.admin).await;
    let defaults = json!({"conversation_days": 0, "trace_days": 30, "verdict_days": 30});
    assert_eq!((&at_first["conversation_days"], &at_first["in_force"]), (&Value::Null, &defaults));
    let set = async |server: &Server, body: Value| {
        let answer = server.request(Method::PUT, "/api/v1/retention").bearer_auth(&server.admin).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    for wrong in [json!({"trace_days": 40_000}), json!({"trace_days": -1}), json!({"years": 1})] {
        assert_eq!(set(&server, wrong.clone()).await.0, 400, "{wrong}");
    }
    let (status, decided) = set(&server, json!({"conversation_days": 2, "trace_days": 0})).await;
    assert_eq!((status, &decided["in_force"]), (200, &json!({"conversation_days": 2, "trace_days": 0, "verdict_days": 30})), "{decided}");
    // It is looked at a start, and every quarter of an hour.
    server.stop();
    let server = Server::start(setup()).await;
    let listed = async || {
        let page = server.json("/api/v1/conversations", &server.admin).await;
        page["conversations"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let forgotten = async {
        while listed().await != [fresh.clone()] {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(super::server::PATIENCE, forgotten).await.expect("the old conversation is still there");
    assert!(old.turn(&other, None, &kept.id).await.is_ok(), "another shop keeps its own");
    assert_eq!(server.json("/api/v1/retention", &server.admin).await["conversation_days"], 2);
}

#[tokio::test]
async fn a_turn_that_was_ended_stays_as_it_ended() {
    let server = Server::small().await;
    let (memory, demo) = (memory(&server, Clock::system()).await, TenantId::parse("demo").unwrap());
    let turn = memory.record_question(&demo, &question(&OwnerId::from_text("k_gone"))).await.unwrap().turn;
    let outcome = Outcome { answer: "late".into(), status: "completed".into(), finish_reason: "stop".into(), ..Outcome::default() };
    assert!(memory.end_if_silent(&demo, &turn.id, 0, stopped).await.unwrap());
    assert!(!memory.record_outcome(&demo, &turn.id, &outcome).await.unwrap());
    let kept = memory.turn(&demo, None, &turn.id).await.unwrap();
    assert_eq!((kept.status.as_str(), kept.finish_reason.as_deref(), kept.answer.as_str()), ("incomplete", Some("interrupted"), ""));
    let error = kept.error.unwrap();
    assert!(error["code"] == "shutting_down" && !error["message"].as_str().unwrap().contains("保留"), "nothing came: {error}");
}

fn question(owner: &OwnerId) -> NewTurn<'_> {
    NewTurn {
        owner,
        conversation: None,
        channel: "ws",
        client_msg_id: None,
        question: DIRECT,
        model: "builtin",
        market: None,
        locale: None,
        instead: None,
    }
}

#[tokio::test]
async fn the_running_server_forgets_what_is_too_old() {
    let folder = tempfile::tempdir().unwrap();
    let setup = |config| Setup { data_dir: Some(folder.path().to_owned()), config, ..Setup::default() };
    let mut server = Server::start(setup(None)).await;
    let mut socket = server.session(&server.member).await;
    let fresh = socket.ask(DIRECT, json!({})).await.conversation().to_owned();
    let long_ago = Timestamp(Clock::system().now().0 - 3 * 24 * 60 * 60 * 1000);
    let memory = memory(&server, Clock::fixed(long_ago)).await;
    let (demo, owner) = (TenantId::parse("demo").unwrap(), OwnerId::from_text("k_gone"));
    memory.record_question(&demo, &question(&owner)).await.unwrap();
    let listed = async |server: &Server| -> Vec<String> {
        let page = server.json("/api/v1/conversations", &server.admin).await;
        page["conversations"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(&server).await.len(), 2);
    server.stop();
    let server = Server::start(setup(Some(|config: &mut Config| config.chat.retention_days = 2))).await;
    let forgotten = async {
        while listed(&server).await != [fresh.clone()] {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(super::server::PATIENCE, forgotten).await.expect("the old conversation is still there");
}
