//! Models from outside: what they cost and may cost, who stands in, how providers are, and conversations
//! over the OpenAI wire.

use std::sync::Arc;

use merchant_copilot::config::{Config, ModelConfig};
use reqwest::Method;
use serde_json::{Value, json};

use super::fake_provider::{ANSWER, FakeProvider};
use super::server::{Server, Setup};

const GROUNDED: &str = "退货地址在哪里修改？";
/// 100 tokens at 1 and 20 at 2 CNY per million, as the fake provider tells and prices them.
const COST: f64 = 0.000_14;

async fn server(change: impl FnOnce(&mut Config) + Send + 'static) -> (Server, Arc<FakeProvider>) {
    let provider = Arc::new(FakeProvider::start());
    let setup = Setup { provider: Some(Arc::clone(&provider)), change: Some(Box::new(change)), ..Setup::default() };
    (Server::start(setup).await, provider)
}

fn near(value: &Value, wanted: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - wanted).abs() < 1e-9)
}

#[tokio::test]
async fn what_models_cost_is_written_down_by_month_day_and_model() {
    let (server, _provider) = server(|_| {}).await;
    let mut socket = server.session(&server.member).await;
    for _ in 0..2 {
        let turn = socket.ask(GROUNDED, json!({"model": "normal"})).await;
        assert!(near(&turn.done()["usage"]["cost"], COST), "{}", turn.done());
    }
    socket.ask(GROUNDED, json!({"model": "builtin"})).await;
    // A direct answer and a provider that never said a word cost nothing.
    socket.ask("普通店保证金要交多少？", json!({"model": "normal"})).await;
    let failed = socket.ask(GROUNDED, json!({"model": "unauthorized"})).await;
    assert_eq!(failed.done()["usage"]["cost"], 0.0);

    let report = server.json("/api/v1/usage", &server.admin).await;
    assert!(near(&report["cost"]["CNY"], 2.0 * COST) && report["limit"].is_null(), "{report}");
    let models = report["models"].as_array().unwrap();
    let names: Vec<&str> = models.iter().map(|line| line["model"].as_str().unwrap()).collect();
    assert_eq!(names, ["builtin", "normal"], "{report}");
    assert_eq!((&models[1]["calls"], &models[1]["prompt_tokens"], &models[1]["completion_tokens"]), (&json!(2), &json!(200), &json!(40)));
    assert_eq!(report["days"].as_array().unwrap().len(), 2);
    let month = report["month"].as_str().unwrap();
    assert!(report["days"][0]["day"].as_str().unwrap().starts_with(month));
    assert_eq!(server.json(&format!("/api/v1/usage?month={month}"), &server.admin).await["models"], report["models"]);
    let data_dir = server.data_dir.clone();
    let told = tokio::task::spawn_blocking(move || super::process::run(&data_dir, ["usage"])).await.unwrap();
    assert_eq!((told.code, &told.json), (Some(0), &report), "the command says the same");
    assert_eq!(server.json("/api/v1/usage?month=2020-01", &server.admin).await["models"], json!([]));
    for wrong in ["2026", "2026-13", "2026-1", "x"] {
        let answer = server.get(&format!("/api/v1/usage?month={wrong}")).bearer_auth(&server.admin).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.json::<Value>().await.unwrap()["error"]["code"]),
            (400, &json!("bad_month")),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn a_spend_limit_refuses_kindly_before_the_call_and_the_built_in_model_goes_on() {
    // Enough for one call's worst case (1,200 tokens of answer), but not for a second beside it.
    let (server, provider) = server(|config| {
        config.spend.currency = "USD".into();
        config.spend.rates.insert("CNY".into(), 0.1);
        config.spend.tenants.insert("demo".into(), 0.000_55);
    })
    .await;
    let mut socket = server.session(&server.member).await;
    let paid = socket.ask(GROUNDED, json!({"model": "normal"})).await;
    assert_eq!(paid.done()["status"], "completed", "{}", paid.done());
    let mut refused = socket.ask(GROUNDED, json!({"model": "normal"})).await;
    for _ in 0..40 {
        if refused.done()["status"] == "failed" {
            break;
        }
        refused = socket.ask(GROUNDED, json!({"model": "normal"})).await;
    }
    refused.check();
    let error = &refused.done()["error"];
    assert_eq!((&error["code"], &error["retryable"]), (&json!("spend_limit_reached"), &json!(false)), "{}", refused.done());
    let limit = server.json("/api/v1/usage", &server.admin).await["limit"].clone();
    assert!(limit["spent"].as_f64().unwrap() <= limit["month"].as_f64().unwrap() && limit["currency"] == "USD", "{limit}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(limit["resets_on"].as_str().unwrap()) && message.contains("builtin"), "{message}");
    assert_eq!(refused.done()["usage"]["cost"], 0.0);
    // Not asked: as many calls as were answered.
    let answered = server.json("/api/v1/usage", &server.admin).await["models"][0]["calls"].as_u64().unwrap();
    assert_eq!(provider.requests("normal").len() as u64, answered);
    assert_eq!(socket.ask(GROUNDED, json!({"model": "builtin"})).await.done()["status"], "completed");
    assert_eq!(socket.ask("普通店保证金要交多少？", json!({"model": "normal"})).await.done()["status"], "completed");
    // Over the OpenAI wire it is a 429 that clients do not try again.
    let body = json!({"model": "normal", "messages": [{"role": "user", "content": GROUNDED}]});
    let answer = server.request(Method::POST, "/v1/chat/completions").bearer_auth(&server.member).json(&body).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["x-should-retry"].to_str().unwrap()), (429, "false"));
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], "spend_limit_reached");
}

