//! Prompt templates as a product: a shop's own versions, hot reload, lint, preview, and what they do to
//! answers already given.

use std::path::Path;
use std::sync::Arc;

use merchant_copilot::config::Config;
use merchant_copilot::db::Db;
use merchant_copilot::ids::{Clock, TenantId};
use merchant_copilot::prompts::{Origin, Prompts};
use merchant_copilot::tenants::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::fake_provider::FakeProvider;
use super::server::{Server, Setup, issue};

const ZH: &str = include_str!("../../prompts/answer.zh.md");
const GROUNDED: &str = "退货地址在哪里修改？";
/// What the tests put into the instruction.
const MARK: &str = "（本店的规矩：先说结论）";

/// The built-in template with a mark of its own in the instruction.
fn marked(mark: &str) -> String {
    ZH.replacen("## Instruction\n", &format!("## Instruction\n\n{mark}\n"), 1)
}

async fn server(change: impl FnOnce(&mut Config) + Send + 'static) -> (Server, Arc<FakeProvider>) {
    let provider = Arc::new(FakeProvider::start());
    let setup = Setup { provider: Some(Arc::clone(&provider)), change: Some(Box::new(change)), ..Setup::default() };
    (Server::start(setup).await, provider)
}

async fn post(server: &Server, path: &str, body: Value) -> (u16, Value) {
    post_as(server, &server.admin, path, body).await
}

