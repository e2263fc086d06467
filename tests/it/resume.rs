//! Broken lines: a client that comes back in the middle of an answer or after it, to the same process,
//! to one that was restarted or killed, or to one that another process answers for, puts together the
//! very text of the answer.

use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use futures::future::join_all;
use merchant_copilot::db::Db;
use merchant_copilot::ids::{Clock, OwnerId, TenantId, Timestamp};
use merchant_copilot::memory::{Memory, NewTurn, Outcome, Progress};
use merchant_copilot::tenants::Role;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::fake_provider::{ANSWER, FakeProvider, SLOW};
use super::killed::kills;
use super::process::{Serving, Shop};
use super::server::{PAGE, SMALL, Server, Setup, Socket, issue};

const GROUNDED: &str = "退货地址在哪里修改？";
const DIRECT: &str = "普通店保证金要交多少？";
/// Answers whose line breaks in the middle, each at up to three places.
const BREAKS: u64 = 100;

fn slow_answer() -> String {
    ANSWER.iter().copied().cycle().take(SLOW).collect()
}

/// What a client has put together of one answer, by the rules of the wire and nothing else.
#[derive(Debug, Default)]
struct Reader {
    conversation: String,
    last_seq: u64,
    text: String,
    whole: Option<String>,
    created: usize,
    /// Whether it was said that the answer has no source.
    unsourced: bool,
    done: Vec<Value>,
}

impl Reader {
    /// Takes a frame in.
    fn take(&mut self, frame: &Value) {
        if frame["seq"].is_null() {
            return;
        }
        let seq = frame["seq"].as_u64().unwrap();
        assert!(seq > self.last_seq, "{seq} after {}: {frame}", self.last_seq);
        self.last_seq = seq;
        self.conversation = frame["conversation_id"].as_str().unwrap().to_owned();
        match frame["type"].as_str().unwrap() {
            "response.created" => self.created += 1,
            "response.sources" => self.unsourced = frame["unsourced"] == true,
            "response.text.delta" => {
                assert_eq!(frame["offset"], self.text.chars().count(), "a gap or an overlap after {:?}: {frame}", self.text);
                self.text.push_str(frame["delta"].as_str().unwrap());
            }
            "response.text.done" => self.whole = frame["text"].as_str().map(str::to_owned),
            "response.done" => self.done.push(frame.clone()),
            _ => {}
        }
    }

    /// Reads until the answer has ended.
    async fn finish(&mut self, socket: &mut Socket) {
        while self.done.is_empty() {
            let frame = socket.frame().await;
            assert_ne!(frame["type"], "error", "{frame}");
            self.take(&frame);
        }
    }

    /// Reads until so many code points have come.
    async fn read(&mut self, socket: &mut Socket, chars: usize) {
        while self.text.chars().count() < chars && self.done.is_empty() {
            let frame = socket.frame().await;
            assert_ne!(frame["type"], "error", "{frame}");
            self.take(&frame);
        }
    }

    fn resume(&self) -> Value {
        json!({"conversation_id": self.conversation, "last_seq": self.last_seq})
    }

    #[track_caller]
    fn check(&self, answer: &str) {
        assert_eq!((self.text.as_str(), self.whole.as_deref()), (answer, Some(answer)));
        assert_eq!((self.created, self.done.len()), (1, 1));
    }
}

/// A socket that goes on where a reader left.
async fn back(server: &Server, key: &str, reader: &Reader) -> Socket {
    let mut socket = server.socket(None).await.unwrap();
    let ready = socket.open(json!({"token": key, "resume": reader.resume()})).await;
    assert_eq!(ready["type"], "session.ready");
    socket
}

async fn with_provider(folder: Option<&Path>) -> (Server, Arc<FakeProvider>) {
    let provider = Arc::new(FakeProvider::start());
    let setup = Setup { data_dir: folder.map(Path::to_owned), provider: Some(Arc::clone(&provider)), ..Setup::default() };
    (Server::start(setup).await, provider)
}

#[tokio::test]
async fn a_reader_that_comes_back_in_mid_answer_has_every_character_once() {
    let (server, _provider) = with_provider(None).await;
    let answer = slow_answer();
    let one = async |seed: u64| {
        let mut luck = StdRng::seed_from_u64(seed);
        let mut socket = server.session(&server.member).await;
        socket.say(GROUNDED, json!({"model": "slow-1"})).await;
        let mut reader = Reader::default();
        reader.take(&socket.until("message.accepted").await);
        // Up to three breaks, at any character; the last may come after the end.
        for _ in 0..luck.random_range(1..=3) {
            let chars = luck.random_range(0..answer.chars().count());
            reader.read(&mut socket, chars).await;
            socket.vanish().await;
            tokio::time::sleep(std::time::Duration::from_millis(luck.random_range(0..400))).await;
            socket = back(&server, &server.member, &reader).await;
        }
        reader.finish(&mut socket).await;
        reader.check(&answer);
        socket.is_quiet().await;
        // Once more after the end: nothing is left to say; and the conversation goes on here.
        let mut late = back(&server, &server.member, &reader).await;
        late.is_quiet().await;
        let next = late.ask(DIRECT, json!({"conversation_id": reader.conversation})).await;
        next.check();
        assert!(next.0[0]["seq"].as_u64().unwrap() > reader.last_seq);
    };
    join_all((0..BREAKS).map(one)).await;
}

