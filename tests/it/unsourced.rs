//! Answers without sources: only where a shop allows them, by a model that has a word to say, and never without being
//! told apart from those that have one.

use std::sync::Arc;

use merchant_copilot::config::TenantAnswers;
use merchant_copilot::ids::TenantId;
use merchant_copilot::tenants::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::fake_provider::FakeProvider;
use super::server::{Server, Setup, issue};

const UNKNOWN: &str = "怎么用量子计算机煮鸡蛋？";
const PREFACE: &str = "知识库里没有这个问题的依据。下面是模型凭一般常识的回答，没有出处";
/// What the fake provider says, without its marker of a source that there is not.
const SAID: &str = "按规则，保证金是 10,000 元。😀";

#[tokio::test]
async fn a_model_answers_without_sources_only_where_the_shop_allows_it_and_says_so() {
    let provider = Arc::new(FakeProvider::start());
    let allowed = |config: &mut merchant_copilot::config::Config| {
        assert!(!config.answers.without_sources, "nobody has it who does not ask for it");
        config.answers.tenants.insert("demo".into(), TenantAnswers { without_sources: Some(true), ..TenantAnswers::default() });
        let models = config.models.providers.values_mut().flat_map(|provider| &mut provider.models);
        models.filter(|model| model.id == "unauthorized").for_each(|model| model.fallback = vec!["builtin".into()]);
    };
    let setup = Setup { provider: Some(Arc::clone(&provider)), config: Some(allowed), ..Setup::default() };
    let server = Server::start(setup).await;

    let mut socket = server.session(&server.member).await;
    let turn = socket.ask(UNKNOWN, json!({"model": "normal", "client_msg_id": "u-1"})).await;
    turn.check();
    let sources = turn.first("response.sources");
    assert_eq!((&sources["decision"], &sources["sources"], &sources["unsourced"]), (&json!("none"), &json!([]), &json!(true)), "{sources}");
    assert!(turn.text().starts_with(PREFACE) && turn.text().ends_with(SAID), "{}", turn.text());
    assert_eq!((&turn.done()["status"], &turn.done()["citations"]), (&json!("completed"), &json!([])));
    let asked = provider.requests("normal");
    assert_eq!(asked.len(), 1);
    let prompt = asked[0]["messages"].to_string();
    assert!(prompt.contains(UNKNOWN) && !prompt.contains("<source") && !prompt.contains("退货地址"), "{prompt}");

    // Who reads the conversation later is told as well.
    let read = server.json(&format!("/api/v1/conversations/{}", turn.conversation()), &server.member).await;
    assert_eq!((&read["turns"][0]["decision"], &read["turns"][0]["unsourced"]), (&json!("none"), &json!(true)), "{read}");

    // Told again it is what it was, and nobody is asked for it.
    let again = socket.ask(UNKNOWN, json!({"model": "normal", "client_msg_id": "u-1", "conversation_id": turn.conversation()})).await;
    assert_eq!((again.text(), &again.first("response.sources")["unsourced"]), (turn.text(), &json!(true)));
    assert_eq!(provider.requests("normal").len(), 1);
    // Over the OpenAI wire the text says it, and there is nothing to cite.
    let body = json!({"model": "normal", "messages": [{"role": "user", "content": UNKNOWN}]});
    let answer = server.request(Method::POST, "/v1/chat/completions").bearer_auth(&server.member).json(&body).send().await.unwrap();
    let message = answer.json::<Value>().await.unwrap()["choices"][0]["message"].clone();
    assert!(message["content"].as_str().unwrap().starts_with(PREFACE), "{message}");
    assert_eq!(message["annotations"], json!([]));
    // A model that fails leaves no sentence behind that announces an answer, nor does the built-in one speak under it.
    let failed = socket.ask(UNKNOWN, json!({"model": "unauthorized"})).await;
    assert_eq!((failed.text(), &failed.done()["error"]["code"]), ("", &json!("model_unauthorized")));
    let read = server.json(&format!("/api/v1/conversations/{}", failed.conversation()), &server.member).await;
    let last = read["turns"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["status"], &last["answer"], &last["unsourced"]), (&json!("failed"), &json!(""), &json!(false)), "{read}");

    // A preview shows that very prompt, also of who tries a template for sources; a template for answers without them is tried.
    let preview = async |path: &str, body: Value| {
        let answer = server.request(Method::POST, path).bearer_auth(&server.admin).json(&body).send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    for (path, body) in [
        ("/api/v1/trials/preview", json!({"text": UNKNOWN, "model": "normal"})),
        ("/api/v1/prompts/answer.zh/preview", json!({"question": UNKNOWN, "model": "normal"})),
    ] {
        let shown = preview(path, body).await;
        assert_eq!(
            (&shown["template"], &shown["decision"], &shown["asks_model"]),
            (&json!("unsourced.zh"), &json!("none"), &json!(true)),
            "{shown}"
        );
        let of = |messages: &Value| messages.as_array().unwrap().iter().map(|one| one["content"].clone()).collect::<Vec<_>>();
        assert_eq!(of(&shown["messages"]), of(&asked[0]["messages"]), "{path}");
    }
    let trial = "/api/v1/prompts/unsourced.zh/preview";
    let text = server.json("/api/v1/prompts/unsourced.zh", &server.admin).await["text"].as_str().unwrap().to_owned();
    let tried = text.replacen("## Output", "语气像老朋友。\n\n## Output", 1);
    let shown = preview(trial, json!({"question": UNKNOWN, "model": "normal", "text": tried})).await;
    assert!(shown["messages"].to_string().contains("语气像老朋友") && shown["asks_model"] == true, "{shown}");
    let shown = preview(trial, json!({"question": "退货地址在哪里修改？", "model": "normal"})).await;
    assert_eq!((&shown["decision"], &shown["asks_model"], &shown["sources"]), (&json!("grounded"), &json!(false), &json!([])), "{shown}");
    let shown = preview("/api/v1/trials/preview", json!({"text": UNKNOWN, "model": "builtin"})).await;
    assert_eq!((&shown["template"], &shown["asks_model"]), (&json!("answer.zh"), &json!(false)), "it only quotes: {shown}");

    // What the built-in model says is from sources or not at all.
    let built_in = socket.ask(UNKNOWN, json!({"model": "builtin"})).await;
    assert!(built_in.text().contains("没有找到") && built_in.first("response.sources")["unsourced"].is_null(), "{}", built_in.text());
    // Another shop of the same server calls no model.
    let other = TenantId::parse("other").unwrap();
    server.tenants.add(&other, "Other").await.unwrap();
    let key = issue(&server.tenants, &other, Role::Member).await.0;
    let before = provider.requests("normal").len();
    let refused = server.session(&key).await.ask(UNKNOWN, json!({"model": "normal"})).await;
    assert!(refused.text().contains("没有找到") && refused.first("response.sources")["unsourced"].is_null(), "{}", refused.text());
    assert_eq!(provider.requests("normal").len(), before);
}
