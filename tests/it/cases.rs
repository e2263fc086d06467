//! A shop's labelled questions: kept, listed, asked all at once under the settings in force and under others, and
//! nobody else's.

use merchant_copilot::ids::TenantId;
use merchant_copilot::tenants::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::server::{Server, issue};

const CASES: &str = "/api/v1/knowledge/cases";

async fn call(server: &Server, method: Method, path: &str, key: &str, body: Value) -> (u16, Value) {
    let answer = server.request(method, path).bearer_auth(key).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

async fn run(server: &Server, key: &str, settings: Value) -> Value {
    let (status, run) = call(server, Method::POST, "/api/v1/knowledge/evaluate", key, settings).await;
    assert_eq!(status, 200, "{run}");
    run
}

#[tokio::test]
async fn labelled_questions_are_kept_asked_and_compared() {
    let server = Server::small().await;
    let key = &server.admin;
    let cases = json!({"cases": [
        {"query": "普通店要交多少保证金", "relevant": ["deposit"]},
        {"query": "在哪里修改退货地址", "relevant": ["address"]},
        {"query": "怎么学游泳", "relevant": []},
        {"query": "怎么打印面单", "relevant": ["gone"], "kind": "old"},
    ]});
    let (status, kept) = call(&server, Method::POST, CASES, key, cases).await;
    assert_eq!((status, kept["cases"].as_array().unwrap().len()), (201, 4), "{kept}");
    // The same question again is the same case with a new label.
    let again = json!({"cases": [{"query": " 怎么打印面单 ", "relevant": ["label"], "market": ""}]});
    assert_eq!(call(&server, Method::POST, CASES, key, again).await.0, 201);
    let first = server.json(&format!("{CASES}?limit=3"), key).await;
    assert_eq!((&first["total"], first["cases"].as_array().unwrap().len()), (&json!(4), 3), "{first}");
    let next = first["next"].as_str().unwrap();
    let second = server.json(&format!("{CASES}?limit=3&after={next}"), key).await;
    let all: Vec<&Value> = [&first, &second].into_iter().flat_map(|page| page["cases"].as_array().unwrap()).collect();
    assert!(all.len() == 4 && second["next"].is_null(), "{second}");
    let printed = all.iter().find(|case| case["query"] == "怎么打印面单").unwrap();
    assert_eq!(printed["relevant"], json!(["label"]));

    let alone = run(&server, key, json!({})).await;
    assert_eq!((&alone["asked"], &alone["cases"], &alone["after"], &alone["tried"]), (&json!(4), &json!(4), &Value::Null, &Value::Null));
    assert_eq!((&alone["before"]["answerable"], &alone["before"]["unanswerable"]), (&json!(3), &json!(1)), "{alone}");
    assert_eq!((&alone["before"]["lost"], &alone["before"]["refused"]), (&json!(0), &json!(1)), "{alone}");
    assert!(alone["before"]["ndcg@10"].as_f64().unwrap() > 0.99, "{alone}");

    // With a threshold that nothing reaches everything answerable is lost, and told first.
    let strict = run(&server, key, json!({"grounded_threshold": 1.0, "direct_threshold": 1.0})).await;
    let questions = strict["questions"].as_array().unwrap();
    assert!(questions[..3].iter().all(|one| one["change"] == "worse" && one["before"]["rank"] == 1), "{strict}");
    assert_eq!((&questions[3]["change"], &questions[3]["answerable"]), (&json!("same"), &json!(false)));
    assert_eq!((&strict["after"]["lost"], &strict["tried"]["grounded_threshold"]), (&json!(3), &json!(1.0)));

    // A row that is gone is said to be.
    assert!(call(&server, Method::DELETE, "/api/v1/knowledge/entries/label", key, Value::Null).await.0 < 300);
    let after = run(&server, key, json!({})).await;
    let gone: Vec<&Value> = after["questions"].as_array().unwrap().iter().filter(|one| one["gone"] == true).collect();
    assert!(gone.len() == 1 && gone[0]["query"] == "怎么打印面单", "{after}");

    let id = printed["id"].as_str().unwrap();
    let other = TenantId::parse("other").unwrap();
    server.tenants.add(&other, "Other").await.unwrap();
    let (theirs, _) = issue(&server.tenants, &other, Role::Admin).await;
    assert_eq!(server.json(CASES, &theirs).await["total"], 0);
    assert_eq!(run(&server, &theirs, json!({})).await["asked"], 0);
    assert_eq!(call(&server, Method::DELETE, &format!("{CASES}/{id}"), &theirs, Value::Null).await.0, 404);
    assert_eq!(call(&server, Method::DELETE, &format!("{CASES}/{id}"), key, Value::Null).await.0, 204);
    assert_eq!(server.json(CASES, key).await["total"], 3);
}

#[tokio::test]
async fn what_cannot_be_kept_or_tried_is_refused_in_words() {
    let server = Server::small().await;
    for (path, body, code) in [
        (CASES, json!({"cases": [{"query": " ", "relevant": []}]}), "bad_case"),
        (CASES, json!({"cases": [{"query": "问".repeat(2_001), "relevant": []}]}), "bad_case"),
        ("/api/v1/knowledge/evaluate", json!({"weight": 1.5}), "bad_setting"),
    ] {
        let (status, answer) = call(&server, Method::POST, path, &server.admin, body).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{answer}");
    }
    let (status, answer) = call(&server, Method::GET, &format!("{CASES}?after=x"), &server.admin, Value::Null).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("bad_page")), "{answer}");
}
