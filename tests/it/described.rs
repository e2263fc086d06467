//! `/openapi.json` against the server it describes: every operation is there, answers with a status and
//! a content type that are written down, and refers to nothing that is missing.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::server::Server;

/// Every object below, with the value under `key` when it has one.
fn find<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|field| find(field, key, found));
        }
        Value::Array(items) => items.iter().for_each(|item| find(item, key, found)),
        _ => {}
    }
}

fn named_in(path: &str) -> Vec<&str> {
    path.split('{').skip(1).map(|part| part.split('}').next().unwrap()).collect()
}

#[test]
fn what_the_description_names_is_in_it() {
    let described: Value = serde_json::from_str(include_str!("../../src/http/openapi.json")).unwrap();
    let mut references = Vec::new();
    find(&described, "$ref", &mut references);
    assert!(references.len() > 50);
    for reference in references {
        assert!(described.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }
    for (path, methods) in described["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
            let declared: Vec<_> = parameters.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
            assert_eq!(declared, named_in(path), "the path parameters of {method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path} says what it is for");
        }
    }
}

/// What an answer may look like: its content types by status.
fn written_down(responses: &Map<String, Value>, status: u16) -> Option<Vec<&str>> {
    let exact = responses.get(&status.to_string());
    let answer = exact.or_else(|| responses.get("default").filter(|_| status >= 400))?;
    Some(answer["content"].as_object().map(|content| content.keys().map(String::as_str).collect()).unwrap_or_default())
}

#[tokio::test]
async fn every_operation_answers_as_described() {
    let server = Server::small().await;
    let described = server.get("/openapi.json").send().await.unwrap().json::<Value>().await.unwrap();
    let mut wrong = Vec::new();
    for (path, methods) in described["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let mut place = path.clone();
            for name in named_in(path) {
                // Files of the pages are there; nothing else by these names is.
                let filled = match path.as_str() {
                    "/console/{path}" => "index.html",
                    "/widget/{path}" => "panel.js",
                    _ => "none",
                };
                place = place.replace(&format!("{{{name}}}"), filled);
            }
            let request = server.request(method.to_uppercase().parse::<Method>().unwrap(), &place).bearer_auth(&server.admin);
            let takes_json = operation["requestBody"]["content"].get("application/json").is_some();
            let request = if takes_json { request.json(&json!({})) } else { request };
            let answer = request.send().await.unwrap();
            if answer.url().path() != place {
                assert!(operation["responses"].as_object().unwrap().keys().any(|status| status.starts_with('3')), "{path} leads elsewhere");
                continue;
            }
            let status = answer.status().as_u16();
            let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
            let body = answer.text().await.unwrap();
            let kinds = written_down(operation["responses"].as_object().unwrap(), status);
            let fits = kinds.is_some_and(|kinds| {
                if kinds.is_empty() {
                    body.is_empty()
                } else {
                    kinds.iter().any(|expected| *expected == "*/*" || kind.starts_with(expected))
                }
            });
            if !fits || status >= 500 || matches!(code(&body).as_str(), "route_not_found" | "method_not_allowed") {
                wrong.push(format!("{method} {path}: {status} {kind} {body:.200}"));
            }
        }
    }
    assert!(wrong.is_empty(), "not as described:\n{}", wrong.join("\n"));
}

fn code(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    body["error"]["code"].as_str().unwrap_or_default().to_owned()
}
