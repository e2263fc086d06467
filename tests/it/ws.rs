//! copilot.v1 as a page sees it: whole turns, repetitions, cancelling, broken lines, failing providers,
//! and every way to be refused.

use std::path::Path;
use std::sync::Arc;

use futures::future::join_all;
use merchant_copilot::ids::TenantId;
use merchant_copilot::tenants::{NewKey, Role};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::fake_provider::{ANSWER, FakeProvider, INLINE, SECRET, SLOW};
use super::server::{Came, PAGE, PATIENCE, Server, Setup, Turn, issue, shared};

/// Answered by a model, in either knowledge.
const GROUNDED: &str = "退货地址在哪里修改？";
/// Answered by its row.
const DIRECT: &str = "普通店保证金要交多少？";
/// Answered by nobody.
const UNKNOWN: &str = "火星上明天的天气怎么样，要带伞吗";

async fn with_provider() -> (Server, Arc<FakeProvider>) {
    let provider = Arc::new(FakeProvider::start());
    let server = Server::start(Setup { provider: Some(Arc::clone(&provider)), ..Setup::default() }).await;
    (server, provider)
}

fn slow_answer() -> String {
    ANSWER.iter().copied().cycle().take(SLOW).collect()
}

/// The stored turns of a conversation.
async fn stored(server: &Server, key: &str, conversation: &str) -> Value {
    server.json(&format!("/api/v1/conversations/{conversation}"), key).await["turns"].clone()
}

/// Waits until a stored turn has ended.
async fn ended(server: &Server, key: &str, conversation: &str) -> Value {
    let ended = async {
        loop {
            let turns = stored(server, key, conversation).await;
            if turns[0]["status"] != "running" {
                return turns[0].clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the turn never ended")
}

#[tokio::test]
async fn each_decision_is_a_whole_turn() {
    let (server, provider) = with_provider().await;
    let mut socket = server.session(&server.site).await;

    let direct = socket.ask(DIRECT, json!({"model": "uncalled-1"})).await;
    direct.check();
    assert_eq!((direct.decision(), direct.done()["status"].as_str()), ("direct", Some("completed")));
    assert!(direct.text().contains("10,000 元") && direct.text().ends_with("[1]"), "{}", direct.text());
    assert_eq!(direct.first("response.sources")["sources"][0]["entry_id"], "deposit");
    assert_eq!(direct.done()["citations"].as_array().unwrap().len(), 1);

    let none = socket.ask(UNKNOWN, json!({"model": "uncalled-2"})).await;
    none.check();
    assert_eq!((none.decision(), none.done()["status"].as_str()), ("none", Some("completed")));
    assert_eq!(none.first("response.sources")["sources"], json!([]));
    assert!(none.text().contains("没有找到"), "{}", none.text());
    for model in ["uncalled-1", "uncalled-2"] {
        assert!(provider.requests(model).is_empty(), "{model} was called");
    }

    let id = socket.say(GROUNDED, json!({"model": "normal"})).await;
    let grounded = socket.turn().await;
    grounded.check();
    assert_eq!((grounded.decision(), grounded.done()["status"].as_str()), ("grounded", Some("completed")));
    assert_eq!(grounded.text(), ANSWER.concat());
    assert_eq!(grounded.first("message.accepted")["ref"], json!(id));
    assert_eq!(grounded.first("message.accepted")["duplicate"], false);
    assert_eq!(grounded.first("response.created")["model"], "normal");
    let stages: Vec<&Value> = grounded.all("response.status").iter().map(|frame| &frame["stage"]).collect();
    assert_eq!(stages, ["retrieving", "generating"]);
    assert_eq!(grounded.first("response.sources")["sources"][0]["entry_id"], "address");
    let usage = &grounded.done()["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"], &usage["currency"]), (&json!(100), &json!(20), &json!("CNY")));
    assert!((usage["cost"].as_f64().unwrap() - 0.00014).abs() < 1e-9, "{usage}");
    let sent = provider.requests("normal");
    assert!(sent.len() == 1 && sent[0].to_string().contains("店铺设置") && sent[0]["stream"] == true, "{sent:?}");

    let builtin = socket.ask(GROUNDED, json!({"model": "builtin"})).await;
    builtin.check();
    assert!(builtin.text().contains("店铺设置"), "{}", builtin.text());
}

#[tokio::test]
async fn a_greeting_and_a_follow_up_on_the_starter_pack() {
    let (server, _) = shared().await;
    let mut socket = server.session(&server.site).await;
    let hello = socket.ask("你好", json!({})).await;
    hello.check();
    assert_eq!(hello.decision(), "none");
    let first = socket.ask(DIRECT, json!({"conversation_id": hello.conversation()})).await;
    first.check();
    // The row is the China site's and the question names no site, so it does not answer by itself.
    assert_eq!(first.decision(), "grounded");
    let second = socket.ask("那跨境的呢？", json!({"conversation_id": hello.conversation()})).await;
    second.check();
    let sources = second.first("response.sources")["sources"].as_array().unwrap();
    let cross_border = |source: &Value| {
        let text = source.to_string();
        (text.contains("跨境店") && text.contains("保证金")) || text.contains("cross-border")
    };
    assert!(sources.iter().take(3).any(cross_border), "{sources:#?}");
    let seqs: Vec<u64> =
        [hello, first, second].iter().flat_map(|turn| turn.0.clone()).map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "numbers rise across turns: {seqs:?}");
}