#[tokio::test]
async fn who_really_answers_is_told_stored_paid_and_traced() {
    let (server, provider) = server(|config| {
        let models = &mut config.models.providers.get_mut("fake").unwrap().models;
        models.push(ModelConfig { fallback: vec!["unreachable".into(), "normal".into()], ..ModelConfig::named("server-error-2") });
    })
    .await;
    let turn = server.session(&server.member).await.ask(GROUNDED, json!({"model": "server-error-2"})).await;
    turn.check();
    assert_eq!((turn.text(), turn.first("response.created")["model"].as_str()), (ANSWER.concat().as_str(), Some("server-error-2")));
    assert!(turn.all("response.status").iter().any(|frame| frame["model"] == "normal"), "{turn:?}");
    assert!(near(&turn.done()["usage"]["cost"], COST), "the price is that of the model that answered");
    let trace = server.json(&format!("/api/v1/responses/{}/trace", turn.response()), &server.admin).await;
    assert_eq!(trace["model"], "normal");
    let attempts: Vec<(&str, &str)> = trace["trace"]["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["model"].as_str().unwrap(), a["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(attempts.last(), Some(&("normal", "answered")));
    assert_eq!(attempts.iter().filter(|(model, _)| *model == "server-error-2").count(), 3);
    assert_eq!(attempts.iter().filter(|(model, _)| *model == "unreachable").count(), 3);
    let tokens = &trace["trace"]["tokens"];
    assert!(tokens["prompt"].as_u64() > Some(50) && tokens["exact"] == false && tokens["told"] == true, "{tokens}");
    assert_eq!(provider.requests("server-error-2").len(), 3);

    let body = json!({"model": "server-error-2", "messages": [{"role": "user", "content": GROUNDED}]});
    let answer = server.request(Method::POST, "/v1/chat/completions").bearer_auth(&server.member).json(&body).send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["model"], "normal");
}

