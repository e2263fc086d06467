//! What the console's pages ask for beside what has tests elsewhere: the table of rows, keys, and the
//! overview.

use serde_json::{Value, json};

use super::server::{PAGE, Server};

async fn send(request: reqwest::RequestBuilder, body: &Value) -> (u16, Value) {
    let answer = request.json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

fn ids(page: &Value) -> Vec<&str> {
    page["entries"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_table_is_searched_narrowed_down_and_paged() {
    let server = Server::small().await;
    let list = async |query: &str| server.json(&format!("/api/v1/knowledge/entries?{query}"), &server.admin).await;
    let all = list("").await;
    assert_eq!((all["total"].as_u64(), all["next"].is_null()), (Some(3), true));
    let (status, row) = send(
        server.request(reqwest::Method::POST, "/api/v1/knowledge/entries").bearer_auth(&server.admin),
        &json!({"id": "100%", "question": "满减 100% 怎么设？", "answer": "在营销中心（Marketing）设置。", "valid_to": "2020-01-01", "market": "JP"}),
    )
    .await;
    assert_eq!(status, 201, "{row}");
    assert_eq!(ids(&list("limit=1").await), ["100%"], "the last changed comes first");
    for (query, expected) in [
        ("q=退货", vec!["address"]),
        ("q=100%25", vec!["100%"]),
        ("q=1_0", vec![]),
        ("q=label", vec!["label"]),
        ("q=mARKETING", vec!["100%"]),
        ("category=入驻", vec!["deposit"]),
        ("direct=true", vec!["deposit"]),
        ("market=JP", vec!["100%"]),
        ("validity=expired", vec!["100%"]),
        ("validity=coming", vec![]),
        ("validity=live&category=物流", vec!["label"]),
        ("source=console", vec!["100%"]),
    ] {
        let page = list(query).await;
        assert_eq!(ids(&page), expected, "{query}");
        assert_eq!(page["total"], expected.len(), "{query}");
    }
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = list(&format!("limit=2{after}")).await;
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={}", next.replace('%', "%25"));
    }
    seen.sort();
    assert_eq!(seen, ["100%", "address", "deposit", "label"], "every row once");
    let bad = server.get("/api/v1/knowledge/entries?after=nowhere").bearer_auth(&server.admin).send().await.unwrap();
    assert_eq!(bad.status(), 400);
}

#[tokio::test]
async fn an_admin_issues_and_ends_keys_of_its_own_shop() {
    let server = Server::small().await;
    let post = || server.request(reqwest::Method::POST, "/api/v1/keys").bearer_auth(&server.admin);
    let (status, site) = send(post(), &json!({"role": "site", "origins": [PAGE], "label": " 帮助中心 ", "days": 30})).await;
    assert_eq!((status, site["label"].as_str(), &site["origins"]), (201, Some("帮助中心"), &json!([PAGE])));
    let secret = site["key"].as_str().unwrap();
    assert!(secret.starts_with("site_") && site["expires_ms"].as_i64() > site["created_ms"].as_i64());
    for (wanted, code) in [
        (json!({"role": "site"}), "origin_required"),
        (json!({"role": "admin", "origins": [PAGE]}), "origins_only_for_site"),
        (json!({"role": "member", "days": 0}), "bad_key"),
        (json!({"role": "owner"}), "invalid_request"),
    ] {
        let (status, said) = send(post(), &wanted).await;
        assert_eq!((status, said["error"]["code"].as_str()), (400, Some(code)), "{wanted}");
    }
    let listed = server.json("/api/v1/keys", &server.admin).await;
    assert!(listed["keys"].as_array().unwrap().iter().any(|key| key["id"] == site["id"] && key["revoked_ms"].is_null()));
    assert!(!listed.to_string().contains(secret), "a secret is shown once");

    let knock = || server.get("/api/v1/conversations").bearer_auth(secret).header("origin", PAGE).send();
    assert_eq!(knock().await.unwrap().status(), 200);
    let end = |id: &str| server.request(reqwest::Method::DELETE, &format!("/api/v1/keys/{id}")).bearer_auth(&server.admin).send();
    let ended = end(site["id"].as_str().unwrap()).await.unwrap().json::<Value>().await.unwrap();
    assert!(ended["revoked_ms"].is_i64());
    assert_eq!(knock().await.unwrap().status(), 401, "at once");
    let own = listed["keys"].as_array().unwrap().iter().find(|key| key["role"] == "admin").unwrap();
    assert_eq!(end(own["id"].as_str().unwrap()).await.unwrap().status(), 409, "nobody locks itself out");
}

#[tokio::test]
async fn the_overview_counts_what_was_asked() {
    let server = Server::small().await;
    let mut socket = server.socket(Some(PAGE)).await.unwrap();
    socket.open(json!({"token": server.site})).await;
    let mut greeted = String::new();
    for question in ["普通店保证金要交多少？", "普通店保证金要交多少", "怎么用量子计算机煮鸡蛋？", "你好"]
    {
        let turn = socket.ask(question, json!({})).await;
        assert_eq!(turn.first("response.sources")["courtesy"], if question == "你好" { json!(true) } else { Value::Null });
        greeted = turn.conversation().to_owned();
    }
    let seen = server.json("/api/v1/overview?days=7", &server.admin).await;
    assert_eq!(seen["days"].as_array().unwrap().len(), 7);
    let total = &seen["total"];
    // A greeting is answered with a courtesy: it is none of what the knowledge lacks, here and in the list.
    assert_eq!((&total["questions"], &total["answered"], &total["refused"]), (&json!(4), &json!(3), &json!(1)), "{seen}");
    let refused = server.json("/api/v1/conversations?outcome=refused", &server.admin).await;
    let refused: Vec<&Value> = refused["conversations"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert!(refused.len() == 1 && refused[0] != &json!(greeted), "{refused:?}");
    let told = server.json(&format!("/api/v1/conversations/{greeted}"), &server.admin).await;
    assert!(told["turns"][0]["decision"].is_null(), "{told}");
    assert!(total["total_p50"].is_u64());
    assert_eq!((&seen["channels"][0]["name"], &seen["channels"][0]["questions"]), (&json!("ws"), &json!(4)));
    assert_eq!((&seen["questions"][0]["question"], &seen["questions"][0]["count"]), (&json!("普通店保证金要交多少"), &json!(2)));
    assert_eq!(server.json("/api/v1/overview?channel=openai", &server.admin).await["total"]["questions"], 0);
}

#[tokio::test]
async fn other_settings_are_tried_without_putting_them_in_force() {
    let server = Server::small().await;
    let search =
        async |settings: &str| server.json(&format!("/api/v1/knowledge/search?q=普通店保证金要交多少{settings}"), &server.admin).await;
    let before = search("").await;
    assert_eq!(before["decision"], "direct");
    let strict = search("&grounded_threshold=1&direct_threshold=1&weight=0").await;
    assert_eq!(strict["settings"], json!({"weight": 0.0, "grounded_threshold": 1.0, "direct_threshold": 1.0, "fusion": "weighted"}));
    assert_eq!(search("").await["settings"], before["settings"], "nothing stays");
    let answer = server.get("/api/v1/knowledge/search?q=a&weight=2").bearer_auth(&server.admin).send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], "bad_setting");
}