#[tokio::test]
async fn a_repeated_message_is_the_same_message_while_it_is_answered_and_after() {
    let (server, provider) = with_provider().await;
    let mut first = server.session(&server.member).await;
    let message = json!({"model": "slow-1", "client_msg_id": "once"});
    first.say(GROUNDED, message.clone()).await;
    let mut frames = vec![first.until("message.accepted").await];
    let accepted = frames[0].clone();
    first.until("response.text.delta").await;

    // The same connection, in the middle of the answer: accepted once more, answered once.
    let again = first.say(GROUNDED, message.clone()).await;
    // Another connection of the same owner, in the middle: the whole answer from its beginning.
    let mut second = server.session(&server.member).await;
    let elsewhere = second.say(GROUNDED, message.clone()).await;
    let whole = second.turn().await;
    whole.check();
    assert_eq!(whole.text(), slow_answer());
    let said = whole.first("message.accepted");
    assert_eq!((&said["ref"], &said["duplicate"], &said["message_id"]), (&json!(elsewhere), &json!(true), &accepted["message_id"]));

    frames.extend(first.turn().await.0);
    let repeated: Vec<&Value> = frames.iter().filter(|frame| frame["type"] == "message.accepted").skip(1).collect();
    assert_eq!(repeated.len(), 1, "{frames:#?}");
    assert_eq!(
        (&repeated[0]["ref"], &repeated[0]["duplicate"], &repeated[0]["message_id"]),
        (&json!(again), &json!(true), &accepted["message_id"])
    );
    first.is_quiet().await;

    // After the end, on either connection: the stored answer.
    for socket in [&mut first, &mut second] {
        let id = socket.say(GROUNDED, message.clone()).await;
        let stored = socket.turn().await;
        stored.check_stored(&whole, &id);
        socket.is_quiet().await;
    }
    assert_eq!(provider.requests("slow-1").len(), 1);
    assert_eq!(stored(&server, &server.member, whole.conversation()).await.as_array().unwrap().len(), 1);
}

impl Turn {
    /// A stored answer says what the live one said, without the deltas.
    fn check_stored(&self, live: &Turn, reference: &str) {
        let accepted = self.first("message.accepted");
        assert_eq!((&accepted["ref"], &accepted["duplicate"]), (&json!(reference), &json!(true)));
        assert_eq!((self.response(), self.conversation(), self.text()), (live.response(), live.conversation(), live.text()));
        let end = |turn: &Turn| ["status", "finish_reason", "usage", "citations", "suggestions"].map(|field| turn.done()[field].clone());
        assert_eq!(end(self), end(live));
        assert_eq!(self.first("response.sources")["sources"], live.first("response.sources")["sources"]);
        for kind in ["message.accepted", "response.created", "response.sources", "response.text.done", "response.done"] {
            assert_eq!(self.all(kind).len(), 1, "{kind}");
        }
    }
}

