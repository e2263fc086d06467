//! `/mcp` by hand: what the protocol says, which keys, hosts and pages are let in, and that each tenant
//! sees its own. A client that nobody here wrote is in tests/peers.

use serde_json::{Value, json};

use super::server::{Server, shared};

/// A JSON-RPC request of the era with a handshake.
pub fn call(id: u64, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

async fn post(server: &Server, key: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
    let request = server.request(reqwest::Method::POST, "/mcp").bearer_auth(key).header("accept", "application/json, text/event-stream");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = request.json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

async fn tool(server: &Server, key: &str, name: &str, arguments: Value) -> Value {
    let (status, answer) = post(server, key, &[], &call(7, "tools/call", json!({"name": name, "arguments": arguments}))).await;
    assert_eq!(status, 200, "{answer}");
    answer["result"].clone()
}

#[tokio::test]
async fn the_tools_are_listed_and_answer_from_the_tenants_knowledge() {
    let (server, _) = shared().await;
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let (status, answer) = post(server, &server.member, &[], &call(1, "initialize", hello)).await;
    assert_eq!((status, &answer["result"]["serverInfo"]["name"]), (200, &json!("merchant-copilot")), "{answer}");
    let (_, listed) = post(server, &server.member, &[], &call(2, "tools/list", json!({}))).await;
    let mut names: Vec<&str> = listed["result"]["tools"].as_array().unwrap().iter().filter_map(|tool| tool["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["ask", "get_entry", "search_knowledge"]);

    let found = tool(server, &server.member, "search_knowledge", json!({"query": "普通店保证金要交多少", "top": 3})).await;
    let first = found["structuredContent"]["results"][0].clone();
    assert!(found["isError"] == false && first["score"].as_f64() > Some(0.5), "{found}");
    let row = tool(server, &server.member, "get_entry", json!({"id": first["id"]})).await;
    assert_eq!(row["structuredContent"]["question"], first["title"], "{row}");
    let answer = tool(server, &server.member, "ask", json!({"question": "普通店保证金要交多少？"})).await["structuredContent"].clone();
    assert!(answer["text"].as_str().unwrap().contains("10,000") && !answer["sources"].as_array().unwrap().is_empty(), "{answer}");
    for (name, arguments, code) in [
        ("get_entry", json!({"id": "none"}), "entry_not_found"),
        ("search_knowledge", json!({"query": " "}), "empty_query"),
        ("ask", json!({"question": "x", "model": "none"}), "model_not_found"),
        ("ask", json!({"question": "x", "conversation_id": "c_none"}), "conversation_not_found"),
    ] {
        let refused = tool(server, &server.member, name, arguments).await;
        assert_eq!((&refused["isError"], &refused["structuredContent"]["error"]["code"]), (&json!(true), &json!(code)), "{refused}");
    }
}

#[tokio::test]
async fn the_stateless_era_is_spoken_too() {
    let (server, _) = shared().await;
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}});
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/list")];
    let (status, answer) = post(server, &server.member, &headers, &call(1, "tools/list", json!({"_meta": meta}))).await;
    assert_eq!((status, &answer["result"]["resultType"]), (200, &json!("complete")), "{answer}");
}

#[tokio::test]
async fn foreign_names_and_pages_are_refused() {
    let (server, _) = shared().await;
    let list = call(1, "tools/list", json!({}));
    for (header, value, status) in [
        ("origin", "https://evil.example.net", 403),
        ("origin", "null", 403),
        ("host", "evil.example.net", 403),
        ("origin", &server.url(""), 200),
        ("host", "localhost", 200),
    ] {
        assert_eq!(post(server, &server.member, &[(header, value)], &list).await.0, status, "{header}: {value}");
    }
    assert_eq!(post(server, "mc_member_wrong", &[], &list).await.0, 401);
    assert_eq!(post(server, &server.site, &[("origin", super::server::PAGE)], &list).await.0, 403);
}