async fn post_as(server: &Server, key: &str, path: &str, body: Value) -> (u16, Value) {
    let answer = server.request(Method::POST, path).bearer_auth(key).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The system message of the last request for a model.
fn told(provider: &FakeProvider, model: &str) -> String {
    let requests = provider.requests(model);
    requests.last().unwrap()["messages"][0]["content"].as_str().unwrap().to_owned()
}

/// The store, on either database: called by the story.
pub async fn story(db: &Db, clock: &Clock, shop: &TenantId, other: &TenantId) {
    let open = async || Prompts::open(db.clone(), clock.clone(), Path::new("")).await.unwrap();
    let (here, there) = (open().await, open().await);
    let name = "answer.zh";
    let origin = async |prompts: &Prompts, tenant: &TenantId| prompts.of(tenant).await.unwrap().get(name).unwrap().origin;
    assert_eq!(origin(&here, shop).await, Origin::BuiltIn);
    let first = here.save(shop, name, &marked("one"), "k_1", " why ").await.unwrap();
    let second = there.save(shop, name, &marked("two"), "k_2", "").await.unwrap();
    assert_eq!((first.version, second.version), (1, 2));
    assert_eq!(origin(&there, shop).await, Origin::BuiltIn, "saving changes nothing yet");
    assert_eq!(here.publish(shop, name, 2, "k_1", "").await.unwrap(), 1);
    // The other node sees it with its next look, and nobody else's shop does.
    assert_eq!(origin(&there, shop).await, Origin::Shop(2));
    assert_eq!(origin(&there, other).await, Origin::BuiltIn);
    assert_eq!(there.publish(shop, name, 1, "k_2", "back").await.unwrap(), 2);
    assert_eq!(origin(&here, shop).await, Origin::Shop(1));
    assert!(here.of(shop).await.unwrap().get(name).unwrap().text.contains("one"));
    assert_eq!(here.publish(shop, name, 0, "k_1", "").await.unwrap(), 3);
    assert_eq!(origin(&there, shop).await, Origin::BuiltIn, "0 is the file's");
    let versions = here.versions(shop, name).await.unwrap();
    assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [2, 1]);
    assert_eq!((versions[1].author.as_str(), versions[1].note.as_str(), versions[1].created_ms), ("k_1", "why", clock.now()));
    let publications: Vec<i64> = here.publications(shop, name).await.unwrap().iter().map(|one| one.version).collect();
    assert_eq!(publications, [0, 1, 2]);
    for (tenant, version) in [(shop, 3), (shop, -1), (other, 1)] {
        assert_eq!(here.publish(tenant, name, version, "k", "").await.unwrap_err().code(), "version_not_found");
    }
    assert_eq!(here.save(shop, "answer.fr", "x", "k", "").await.unwrap_err().code(), "prompt_not_found");
    assert_eq!(here.save(shop, name, &marked("x"), "k", &"n".repeat(501)).await.unwrap_err().code(), "note_too_long");
    // Two nodes at once: each gets a number of its own.
    let text = marked("three");
    let saved = futures::future::join_all((0..6).map(|i| {
        let node = if i % 2 == 0 { &here } else { &there };
        node.save(shop, name, &text, "k", "")
    }))
    .await;
    let mut numbers: Vec<i64> = saved.into_iter().map(|saved| saved.unwrap().version).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [3, 4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn a_published_version_holds_from_the_next_question_on_and_goes_back() {
    let (server, provider) = server(|_| {}).await;
    let mut socket = server.session(&server.member).await;
    socket.ask(GROUNDED, json!({"model": "normal"})).await;
    assert!(!told(&provider, "normal").contains(MARK));

    let at = "/api/v1/prompts/answer.zh";
    let draft = json!({"text": marked(MARK), "note": "结论先行"});
    let (status, saved) = post(&server, &format!("{at}/versions"), draft).await;
    assert_eq!(
        (status, &saved["version"], &saved["published"], &saved["findings"]),
        (201, &json!(1), &json!(false), &json!([])),
        "{saved}"
    );
    socket.ask(GROUNDED, json!({"model": "normal"})).await;
    assert!(!told(&provider, "normal").contains(MARK), "a saved version waits");

    let (status, published) = post(&server, &format!("{at}/publish"), json!({"version": 1, "note": "go"})).await;
    assert_eq!((status, &published["revision"]), (200, &json!(1)), "{published}");
    let turn = socket.ask(GROUNDED, json!({"model": "normal"})).await;
    assert!(told(&provider, "normal").contains(MARK));
    let trace = server.json(&format!("/api/v1/responses/{}/trace", turn.response()), &server.admin).await;
    let prompt = &trace["trace"]["prompt"];
    assert!(prompt["version"].as_str().unwrap().starts_with("shop 1 ("), "{prompt}");
    assert!(prompt["tokens"]["instruction"].as_u64() > Some(50) && prompt["tokens"]["context"].as_u64() > Some(10), "{prompt}");
    let shown = server.json(at, &server.admin).await;
    assert_eq!((&shown["origin"], &shown["published"]), (&json!("shop"), &json!(1)));
    assert_eq!(shown["text"], marked(MARK));

    let (_, rolled) = post(&server, &format!("{at}/publish"), json!({"version": 0})).await;
    assert_eq!(rolled["revision"], 2);
    socket.ask(GROUNDED, json!({"model": "normal"})).await;
    assert!(!told(&provider, "normal").contains(MARK));
    let history = server.json(&format!("{at}/versions"), &server.admin).await;
    assert_eq!((&history["in_force"], &history["versions"][0]["note"]), (&json!(0), &json!("结论先行")), "{history}");
    assert_eq!(history["publications"].as_array().unwrap().len(), 2);
    // Both texts are there to be compared.
    let text = async |version: u32| server.json(&format!("{at}/versions/{version}"), &server.admin).await["text"].clone();
    assert_eq!((text(0).await, text(1).await), (json!(ZH), json!(marked(MARK))));

    // Another shop has none of it.
    let other = TenantId::parse("other").unwrap();
    server.tenants.add(&other, "Other").await.unwrap();
    let (theirs, _) = issue(&server.tenants, &other, Role::Admin).await;
    assert_eq!(server.json(&format!("{at}/versions"), &theirs).await["versions"], json!([]));
    assert_eq!(server.get(&format!("{at}/versions/1")).bearer_auth(&theirs).send().await.unwrap().status(), 404);
    assert_eq!(post_as(&server, &theirs, &format!("{at}/publish"), json!({"version": 1})).await.0, 404);
}

#[tokio::test]
async fn a_broken_template_is_refused_with_its_line_and_what_to_do() {
    let (server, _provider) = server(|_| {}).await;
    let line = |text: &str, of: &str| text.lines().position(|line| line.contains(of)).unwrap() + 1;
    let cases = [
        (ZH.replacen("{{ shop }}", "{{ shopp }}", 1), "{{ shopp }}", "`shopp` is not declared"),
        (ZH.replacen("{{ shop }}", "{{ shop", 1), "{{ shop", "syntax error"),
        (ZH.replacen("market = \"string?\"", "market = \"string?\"\nmood = \"string\"", 1), "mood = ", "Nobody gives `mood`"),
        (ZH.replacen("market = \"string?\"", "market = \"string\"", 1), "market = ", "optional with a `?`"),
        (ZH.replacen("sources = \"list\"", "sources = \"string\"", 1), "sources = ", "declare it as it is given"),
        (ZH.replacen("{{ source.n }}", "{{ source.number }}", 1), "source.number", "source.number"),
    ];
    for (text, at, said) in cases {
        let (status, refused) = post(&server, "/api/v1/prompts/answer.zh/versions", json!({"text": text, "publish": true})).await;
        let error = &refused["error"];
        assert_eq!((status, &error["code"]), (400, &json!("prompt_invalid")), "{refused}");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("answer.zh.md, line {}: ", line(&text, at))) && message.contains(said), "{message}");
        assert_eq!(error["details"]["line"], line(&text, at));
        let (status, linted) = post(&server, "/api/v1/prompts/answer.zh/lint", json!({"text": text})).await;
        assert!(status == 200 && linted["errors"].as_u64() > Some(0), "{linted}");
    }
    let careless = ZH.replacen("{{ source.text | data }}", "{{ source.text }}", 1);
    let (_, linted) = post(&server, "/api/v1/prompts/answer.zh/lint", json!({"text": careless})).await;
    assert!(linted["errors"] == 0 && linted["findings"][0]["message"].as_str().unwrap().contains("| data"), "{linted}");
    assert_eq!(server.json("/api/v1/prompts/answer.zh/versions", &server.admin).await["versions"], json!([]));
}