#[tokio::test]
async fn after_a_restart_the_stored_turn_is_told_from_any_character_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, _provider) = with_provider(Some(folder.path())).await;
    let member = server.member.clone();
    let mut socket = server.session(&member).await;
    let first = socket.ask(GROUNDED, json!({"model": "normal"})).await;
    let second = socket.ask(DIRECT, json!({"conversation_id": first.conversation()})).await;
    server.stop();

    let (server, _provider) = with_provider(Some(folder.path())).await;
    let seen: Vec<&Value> = first.0.iter().chain(&second.0).collect();
    for heard in 0..=seen.len() {
        let mut readers = [Reader::default(), Reader::default()];
        let at = |frame: &Value| usize::from(frame["response_id"] == second.response());
        let mut last = 0;
        for frame in &seen[..heard] {
            readers[at(frame)].take(frame);
            last = frame["seq"].as_u64().unwrap();
        }
        let place = Reader { conversation: first.conversation().to_owned(), last_seq: last, ..Reader::default() };
        let mut socket = back(&server, &member, &place).await;
        while readers[1].done.is_empty() {
            let frame = socket.frame().await;
            readers[at(&frame)].take(&frame);
        }
        readers[0].check(first.text());
        readers[1].check(second.text());
        for (reader, live) in readers.iter().zip([&first, &second]) {
            for field in ["status", "finish_reason", "usage", "citations", "suggestions", "seq"] {
                assert_eq!(reader.done[0][field], live.done()[field], "{field} after {heard} frames");
            }
        }
        socket.is_quiet().await;
    }
}

#[tokio::test]
async fn nobody_resumes_anothers_conversation() {
    let (server, _provider) = with_provider(None).await;
    let other = TenantId::parse("other").unwrap();
    server.tenants.add(&other, "Other").await.unwrap();
    let (foreign, _) = issue(&server.tenants, &other, Role::Member).await;
    let turn = server.session(&server.member).await.ask(DIRECT, json!({})).await;
    let mut told = Vec::new();
    for (key, conversation) in [
        (&server.admin, turn.conversation()),
        (&server.site, turn.conversation()),
        (&foreign, turn.conversation()),
        (&server.member, "c_none"),
    ] {
        let origin = key.starts_with("site_").then_some(PAGE);
        let mut socket = server.socket(origin).await.unwrap();
        let resume = json!({"conversation_id": conversation, "last_seq": 0});
        assert_eq!(socket.open(json!({"token": key, "resume": resume})).await["type"], "session.ready");
        let refused = socket.frame().await;
        assert_eq!((&refused["type"], &refused["ref"]), (&json!("error"), &json!("f1")), "{refused}");
        told.push(refused);
        socket.is_quiet().await;
        let request = server.request(reqwest::Method::POST, "/api/v1/chat").bearer_auth(key);
        let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
        let answer = request.header("last-event-id", format!("{conversation}:0")).send().await.unwrap();
        assert_eq!(answer.status(), 404);
    }
    assert!(told.iter().all(|refusal| *refusal == told[3] && refusal["code"] == "conversation_not_found"), "{told:#?}");
}

/// The events of an SSE stream to its end, with their ids; at most so many.
async fn events(answer: reqwest::Response, most: usize) -> Vec<(String, Value)> {
    assert_eq!(answer.status(), 200);
    let mut bytes = answer.bytes_stream();
    let (mut text, mut events) = (String::new(), Vec::new());
    while let Some(Ok(chunk)) = bytes.next().await {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
            if let (Some(id), Some(data)) = (field("id:"), field("data:")) {
                events.push((id, serde_json::from_str(&data).unwrap()));
            }
            text = rest.to_owned();
            if events.len() == most {
                return events;
            }
        }
    }
    events
}