#[tokio::test]
async fn a_restart_keeps_conversations_and_knows_repeated_messages() {
    let folder = tempfile::tempdir().unwrap();
    let start = async |data_dir: &Path| Server::start(Setup { data_dir: Some(data_dir.to_owned()), ..Setup::default() }).await;
    let mut server = start(folder.path()).await;
    let (member, admin) = (server.member.clone(), server.admin.clone());
    let mut socket = server.session(&member).await;
    let live = socket.ask(GROUNDED, json!({"client_msg_id": "before"})).await;
    server.stop();
    assert_eq!(socket.closed().await, 1001);

    let server = start(folder.path()).await;
    assert_eq!(stored(&server, &admin, live.conversation()).await[0]["answer"], live.text());
    let mut socket = server.session(&member).await;
    let id = socket.say(GROUNDED, json!({"client_msg_id": "before"})).await;
    socket.turn().await.check_stored(&live, &id);
    // Another text under the same id is another message that went astray: it does not get the old answer.
    let reused = socket.say(DIRECT, json!({"client_msg_id": "before"})).await;
    let refused = socket.frame().await;
    let told = (&refused["type"], &refused["code"], &refused["ref"], &refused["retryable"]);
    assert_eq!(told, (&json!("error"), &json!("client_msg_id_reused"), &json!(reused), &json!(false)));
    assert!(refused["message"].as_str().unwrap().contains("Choose a new id"), "{refused}");
    let chat = async |text: &str| {
        let body = json!({"text": text, "client_msg_id": "before"});
        server.request(reqwest::Method::POST, "/api/v1/chat").bearer_auth(&member).json(&body).send().await.unwrap()
    };
    let refused = chat(DIRECT).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.json::<Value>().await.unwrap()["error"]["code"]),
        (409, &json!("client_msg_id_reused"))
    );
    assert!(chat(GROUNDED).await.text().await.unwrap().contains(live.response()), "the same text keeps getting its answer");
    let next = socket.ask(DIRECT, json!({"conversation_id": live.conversation()})).await;
    next.check();
    assert!(next.0[0]["seq"].as_u64() > live.done()["seq"].as_u64(), "numbers rise across a restart");
    assert_eq!(stored(&server, &member, live.conversation()).await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_cancel_stops_the_provider_and_ends_once() {
    let (server, provider) = with_provider().await;
    let mut socket = server.session(&server.member).await;
    socket.say(GROUNDED, json!({"model": "endless-1"})).await;
    let delta = socket.until("response.text.delta").await;
    let cancel = json!({"type": "response.cancel", "response_id": delta["response_id"]});

    let mut stranger = server.session(&server.site).await;
    let id = stranger.send(cancel.clone()).await;
    let refused = stranger.frame().await;
    assert_eq!((&refused["type"], &refused["code"], &refused["ref"]), (&json!("error"), &json!("response_not_found"), &json!(id)));

    socket.send(cancel.clone()).await;
    let end = socket.turn().await;
    assert_eq!((&end.done()["status"], &end.done()["finish_reason"]), (&json!("cancelled"), &json!("cancelled")));
    assert!(end.done().get("error").is_none());
    assert!(end.text().starts_with('无'), "what came is kept");
    let usage = &end.done()["usage"];
    assert!(usage["prompt_tokens"].as_u64().unwrap() > 50 && usage["completion_tokens"].as_u64().unwrap() > 0, "{usage}");
    assert!(usage["cost"].as_f64().unwrap() > 0.0, "{usage}");
    provider.left("endless-1", 1).await;
    socket.is_quiet().await;
    socket.send(cancel).await;
    assert_eq!(socket.frame().await["code"], "response_not_found");
    let turn = ended(&server, &server.member, end.conversation()).await;
    assert_eq!((&turn["status"], &turn["answer"]), (&json!("cancelled"), &json!(end.text())));
}

#[tokio::test]
async fn messages_of_one_conversation_wait_for_each_other() {
    let (server, _provider) = with_provider().await;
    let mut socket = server.session(&server.member).await;
    socket.say(GROUNDED, json!({"model": "slow-2"})).await;
    let first = socket.until("message.accepted").await;
    socket.say(DIRECT, json!({"conversation_id": first["conversation_id"]})).await;
    let one = socket.turn().await;
    assert_eq!(one.response(), first["response_id"].as_str().unwrap());
    assert_eq!(one.text(), slow_answer());
    let created: Vec<&Value> = one.all("response.created").into_iter().map(|frame| &frame["response_id"]).collect();
    assert_eq!(created, [&first["response_id"]], "the second answer begins after the first has ended");
    let accepted = one.all("message.accepted");
    assert_eq!(accepted.len(), 1, "the second message is accepted at once");
    let two = socket.turn().await;
    assert_eq!((two.response(), two.decision()), (accepted[0]["response_id"].as_str().unwrap(), "direct"));
    let seqs: Vec<u64> = std::iter::once(&first).chain(&one.0).chain(&two.0).map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
}

#[tokio::test]
async fn what_is_no_good_frame_is_answered_and_the_socket_stays_open() {
    let (server, _) = shared().await;
    let mut socket = server.session(&server.member).await;
    let raw = [
        (Message::text("{"), "malformed_json"),
        (Message::text(""), "malformed_json"),
        (Message::text("[]"), "invalid_frame"),
        (Message::text(r#"{"id":"x"}"#), "invalid_frame"),
        (Message::text(r#"{"type":"ping","id":7}"#), "invalid_frame"),
        (Message::binary(&b"\x00\x01"[..]), "binary_not_supported"),
    ];
    for (message, code) in raw {
        socket.raw(message.clone()).await;
        let answer = socket.frame().await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{message:?}");
        assert!(answer["message"].as_str().is_some_and(|text| !text.is_empty()) && answer["retryable"].is_boolean(), "{answer}");
    }
    let long = "字".repeat(4001);
    let frames = [
        (json!({"type": "message.delete"}), "unknown_type"),
        (json!({"type": "message.create", "client_msg_id": "a"}), "invalid_frame"),
        (json!({"type": "message.create", "text": "保证金"}), "invalid_frame"),
        (json!({"type": "message.create", "text": 1, "client_msg_id": "a"}), "invalid_frame"),
        (json!({"type": "message.create", "text": " ", "client_msg_id": "a"}), "message_empty"),
        (json!({"type": "message.create", "text": "\u{200b}\u{feff} \u{2060}", "client_msg_id": "a"}), "message_empty"),
        (json!({"type": "message.create", "text": long, "client_msg_id": "a"}), "message_too_long"),
        (json!({"type": "message.create", "text": "保证金", "client_msg_id": ""}), "bad_client_msg_id"),
        (json!({"type": "message.create", "text": "保证金", "client_msg_id": "a", "model": "gpt-99"}), "model_not_found"),
        (json!({"type": "message.create", "text": "保证金", "client_msg_id": "a", "conversation_id": "c_none"}), "conversation_not_found"),
        (json!({"type": "response.cancel"}), "invalid_frame"),
        (json!({"type": "response.cancel", "response_id": "r_none"}), "response_not_found"),
        (json!({"type": "session.open", "token": "x"}), "session_already_open"),
    ];
    for (frame, code) in frames {
        let id = socket.send(frame.clone()).await;
        let answer = socket.frame().await;
        assert_eq!((&answer["type"], &answer["code"], &answer["ref"]), (&json!("error"), &json!(code), &json!(id)), "{frame}");
    }
    socket.is_quiet().await;
    socket.ask(DIRECT, json!({})).await.check();
}

#[tokio::test]
async fn a_socket_is_closed_with_the_code_that_says_why() {
    let (server, _) = shared().await;
    let open = async || server.socket(None).await.unwrap();

    let mut too_large = server.session(&server.member).await;
    too_large.raw(Message::text(" ".repeat(70_000))).await;
    assert_eq!(too_large.closed().await, 1009);

    for first in
        [json!({"type": "ping"}), json!({"type": "message.create", "text": "a", "client_msg_id": "a"}), json!({"type": "what"}), json!([])]
    {
        let mut socket = open().await;
        socket.raw(Message::text(first.to_string())).await;
        assert_eq!(socket.frame().await["type"], "error", "{first}");
        assert_eq!(socket.closed().await, 4400, "{first}");
    }
    for raw in [Message::text("{"), Message::binary(&b"x"[..])] {
        let mut socket = open().await;
        socket.raw(raw).await;
        assert_eq!(socket.closed().await, 4400);
    }
    for token in [json!("mc_member_wrong"), json!("site_wrong"), json!(""), Value::Null] {
        let mut socket = open().await;
        assert_eq!(socket.open(json!({"token": token})).await["type"], "error", "{token}");
        assert_eq!(socket.closed().await, 4401, "{token}");
    }
    let demo = TenantId::parse("demo").unwrap();
    let (revoked, id) = issue(&server.tenants, &demo, Role::Member).await;
    server.tenants.revoke(&demo, &id).await.unwrap();
    let mut socket = open().await;
    assert_eq!(socket.open(json!({"token": revoked})).await["code"], "invalid_key");
    assert_eq!(socket.closed().await, 4401);
}

#[tokio::test]
async fn a_silent_client_is_let_go_after_five_seconds() {
    let (server, _) = shared().await;
    let mut socket = server.socket(None).await.unwrap();
    assert_eq!(socket.came().await, Came::Close(4408));
}

#[tokio::test]
async fn a_site_key_opens_no_session_on_a_foreign_page() {
    let (server, _) = shared().await;
    for foreign in ["https://evil.example.net", "https://shop.example.com.evil.net", "http://shop.example.com", "null"] {
        assert_eq!(server.socket(Some(foreign)).await.err(), Some(403), "{foreign}");
    }
    // A page that another key is good for gets as far as the session.
    let demo = TenantId::parse("demo").unwrap();
    let elsewhere = "https://elsewhere.example.com";
    let new = NewKey { role: Role::Site, origins: vec![elsewhere.to_owned()], label: String::new(), expires: None };
    server.tenants.issue(&demo, new).await.unwrap();
    for origin in [None, Some(elsewhere)] {
        let mut socket = server.socket(origin).await.unwrap();
        assert_eq!(socket.open(json!({"token": server.site})).await["code"], "origin_not_allowed", "{origin:?}");
        assert_eq!(socket.closed().await, 4403, "{origin:?}");
    }
    let mut socket = server.socket(Some(PAGE)).await.unwrap();
    assert_eq!(socket.open(json!({"token": server.site})).await["type"], "session.ready");
}

/// What a page of `origin` learns of a refused handshake: status, code, and whether its browser lets it read them.
async fn why(server: &Server, key: &str, origin: &str) -> (u16, String, bool) {
    let answer = server.request(Method::POST, "/ws").header("origin", origin).body(key.to_owned()).send().await.unwrap();
    let readable = answer.headers().get("access-control-allow-origin").is_some_and(|allowed| allowed == origin)
        && !answer.headers().contains_key("access-control-allow-credentials");
    let status = answer.status().as_u16();
    let body = answer.json::<Value>().await.unwrap_or_default();
    (status, body["error"]["code"].as_str().unwrap_or_default().to_owned(), readable)
}

#[tokio::test]
async fn a_page_whose_socket_is_not_opened_may_read_why() {
    let server = Server::start(Setup { config: Some(|config| config.limits.sockets_per_address = 1), ..Setup::default() }).await;
    let foreign = "https://evil.example.net";
    assert_eq!(server.socket(Some(foreign)).await.err(), Some(403));
    assert_eq!(why(&server, &server.site, foreign).await, (403, "origin_not_allowed".into(), true));
    assert_eq!(why(&server, &server.site, "null").await, (403, "origin_not_allowed".into(), true));
    for wrong in ["site_wrong", "", "{}"] {
        assert_eq!(why(&server, wrong, foreign).await, (401, "invalid_key".into(), true), "{wrong}");
    }
    assert_eq!(why(&server, &server.site, PAGE).await, (204, String::new(), true));

    // Only one seat, and it is taken: asking takes none.
    let _seated = server.socket(Some(PAGE)).await.unwrap();
    assert_eq!(server.socket(Some(PAGE)).await.err(), Some(429));
    assert_eq!(why(&server, &server.site, PAGE).await, (429, "too_many_connections".into(), true));

    // The only key of its page is revoked: the page is unknown now, but that is not what is wrong.
    let demo = TenantId::parse("demo").unwrap();
    let elsewhere = "https://elsewhere.example.com";
    let new = NewKey { role: Role::Site, origins: vec![elsewhere.to_owned()], label: String::new(), expires: None };
    let (key, secret) = server.tenants.issue(&demo, new).await.unwrap();
    server.tenants.revoke(&demo, &key.id).await.unwrap();
    assert_eq!(server.socket(Some(elsewhere)).await.err(), Some(403));
    assert_eq!(why(&server, secret.reveal(), elsewhere).await, (401, "invalid_key".into(), true));
}

#[tokio::test]
async fn a_visitor_comes_back_with_its_token_and_nobody_else_does() {
    let (server, _) = shared().await;
    let mut socket = server.socket(Some(PAGE)).await.unwrap();
    let ready = socket.open(json!({"token": server.site})).await;
    assert_eq!((&ready["tenant"], ready["models"].as_array().is_some_and(|models| models.len() > 1)), (&json!("demo"), true));
    let token = &ready["visitor_token"];
    let turn = socket.ask(DIRECT, json!({})).await;

    let mut again = server.socket(Some(PAGE)).await.unwrap();
    assert_eq!(&again.open(json!({"token": server.site, "visitor_token": token})).await["visitor_token"], token);
    again.ask(DIRECT, json!({"conversation_id": turn.conversation()})).await.check();

    let mut stranger = server.session(&server.site).await;
    stranger.say(DIRECT, json!({"conversation_id": turn.conversation()})).await;
    assert_eq!(stranger.frame().await["code"], "conversation_not_found");
    // The same client_msg_id of another visitor is another message.
    let mine = again.ask(DIRECT, json!({"client_msg_id": "1"})).await;
    let theirs = stranger.ask(DIRECT, json!({"client_msg_id": "1"})).await;
    assert!(mine.response() != theirs.response() && theirs.first("message.accepted")["duplicate"] == false);
}

#[tokio::test]
async fn a_closed_tab_does_not_lose_the_answer() {
    let (server, provider) = with_provider().await;
    let mut socket = server.session(&server.member).await;
    socket.say(GROUNDED, json!({"model": "slow-3"})).await;
    let delta = socket.until("response.text.delta").await;
    socket.vanish().await;
    let turn = ended(&server, &server.member, delta["conversation_id"].as_str().unwrap()).await;
    assert_eq!((&turn["status"], &turn["answer"]), (&json!("completed"), &json!(slow_answer())));
    assert_eq!(provider.requests("slow-3").len(), 1);
}

#[tokio::test]
async fn a_server_that_stops_ends_what_is_running_and_says_goodbye() {
    let (mut server, provider) = with_provider().await;
    let mut socket = server.session(&server.member).await;
    socket.say(GROUNDED, json!({"model": "endless-2"})).await;
    socket.until("response.text.delta").await;
    let stopping = tokio::task::spawn_blocking(move || {
        server.stop();
        server
    });
    let end = socket.turn().await;
    assert_eq!((&end.done()["status"], &end.done()["finish_reason"]), (&json!("incomplete"), &json!("interrupted")));
    assert_eq!((&end.done()["error"]["code"], &end.done()["error"]["retryable"]), (&json!("shutting_down"), &json!(true)));
    assert_eq!(socket.closed().await, 1001);
    provider.left("endless-2", 1).await;
    drop(stopping.await.unwrap());
}

#[tokio::test]
async fn every_fault_of_a_provider_ends_in_one_done_that_says_so() {
    let provider = Arc::new(FakeProvider::start());
    let setup = Setup {
        provider: Some(Arc::clone(&provider)),
        config: Some(|config| {
            config.models.first_token_ms = 5_000;
            config.models.stall_ms = 3_000;
        }),
        ..Setup::default()
    };
    let server = Server::start(setup).await;
    let faults = [
        ("unauthorized", "failed", "model_unauthorized", 1),
        ("rate-limited", "failed", "model_rate_limited", 1),
        ("server-error", "failed", "model_unavailable", 3),
        ("error-body", "failed", "model_", 1),
        ("unreachable", "failed", "model_unavailable", 0),
        ("stall-first", "failed", "model_timeout", 1),
        ("stall-middle", "incomplete", "model_timeout", 1),
        ("dies", "incomplete", "model_stream_broken", 1),
        ("length", "incomplete", "", 1),
        ("misspelt", "failed", "model_unknown", 1),
        ("misspelt-400", "failed", "model_unknown", 1),
        ("thinks-only", "failed", "model_unfinished", 1),
        ("filtered", "failed", "model_refused", 1),
    ];
    let one = async |(model, status, code, calls): (&str, &str, &str, usize)| {
        let mut socket = server.session(&server.member).await;
        let turn = socket.ask(GROUNDED, json!({"model": model})).await;
        turn.check();
        socket.is_quiet().await;
        let done = turn.done();
        assert_eq!(done["status"], status, "{model}: {done}");
        let told = done["error"]["code"].as_str().unwrap_or_default();
        assert!(told.starts_with(code) && (code.is_empty() == told.is_empty()), "{model}: {done}");
        assert!(code.is_empty() || done["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{model}: {done}");
        assert!(!done.to_string().contains("sk-fake"), "{done}");
        assert_eq!(turn.text(), if status == "failed" { "" } else { "半句" }, "{model}");
        let requests = provider.requests(model).len();
        assert!(requests == calls || (model == "error-body" && requests > 0), "{model}: {requests} calls");
        let kept = ended(&server, &server.member, turn.conversation()).await;
        assert_eq!((&kept["status"], &kept["answer"]), (&json!(status), &json!(turn.text())), "{model}");
    };
    join_all(faults.map(one)).await;
    provider.left("stall-first", 1).await;
    provider.left("stall-middle", 1).await;
}

#[tokio::test]
async fn hidden_reasoning_never_reaches_a_client() {
    let (server, _provider) = with_provider().await;
    let mut socket = server.session(&server.member).await;
    let inline = INLINE.split("</think>").last().unwrap().trim();
    let cuts = (0..=INLINE.chars().count()).map(|at| (format!("think-{at}"), inline.to_owned()));
    let fields = ["reasoning", "reasoning-content"].map(|model| (model.to_owned(), ANSWER.concat()));
    for (model, expected) in cuts.chain(fields) {
        let turn = socket.ask(GROUNDED, json!({"model": model})).await;
        turn.check();
        assert_eq!(turn.text().trim(), expected, "{model}");
        let kept = stored(&server, &server.member, turn.conversation()).await.to_string();
        let frames = format!("{:?}", turn.0);
        for hidden in [SECRET, "第二行", "think>"] {
            assert!(!frames.contains(hidden) && !kept.contains(hidden), "{model} shows {hidden}: {frames}");
        }
    }
}