#[tokio::test]
async fn a_preview_shows_prompt_tokens_and_price_and_asks_nobody() {
    let (server, provider) = server(|_| {}).await;
    let at = "/api/v1/prompts/answer.zh/preview";
    let (status, preview) = post(&server, at, json!({"question": GROUNDED, "model": "normal"})).await;
    assert_eq!((status, &preview["decision"], &preview["asks_model"]), (200, &json!("grounded"), &json!(true)), "{preview}");
    let messages = preview["messages"].as_array().unwrap();
    let parts: Vec<&str> = messages.iter().map(|message| message["part"].as_str().unwrap()).collect();
    assert!(parts.first() == Some(&"system") && parts.last() == Some(&"user") && parts.contains(&"demo"), "{parts:?}");
    assert!(messages.last().unwrap()["content"].as_str().unwrap().contains(GROUNDED));
    let tokens = &preview["tokens"];
    let count = |part: &str| tokens[part].as_u64().unwrap();
    let sum: u64 = ["instruction", "reasoning", "output", "demos", "window", "context", "input"].map(count).iter().sum();
    assert!(count("total") >= sum && count("total") < sum + 200 && count("total") <= count("budget"), "{tokens}");
    // 1 and 2 CNY per million, as the fake provider is priced.
    let (prompt, most) = (preview["price"]["prompt"].as_f64().unwrap(), preview["price"]["most"].as_f64().unwrap());
    assert!((prompt - count("total") as f64 / 1e6).abs() < 1e-9 && (most - prompt - 1200.0 * 2.0 / 1e6).abs() < 1e-9, "{preview}");
    assert_eq!((&preview["price"]["currency"], &preview["exact"]), (&json!("CNY"), &json!(false)));
    assert_eq!(preview["sources"][0]["entry_id"], "address");

    let text = marked(MARK);
    let (_, drafted) = post(&server, at, json!({"question": GROUNDED, "model": "normal", "text": text})).await;
    assert!(drafted["messages"][0]["content"].as_str().unwrap().contains(MARK));
    let (_, direct) = post(&server, at, json!({"question": "普通店保证金要交多少？"})).await;
    assert_eq!((&direct["decision"], &direct["asks_model"], &direct["price"]["priced"]), (&json!("direct"), &json!(false), &json!(false)));
    for (body, code) in [
        (json!({"question": " "}), "message_empty"),
        (json!({"question": "q", "model": "none"}), "model_not_found"),
        (json!({"question": "q", "version": 7}), "version_not_found"),
        (json!({"question": "q", "text": "x"}), "prompt_invalid"),
        (json!({"question": "q", "text": "x", "version": 0}), "text_or_version"),
    ] {
        assert_eq!(post(&server, at, body).await.1["error"]["code"], code);
    }
    assert!(provider.requests("normal").is_empty(), "nobody was asked");
}

