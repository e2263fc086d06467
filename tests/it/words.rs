//! A shop's own words: set over HTTP and from the command line, in force at once in the running server,
//! and nobody else's.

use std::time::Instant;

use merchant_copilot::ids::TenantId;
use merchant_copilot::tenants::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::process::run;
use super::server::{PATIENCE, Server, issue};

const WORDS: &str = "/api/v1/knowledge/words";

async fn search(server: &Server, key: &str, question: &str) -> Value {
    server.json(&format!("/api/v1/knowledge/search?q={question}"), key).await
}

fn terms(found: &Value) -> Vec<&str> {
    found["terms"].as_array().unwrap().iter().map(|term| term.as_str().unwrap()).collect()
}

/// Searches until the words are in force.
async fn search_with(server: &Server, question: &str, term: &str) -> Value {
    let started = Instant::now();
    loop {
        let found = search(server, &server.admin, question).await;
        if terms(&found).contains(&term) {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "`{term}` is not in force: {found}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn words_of_a_shop_are_its_own_and_take_effect_at_once() {
    let server = Server::small().await;
    let other = TenantId::parse("other").unwrap();
    server.tenants.add(&other, "Other").await.unwrap();
    let (stranger, _) = issue(&server.tenants, &other, Role::Admin).await;

    let before = search(&server, &server.admin, "入驻押注金要多少").await;
    let body = json!({"words": ["打印面单"], "synonyms": [["保证金", "押注金"]]});
    let answer = server.request(Method::PUT, WORDS).bearer_auth(&server.admin).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let set: Value = answer.json().await.unwrap();
    assert!(set["revision"].as_i64() > before["revision"].as_i64(), "{set}");

    let found = search_with(&server, "入驻押注金要多少", "保证金").await;
    let first = &found["hits"][0];
    assert_eq!((&first["id"], &first["lexical"]["rank"]), (&json!("deposit"), &json!(1)), "{found}");
    assert_eq!(
        before["hits"]
            .as_array()
            .unwrap()
            .iter()
            .find(|hit| hit["id"] == "deposit")
            .map(|hit| hit["score"].as_f64() < first["score"].as_f64()),
        Some(true),
        "{before}"
    );
    // A row that holds the word is found by it whole.
    let label = search(&server, &server.admin, "打印面单").await;
    assert!(terms(&label).contains(&"打印面单") && label["hits"][0]["id"] == "label", "{label}");

    assert!(!terms(&search(&server, &stranger, "押注金").await).contains(&"保证金"), "another shop's question");
    let theirs = server.json(WORDS, &stranger).await;
    assert_eq!((&theirs["words"], &theirs["synonyms"], &theirs["revision"]), (&json!([]), &json!([]), &json!(0)));
    let told = server.json(WORDS, &server.admin).await;
    assert_eq!((&told["words"], &told["synonyms"]), (&body["words"], &body["synonyms"]));
    for wrong in [json!({"words": ["金"], "synonyms": []}), json!({"words": [], "synonyms": [["保证金"]]})] {
        let refused = server.request(Method::PUT, WORDS).bearer_auth(&server.admin).json(&wrong).send().await.unwrap();
        assert_eq!((refused.status().as_u16(), refused.json::<Value>().await.unwrap()["error"]["code"].clone()), (400, json!("bad_words")));
    }

    // Words that were made from older ones replace nobody else's.
    let after = |revision: &Value| json!({"words": body["words"], "synonyms": body["synonyms"], "revision": revision});
    for (seen, status) in [(&set["revision"], 200), (&json!(0), 409), (&set["revision"], 409)] {
        let answer = server.request(Method::PUT, WORDS).bearer_auth(&server.admin).json(&after(seen)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{seen}");
    }

    // The command line beside the running server.
    let data = server.data_dir.clone();
    let ran = tokio::task::spawn_blocking(move || {
        run(&data, ["kb", "words", "remove", "打印面单"]).done();
        run(&data, ["kb", "words", "add", "质保金,保证金"]).done();
        run(&data, ["kb", "words"])
    });
    assert_eq!(ran.await.unwrap().done().json["synonyms"], json!([["保证金", "押注金", "质保金"]]));
    let found = search_with(&server, "质保金多少", "保证金").await;
    assert_eq!(found["hits"][0]["id"], "deposit");
    let label = search(&server, &server.admin, "打印面单").await;
    assert!(!terms(&label).contains(&"打印面单") && label["hits"][0]["id"] == "label", "{label}");

    // A server that starts on the same data has the same words, and its index need not be built again.
    let mut server = server;
    server.stop();
    let data = server.data_dir.clone();
    let again = Server::start(super::server::Setup { data_dir: Some(data), ..Default::default() }).await;
    let found = search(&again, &again.admin, "质保金多少").await;
    assert!(terms(&found).contains(&"保证金") && found["hits"][0]["lexical"]["rank"] == 1, "{found}");
}