#[tokio::test]
async fn a_dead_provider_is_seen_by_operators_and_doctor() {
    let (server, _provider) = server(|config| {
        config.models.breaker_failures = 3;
        config.models.breaker_open_ms = 60_000;
        let nobody = &mut config.models.providers.get_mut("nobody").unwrap().models;
        nobody[0].fallback = vec!["normal".into()];
        nobody[0].context = 8000;
    })
    .await;
    let mut socket = server.session(&server.member).await;
    let status = async |id: &str| {
        let models = server.json("/api/v1/models", &server.admin).await;
        models.as_array().unwrap().iter().find(|model| model["id"] == id).unwrap().clone()
    };
    let fresh = status("unreachable").await;
    assert_eq!((&fresh["health"], &fresh["context"], &fresh["fallback"]), (&json!("unknown"), &json!(8000), &json!(["normal"])));
    assert_eq!(socket.ask(GROUNDED, json!({"model": "unreachable"})).await.text(), ANSWER.concat());
    let dead = status("unreachable").await;
    assert_eq!((&dead["health"], &dead["last_error"]["code"]), (&json!("open"), &json!("model_unavailable")));
    assert_eq!(status("builtin").await["default"], true);
    // Now it is known beforehand who answers, and quickly.
    let turn = socket.ask(GROUNDED, json!({"model": "unreachable"})).await;
    assert_eq!(turn.first("response.created")["model"], "normal");
    let noted = async {
        while !std::fs::read_to_string(server.data_dir.join("models.json")).is_ok_and(|text| text.contains("\"open\"")) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(super::server::PATIENCE, noted).await.expect("doctor is told");
    let data_dir = server.data_dir.clone();
    let doctor = tokio::task::spawn_blocking(move || super::process::run(&data_dir, ["doctor"])).await.unwrap();
    let findings = doctor.json["findings"].as_array().unwrap();
    let dead = findings.iter().find(|finding| finding["what"] == "provider nobody, served").expect("the provider is named");
    assert!(dead["state"] == "problem" && dead["found"].as_str().unwrap().contains("model_unavailable"), "{dead}");
    assert_eq!(doctor.code, Some(1));
}

#[tokio::test]
async fn a_misspelt_model_is_told_to_the_operator_by_its_name_and_to_the_merchant_as_not_set_up() {
    let (server, provider) = server(|_| {}).await;
    let turn = server.session(&server.member).await.ask(GROUNDED, json!({"model": "misspelt"})).await;
    let error = turn.done()["error"].clone();
    assert_eq!((&error["code"], &error["retryable"]), (&json!("model_unknown"), &json!(false)));
    let said = error["message"].as_str().unwrap();
    assert!(said.contains("没有设置好") && said.contains("doctor") && !said.contains("404"), "{said}");
    let trace = server.json(&format!("/api/v1/responses/{}/trace", turn.response()), &server.admin).await;
    let attempt = &trace["trace"]["attempts"][0];
    assert_eq!(
        (&attempt["model"], &attempt["provider"], &attempt["outcome"]),
        (&json!("misspelt"), &json!("fake"), &json!("model_unknown"))
    );
    let models = server.json("/api/v1/models", &server.admin).await;
    let told = models.as_array().unwrap().iter().find(|model| model["id"] == "misspelt").unwrap();
    assert!(told["last_error"]["message"].as_str().unwrap().contains("`misspelt`"), "{told}");

    // A provider of its own, so that what it has is all there is to tell.
    let folder = tempfile::tempdir().unwrap();
    let doctor = async |id: &str, more: &'static [&'static str]| {
        let key = "sk-fake-secret".to_owned();
        let environment = [("OPENAI_API_KEY", key), ("OPENAI_BASE_URL", provider.config().base_url), ("OPENAI_MODEL", id.to_owned())];
        let mut command = super::process::command(folder.path());
        command.envs(environment).arg("doctor").args(more);
        let ran = tokio::task::spawn_blocking(move || super::process::finish(&mut command)).await.unwrap();
        let findings = ran.json["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["what"] == "provider openai").unwrap_or_else(|| panic!("{ran:?}")).clone()
    };
    let wrong = doctor("misspelt", &[]).await;
    assert!(wrong["state"] == "problem" && wrong["found"].as_str().unwrap().ends_with("does not know misspelt"), "{wrong}");
    // Its list is open to everybody, so it tells nothing of the key.
    let listed = doctor("normal", &[]).await;
    assert!(listed["state"] == "note" && listed["found"].as_str().unwrap().ends_with("answers; key not tried"), "{listed}");
    assert!(listed["advice"].as_str().unwrap().contains("doctor --try"), "{listed}");
    assert_eq!(provider.requests("normal").len(), 0, "what is listed is not asked for");
    let tried = doctor("normal", &["--try"]).await;
    assert!(tried["state"] == "ok" && tried["found"].as_str().unwrap().ends_with("takes the key"), "{tried}");
    assert_eq!(provider.requests("normal").iter().map(|body| body["max_tokens"].clone()).collect::<Vec<_>>(), [json!(1)]);
    let refused = doctor("unauthorized", &["--try"]).await;
    assert!(refused["state"] == "problem" && refused["found"].as_str().unwrap().contains("refuses the key"), "{refused}");
    // Not in its list and understood all the same.
    assert_eq!(doctor("think-3", &[]).await["state"], "ok");
    assert_eq!(provider.requests("think-3")[0]["max_tokens"], 1);
}

#[tokio::test]
async fn a_conversation_over_the_openai_wire_goes_by_a_name() {
    let (server, provider) = server(|_| {}).await;
    let ask = async |name: Option<&str>, more: Value, question: &str| {
        let mut body = json!({"model": "normal", "messages": [{"role": "user", "content": question}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let request = server.request(Method::POST, "/v1/chat/completions").bearer_auth(&server.member).json(&body);
        let request = name.into_iter().fold(request, |request, name| request.header("x-conversation-id", name));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.headers()["x-conversation-id"].to_str().unwrap().to_owned()
    };
    let first = ask(Some("chat 7"), json!({}), GROUNDED).await;
    assert_eq!(ask(Some("chat 7"), json!({"stream": true}), "面单怎么打印？").await, first);
    assert_eq!(ask(Some(&first), json!({}), GROUNDED).await, first, "our own id is a name too");
    assert_ne!(ask(Some("chat 8"), json!({}), GROUNDED).await, first);
    assert_ne!(ask(None, json!({}), GROUNDED).await, ask(None, json!({}), GROUNDED).await, "without a name each is by itself");
    let of_user = ask(None, json!({"user": "u1"}), GROUNDED).await;
    assert_eq!(ask(None, json!({"user": "u1"}), GROUNDED).await, of_user);
    let stored = server.json(&format!("/api/v1/conversations/{first}"), &server.member).await;
    assert_eq!(stored["turns"].as_array().unwrap().len(), 3);
    // What was said before is in the prompt.
    let messages = provider.requests("normal")[1]["messages"].clone();
    assert!(
        messages.as_array().unwrap().iter().any(|message| message["role"] == "assistant" && message["content"] == ANSWER.concat()),
        "{messages}"
    );
    // Another key's word is another conversation, and its id opens nothing.
    let body = json!({"model": "normal", "messages": [{"role": "user", "content": GROUNDED}]});
    for name in ["chat 7", &first] {
        let request = server.request(Method::POST, "/v1/chat/completions").bearer_auth(&server.admin).header("x-conversation-id", name);
        let answer = request.json(&body).send().await.unwrap();
        assert_ne!(answer.headers()["x-conversation-id"].to_str().unwrap(), first);
    }
    let refused = server.request(Method::POST, "/v1/chat/completions").bearer_auth(&server.member);
    let refused =
        refused.json(&json!({"model": "normal", "n": 2, "messages": [{"role": "user", "content": GROUNDED}]})).send().await.unwrap();
    let (status, error) = (refused.status().as_u16(), refused.json::<Value>().await.unwrap()["error"].clone());
    assert_eq!((status, &error["code"], &error["param"]), (400, &json!("unsupported_parameter"), &json!("n")));
}