#[tokio::test]
async fn a_file_that_is_edited_holds_from_the_next_question_on_and_a_broken_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answer.zh.md");
    std::fs::write(&file, marked("第一版")).unwrap();
    let directory = folder.path().to_owned();
    let (server, provider) = server(move |config| config.prompts.dir = directory).await;
    let mut socket = server.session(&server.member).await;
    let mut instruction = async || {
        assert_eq!(socket.ask(GROUNDED, json!({"model": "normal"})).await.done()["status"], "completed");
        told(&provider, "normal")
    };
    assert!(instruction().await.contains("第一版"));
    std::fs::write(&file, marked("第二版，改过")).unwrap();
    assert!(instruction().await.contains("第二版，改过"));
    std::fs::write(&file, "oops").unwrap();
    assert!(instruction().await.contains("第二版，改过"), "what was in force stays");
    std::fs::write(&file, marked("第三版")).unwrap();
    assert!(instruction().await.contains("第三版"));
    std::fs::remove_file(&file).unwrap();
    assert!(!instruction().await.contains("第三版"), "the built-in one is back");
}

#[tokio::test]
async fn an_answer_given_before_does_not_outlive_its_template() {
    let (server, provider) = server(|config| config.cache.enabled = true).await;
    let ask =
        async || server.session(&server.member).await.ask(GROUNDED, json!({"model": "normal"})).await.done()["usage"]["cached"] == true;
    assert_eq!((ask().await, ask().await), (false, true));
    // Only what stands around the question is different, which the key's other parts do not have.
    let text = ZH.replacen("## Input\n", "## Input\n\n请回答：\n", 1);
    let at = "/api/v1/prompts/answer.zh";
    assert_eq!(post(&server, &format!("{at}/versions"), json!({"text": text, "publish": true})).await.0, 201);
    assert_eq!((ask().await, ask().await), (false, true));
    assert_eq!(provider.requests("normal").len(), 2);
    assert_eq!(post(&server, &format!("{at}/publish"), json!({"version": 0})).await.0, 200);
    assert!(ask().await, "back to a template whose answer is still kept");
}