#[tokio::test]
async fn an_event_stream_goes_on_after_last_event_id() {
    let (server, provider) = with_provider(None).await;
    let ask = || server.request(reqwest::Method::POST, "/api/v1/chat").bearer_auth(&server.member);
    let body = json!({"text": GROUNDED, "model": "slow-1"});
    let mut reader = Reader::default();
    let mut id = String::new();
    for (last, frame) in events(ask().json(&body).send().await.unwrap(), 9).await {
        reader.take(&frame);
        id = last;
    }
    assert_eq!(id, format!("{}:{}", reader.conversation, reader.last_seq));
    // The same body again, as a client that only repeats its request; the next time with none at all.
    for (last, frame) in events(ask().header("last-event-id", &id).json(&body).send().await.unwrap(), 3).await {
        reader.take(&frame);
        id = last;
    }
    for (_, frame) in events(ask().header("last-event-id", &id).send().await.unwrap(), usize::MAX).await {
        reader.take(&frame);
    }
    reader.check(&slow_answer());
    assert_eq!(provider.requests("slow-1").len(), 1, "asked once");
    assert!(
        events(ask().header("last-event-id", format!("{}:{}", reader.conversation, reader.last_seq)).send().await.unwrap(), 9)
            .await
            .is_empty()
    );
    for (wrong, code) in [("c_1", "bad_last_event_id"), ("c_none:1", "conversation_not_found")] {
        let refused: Value = ask().header("last-event-id", wrong).send().await.unwrap().json().await.unwrap();
        assert_eq!(refused["error"]["code"], code);
    }
}

/// Another process on the same database, as far as the server can tell.
struct Elsewhere {
    memory: Memory,
    owner: OwnerId,
}

impl Elsewhere {
    async fn beside(server: &Server, owner: OwnerId, clock: Clock) -> Self {
        let db = Db::open("", &server.data_dir).await.unwrap();
        Self { memory: Memory::new(db, clock), owner }
    }

    fn asks<'a>(&'a self, id: &'a str) -> NewTurn<'a> {
        NewTurn {
            owner: &self.owner,
            conversation: None,
            channel: "ws",
            client_msg_id: Some(id),
            question: GROUNDED,
            model: "builtin",
            market: None,
            locale: None,
            instead: None,
        }
    }
}

#[tokio::test]
async fn an_answer_of_another_process_is_told_as_it_comes() {
    let server = Server::small().await;
    let demo = TenantId::parse("demo").unwrap();
    let (key, id) = issue(&server.tenants, &demo, Role::Member).await;
    let elsewhere = Elsewhere::beside(&server, OwnerId::from_text(id.as_str()), Clock::system()).await;
    let turn = elsewhere.memory.record_question(&demo, &elsewhere.asks("m1")).await.unwrap().turn;
    let numbers = json!({"created": 1_000_002, "sources": 1_000_004, "text": [[1_000_005, 0]], "text_done": 0});
    let so_far = |answer: &str| Progress {
        tenant: demo.clone(),
        turn: turn.id.clone(),
        answer: answer.into(),
        decision: Some("none".into()),
        unsourced: true,
        sources: json!([]),
        numbers: numbers.clone(),
        owed: None,
    };
    elsewhere.memory.note_progress(&[so_far("退货地址😀")]).await.unwrap();
    let mut reader = Reader { conversation: turn.conversation_id.to_string(), ..Reader::default() };
    let mut socket = back(&server, &key, &reader).await;
    reader.read(&mut socket, 5).await;
    assert_eq!((reader.text.as_str(), reader.last_seq, reader.unsourced), ("退货地址😀", 1_000_010, true));
    elsewhere.memory.note_progress(&[so_far("退货地址😀在店铺")]).await.unwrap();
    reader.read(&mut socket, 8).await;
    // The same message comes here while it is answered there: it is not answered twice.
    let mut repeats = server.session(&key).await;
    repeats.say(GROUNDED, json!({"client_msg_id": "m1"})).await;
    assert_eq!(repeats.until("message.accepted").await["duplicate"], true);
    let outcome = Outcome {
        answer: "退货地址😀在店铺设置。".into(),
        status: "completed".into(),
        finish_reason: "stop".into(),
        decision: Some("none".into()),
        unsourced: true,
        sources: json!([]),
        citations: json!([]),
        suggestions: json!([]),
        usage: json!({}),
        timings: json!({}),
        trace: json!({}),
        numbers: json!({"created": 1_000_002, "sources": 1_000_004, "text": [[1_000_005, 0]], "text_done": 1_000_017}),
        ..Outcome::default()
    };
    elsewhere.memory.record_outcome(&demo, &turn.id, &outcome).await.unwrap();
    reader.finish(&mut socket).await;
    reader.check("退货地址😀在店铺设置。");
    let repeated = repeats.turn().await;
    assert_eq!((repeated.text(), repeated.response()), ("退货地址😀在店铺设置。", turn.id.as_str()));
    assert_eq!(repeated.first("response.sources")["unsourced"], true);
    socket.is_quiet().await;
}