#[tokio::test]
async fn examples_are_picked_per_question_and_never_from_a_source() {
    let (server, provider) = server(|_| {}).await;
    let front = "demo_choice = \"picked\"\ndemo_count = 1\ndemo_reasoning = \"1. 适用的资料：[1]。\"";
    let text = ZH.replacen("reasoning = \"hidden\"", &format!("reasoning = \"hidden\"\n{front}"), 1);
    assert_eq!(post(&server, "/api/v1/prompts/answer.zh/versions", json!({"text": text, "publish": true})).await.0, 201);
    let turn = server.session(&server.member).await.ask(GROUNDED, json!({"model": "normal"})).await;
    let trace = server.json(&format!("/api/v1/responses/{}/trace", turn.response()), &server.admin).await;
    let demos = &trace["trace"]["prompt"]["demos"];
    let picked = demos["picked"].as_array().unwrap();
    let sources = turn.first("response.sources")["sources"].as_array().unwrap();
    assert!(demos["kind"] == "picked" && picked.len() == 1, "{demos}");
    assert!(sources.iter().all(|source| !picked.contains(&source["entry_id"])), "{sources:?} {picked:?}");
    let messages = provider.requests("normal").pop().unwrap()["messages"].clone();
    assert_eq!(messages.as_array().unwrap().len(), 4, "instruction, one example, the question: {messages}");
    let answer = messages[2]["content"].as_str().unwrap();
    assert!(answer.starts_with("<think>\n1. 适用的资料：[1]。\n</think>") && answer.ends_with("[1]"), "{answer}");
    // A preview picks the same.
    let (_, preview) = post(&server, "/api/v1/prompts/answer.zh/preview", json!({"question": GROUNDED, "model": "normal"})).await;
    assert_eq!(preview["picked"], demos["picked"], "{preview}");
}

#[tokio::test]
async fn what_is_published_in_the_terminal_holds_for_the_running_server() {
    let (server, provider) = server(|_| {}).await;
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("answer.zh.md"), folder.path().join("bad.md"));
    std::fs::write(&good, marked(MARK)).unwrap();
    std::fs::write(&bad, ZH.replacen("{{ shop }}", "{{ shopp }}", 1)).unwrap();
    let (good, bad) = (good.to_str().unwrap().to_owned(), bad.to_str().unwrap().to_owned());
    let run = async |arguments: &[&str]| {
        let (data_dir, arguments) = (server.data_dir.clone(), arguments.iter().map(|&word| word.to_owned()).collect::<Vec<String>>());
        tokio::task::spawn_blocking(move || super::process::run(&data_dir, arguments)).await.unwrap()
    };
    let refused = run(&["prompt", "save", "answer.zh", &bad, "--publish"]).await;
    assert_eq!((refused.code, &refused.json["error"]["code"]), (Some(2), &json!("prompt_invalid")), "{}", refused.json);
    let saved = run(&["prompt", "save", "answer.zh", &good, "--note", "先说结论", "--publish"]).await;
    assert_eq!((saved.code, &saved.json["version"], &saved.json["published"]), (Some(0), &json!(1), &json!(true)), "{}", saved.json);
    server.session(&server.member).await.ask(GROUNDED, json!({"model": "normal"})).await;
    assert!(told(&provider, "normal").contains(MARK));
    let shown = run(&["prompt", "show", "answer.zh"]).await;
    assert_eq!((&shown.json["origin"], &shown.json["text"]), (&json!("shop"), &json!(marked(MARK))));
    let versions = run(&["prompt", "versions", "answer.zh"]).await;
    assert_eq!((&versions.json["in_force"], &versions.json["versions"][0]["author"]), (&json!(1), &json!("cli")));
    let preview = run(&["prompt", "preview", "--question", GROUNDED]).await;
    assert_eq!((preview.code, &preview.json["decision"]), (Some(0), &json!("grounded")), "{}", preview.json);
    assert!(preview.json["messages"][0]["content"].as_str().unwrap().contains(MARK));
    let linted = run(&["prompt", "lint"]).await;
    assert_eq!((linted.code, &linted.json["errors"]), (Some(0), &json!(0)), "{}", linted.json);
    assert_eq!(run(&["prompt", "lint", &bad]).await.code, Some(1));
    assert_eq!(run(&["prompt", "publish", "answer.zh", "0"]).await.code, Some(0));
    server.session(&server.member).await.ask(GROUNDED, json!({"model": "normal"})).await;
    assert!(!told(&provider, "normal").contains(MARK));
}