#[tokio::test]
async fn an_answer_that_nobody_is_at_work_on_ends_as_incomplete() {
    let server = Server::small().await;
    let demo = TenantId::parse("demo").unwrap();
    let (key, id) = issue(&server.tenants, &demo, Role::Member).await;
    let long_ago = Timestamp(Clock::system().now().0 - 60_000);
    let elsewhere = Elsewhere::beside(&server, OwnerId::from_text(id.as_str()), Clock::fixed(long_ago)).await;
    let turn = elsewhere.memory.record_question(&demo, &elsewhere.asks("m1")).await.unwrap().turn;
    let mut reader = Reader { conversation: turn.conversation_id.to_string(), ..Reader::default() };
    let mut socket = back(&server, &key, &reader).await;
    reader.finish(&mut socket).await;
    assert_eq!((&reader.done[0]["status"], &reader.done[0]["finish_reason"]), (&json!("incomplete"), &json!("interrupted")));
    assert_eq!((&reader.done[0]["error"]["code"], &reader.done[0]["error"]["retryable"]), (&json!("shutting_down"), &json!(true)));
    socket.is_quiet().await;
}

/// Servers that are killed in the middle of an answer, without `TEST_KILLS`; each takes the time of a start.
const KILLS: usize = 6;

#[tokio::test]
async fn a_killed_server_loses_no_accepted_message_and_answers_none_twice() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let provider = FakeProvider::start();
    let base = provider.config().base_url;
    let environment = [("OPENAI_API_KEY", "sk-fake-secret"), ("OPENAI_BASE_URL", base.as_str()), ("OPENAI_MODEL", "slow-1")];
    let shop = Shop::new();
    shop.import(&shop.file("small.csv", SMALL)).done();
    let key = shop.run(["key", "issue", "--role", "member"]).done().json["key"].as_str().unwrap().to_owned();
    let answer = slow_answer();
    let mut readers: Vec<Reader> = Vec::new();
    let mut serving = Serving::start_with(&shop.data, &environment);
    serving.ready().await;
    for seed in 0..kills(KILLS) as u64 {
        let mut luck = StdRng::seed_from_u64(seed);
        let mut socket = connect(&serving, &key, None).await;
        socket.say(GROUNDED, json!({"client_msg_id": format!("m{seed}")})).await;
        let mut reader = Reader::default();
        reader.take(&socket.until("message.accepted").await);
        // At any character, also before the first; SIGKILL leaves no time for anything.
        let chars = luck.random_range(0..answer.chars().count() * 3 / 4);
        reader.read(&mut socket, chars).await;
        drop(serving);
        serving = Serving::start_with(&shop.data, &environment);
        serving.ready().await;

        let mut socket = connect(&serving, &key, Some(reader.resume())).await;
        reader.finish(&mut socket).await;
        let done = &reader.done[0];
        assert_eq!((&done["status"], &done["finish_reason"]), (&json!("incomplete"), &json!("interrupted")), "{done}");
        assert_eq!(done["error"]["code"], "shutting_down", "{done}");
        let whole = reader.whole.clone().unwrap();
        assert!(answer.starts_with(&whole) && (whole.starts_with(&reader.text) || reader.text.starts_with(&whole)), "{whole}");
        socket.is_quiet().await;
        // The same message again is the same message.
        socket.say(GROUNDED, json!({"client_msg_id": format!("m{seed}")})).await;
        let repeated = socket.turn().await;
        assert_eq!(repeated.first("message.accepted")["duplicate"], true);
        assert_eq!((repeated.response(), repeated.text()), (done["response_id"].as_str().unwrap(), whole.as_str()));
        readers.push(reader);
    }
    let stored = serving.until("/api/v1/conversations?limit=200", &key, |status, _| status == 200).await;
    assert_eq!(stored["conversations"].as_array().unwrap().len(), readers.len(), "every accepted message is there, once");
    assert!(provider.requests("slow-1").len() <= readers.len(), "none was answered twice");
    // Of an answer of a second, noted down every half second, some is kept.
    assert!(readers.iter().any(|reader| reader.whole.as_ref().is_some_and(|kept| !kept.is_empty())), "{readers:?}");
    // And the conversations go on.
    let mut socket = connect(&serving, &key, None).await;
    let next = socket.ask(DIRECT, json!({"conversation_id": readers[0].conversation})).await;
    next.check();
    assert!(next.0[0]["seq"].as_u64().unwrap() > readers[0].last_seq);
}

async fn connect(serving: &Serving, key: &str, resume: Option<Value>) -> Socket {
    let address = serving.url.trim_start_matches("http://").parse().unwrap();
    let mut socket = Socket::connect(address, None).await.unwrap();
    let ready = socket.open(json!({"token": key, "resume": resume})).await;
    assert_eq!(ready["type"], "session.ready", "{ready}");
    socket
}
