//! DingTalk bots against the local platform: who is let in, that every message is answered exactly once
//! whatever the platform does, and what the group sees.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use merchant_copilot::channels::dingtalk::robot::CustomRobot;
use merchant_copilot::channels::dingtalk::sign::{sign, sign_card};
use merchant_copilot::channels::{Mention, Post};
use merchant_copilot::config::{ChannelsConfig, Secret};
use merchant_copilot::http::local_dingtalk::{Fault, LocalDingTalk, Shown};
use merchant_copilot::ids::Clock;
use serde_json::{Value, json};

use super::fake_provider::FakeProvider;
use super::server::{PATIENCE, Server, Setup};

pub const SECRET: &str = "a-secret-of-the-app";
/// In the small knowledge: a row that answers by itself, one for a model, and nothing.
pub const DIRECT: &str = "普通店保证金要交多少？";
pub const GROUNDED: &str = "跨境包裹的面单在哪里打印";
const UNKNOWN: &str = "怎么用量子计算机煮鸡蛋？";
const SESSION: &str = "/robot/sendBySession";
const GROUP_SEND: &str = "/v1.0/robot/groupMessages/send";

pub async fn platform() -> LocalDingTalk {
    let _ = rustls::crypto::ring::default_provider().install_default();
    LocalDingTalk::start("dingapp", &Secret::new(SECRET)).await.unwrap()
}

/// A bot `shop` of that platform; `more` are further keys of its table.
pub fn bot(platform: &LocalDingTalk, more: &str) -> ChannelsConfig {
    let base = platform.base();
    let host = base.trim_start_matches("http://");
    toml::from_str(&format!(
        "[dingtalk.shop]\nclient_id = \"dingapp\"\nclient_secret = \"{SECRET}\"\napi_base = \"{base}\"\nsession_webhook_hosts = [\"{host}\"]\n{more}\n"
    ))
    .unwrap()
}

pub async fn server(platform: &LocalDingTalk, more: &str) -> Server {
    Server::start(Setup { channels: bot(platform, more), ..Setup::default() }).await
}

pub fn address(server: &Server) -> String {
    server.url("/webhooks/dingtalk/shop")
}

pub async fn ask(platform: &LocalDingTalk, server: &Server, message: &Value) -> Value {
    let (status, answer) = platform.callback(&address(server), message).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    answer
}

pub async fn final_messages(platform: &LocalDingTalk, count: usize) -> Vec<Shown> {
    platform.until(PATIENCE, |shown| shown.len() >= count && shown.iter().all(Shown::is_final)).await.unwrap()
}

pub fn fault(path: &'static str, status: u16, body: Value) -> Fault {
    Fault { path, status, body, delay: Duration::ZERO }
}

#[tokio::test]
async fn forged_stale_and_broken_callbacks_are_refused() {
    let platform = platform().await;
    let server = server(&platform, "").await;
    let message = platform.message("cid1", true, "u1", DIRECT);
    let now = Clock::system().now().0;
    let signed = |at: i64| (at.to_string(), sign(&at.to_string(), &Secret::new(SECRET)));
    let old = signed(now - 3_600_001);
    let other = (now.to_string(), sign(&now.to_string(), &Secret::new("another")));
    for (timestamp, signature) in [old, other, (now.to_string(), String::new()), (String::new(), signed(now).1)] {
        let (status, answer) = platform.callback_signed(&address(&server), &message, &timestamp, &signature).await.unwrap();
        assert!(status == 401 && answer["error"]["code"].is_string(), "{status} {answer}");
    }
    let post = |path: &str, body: String| {
        let (timestamp, signature) = signed(now);
        server.request(reqwest::Method::POST, path).header("timestamp", timestamp).header("sign", signature).body(body).send()
    };
    assert_eq!(post("/webhooks/dingtalk/none", message.to_string()).await.unwrap().status(), 404);
    for (body, status) in [("no json", 400), ("{}", 400)] {
        assert_eq!(post("/webhooks/dingtalk/shop", body.to_owned()).await.unwrap().status(), status);
    }
    // It is refused before all of it is read, so that the refusal may come as a closed connection.
    let large = post("/webhooks/dingtalk/shop", "x".repeat(5 << 20)).await;
    assert!(large.as_ref().map_or_else(reqwest::Error::is_request, |answer| answer.status() == 413), "{large:?}");
    assert_eq!(platform.shown(), [], "nothing of it was answered");
}

#[tokio::test]
async fn a_group_sees_one_answer_with_sources_however_often_the_platform_delivers() {
    let platform = platform().await;
    let mut server = server(&platform, "").await;
    let message = platform.message("cid1", true, "u1", DIRECT);
    let address = address(&server);
    join_all((0..10).map(|_| platform.callback(&address, &message)))
        .await
        .into_iter()
        .for_each(|answer| assert_eq!(answer.unwrap().0, 200));
    let shown = final_messages(&platform, 1).await;
    assert!(shown[0].text.starts_with("@u1") && shown[0].text.contains("10,000") && shown[0].text.contains("出处"), "{shown:?}");
    assert!(shown[0].text.contains("AI 生成") && shown[0].at == ["u1"] && shown[0].place == "cid1", "{shown:?}");
    // The same message after a restart.
    server.stop();
    let again = Server::start(Setup { data_dir: Some(server.data_dir.clone()), channels: bot(&platform, ""), ..Setup::default() }).await;
    assert_eq!(ask(&platform, &again, &message).await, json!({"msgtype": "empty"}));
    let other = platform.message("cid2", false, "u2", DIRECT);
    ask(&platform, &again, &other).await;
    let shown = final_messages(&platform, 2).await;
    assert_eq!(shown.iter().filter(|one| one.place == "cid1").count(), 1, "{shown:?}");
    let theirs: Vec<&Shown> = shown.iter().filter(|one| one.place == "cid2").collect();
    assert!(theirs.len() == 1 && theirs[0].at.is_empty(), "nobody is called in a chat of two: {shown:?}");
}

#[tokio::test]
async fn a_slow_model_is_acknowledged_at_once_and_answers_later() {
    let endless: fn(&mut merchant_copilot::config::Config) = |config| {
        config.models.default = "endless-1".into();
        config.chat.drain_ms = 10;
    };
    let slow: fn(&mut merchant_copilot::config::Config) = |config| config.models.default = "slow-1".into();
    for (model, ends) in [(endless, false), (slow, true)] {
        let platform = platform().await;
        let provider = Some(Arc::new(FakeProvider::start()));
        let server = Server::start(Setup { channels: bot(&platform, ""), provider, config: Some(model), ..Setup::default() }).await;
        let began = Instant::now();
        // Whoever waited for the end of the one would never say so.
        assert_eq!(ask(&platform, &server, &platform.message("cid1", true, "u1", GROUNDED)).await["msgtype"], "empty");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        if ends {
            let shown = final_messages(&platform, 1).await;
            assert_eq!((shown.len(), shown[0].via), (1, "session"), "{shown:?}");
        }
    }
}

#[tokio::test]
async fn an_address_for_the_answer_is_used_only_when_it_may_be() {
    let platform = platform().await;
    let provider = Some(Arc::new(FakeProvider::start()));
    // Slow, so that no answer goes back in the callback's response.
    let slow: fn(&mut merchant_copilot::config::Config) = |config| config.models.default = "slow-1".into();
    let server = Server::start(Setup { channels: bot(&platform, ""), provider, config: Some(slow), ..Setup::default() }).await;
    let outside = platform_elsewhere().await;
    let with = |group: &str, key: &str, value: Value| {
        let mut message = platform.message(group, true, "u1", GROUNDED);
        message[key] = value;
        message
    };
    let foreign = format!("{}{SESSION}?session=x", outside.base());
    let cases = [
        with("foreign", "sessionWebhook", json!(foreign)),
        with("inside", "sessionWebhook", json!("http://169.254.169.254/latest/meta-data")),
        with("expired", "sessionWebhookExpiredTime", json!(Clock::system().now().0 - 1)),
        with("none", "sessionWebhook", json!(null)),
    ];
    for message in &cases {
        ask(&platform, &server, message).await;
    }
    let shown = final_messages(&platform, cases.len()).await;
    assert!(shown.iter().all(|one| one.via == "api"), "{shown:?}");
    assert_eq!(outside.shown(), []);

    // A refusal with a success code, an error, and a redirect: each falls back to the API, once.
    for answer in [
        fault(SESSION, 200, json!({"errcode": 310000, "errmsg": "no"})),
        fault(SESSION, 500, json!({})),
        fault(SESSION, 307, json!(foreign)),
    ] {
        let before = platform.shown().len();
        platform.fail_next(answer.clone());
        ask(&platform, &server, &platform.message("cid9", true, "u1", GROUNDED)).await;
        let shown = final_messages(&platform, before + 1).await;
        assert_eq!((shown.len(), shown[before].via), (before + 1, "api"), "{answer:?}");
    }
    assert_eq!(outside.shown(), [], "a redirect is not followed");
    // Too fast: waited for, not given up.
    platform.fail_next(fault(SESSION, 200, json!({"errcode": 410100})));
    let before = platform.shown().len();
    ask(&platform, &server, &platform.message("cid9", true, "u1", GROUNDED)).await;
    assert_eq!(final_messages(&platform, before + 1).await[before].via, "session");
}

async fn platform_elsewhere() -> LocalDingTalk {
    LocalDingTalk::start("other", &Secret::new("other")).await.unwrap()
}

#[tokio::test]
async fn what_is_no_text_is_answered_politely_and_what_is_not_for_us_is_not() {
    let platform = platform().await;
    let server = server(&platform, "").await;
    let with = |fields: Value| {
        let mut message = platform.message("cid1", true, "u1", "x");
        for (key, value) in fields.as_object().unwrap() {
            message[key] = value.clone();
        }
        message
    };
    let said =
        async |fields: Value| ask(&platform, &server, &with(fields)).await["markdown"]["text"].as_str().unwrap_or_default().to_owned();
    assert!(said(json!({"msgtype": "picture", "content": {"downloadCode": "d"}})).await.contains("图片"));
    assert!(said(json!({"msgtype": "hologram"})).await.contains("这类消息"));
    assert!(said(json!({"text": {"content": "  "}})).await.contains("我在"));
    assert!(said(json!({"text": {"content": "/帮助"}})).await.contains("/human"));
    let rich = json!({"richText": [{"text": "/hel"}, {"type": "picture", "downloadCode": "d"}, {"text": "p"}]});
    assert!(
        said(json!({"msgtype": "richText", "content": rich, "conversationTitle": "Shops", "senderNick": "Ann"})).await.contains("Just ask")
    );
    let before = platform.shown().len();
    assert_eq!(said(json!({"isInAtList": false})).await, "");
    assert_eq!(said(json!({"errorCode": "20001", "text": null})).await, "");
    assert_eq!(platform.shown().len(), before);
}

#[tokio::test]
async fn commands_work_and_two_misses_call_whoever_is_on_duty() {
    let platform = platform().await;
    let server = server(&platform, "duty_user = \"boss\"\nduty_group = \"cidDuty\"").await;
    let say = async |text: &str| {
        let before = platform.shown().iter().filter(|one| one.place == "cid1").count();
        ask(&platform, &server, &platform.message("cid1", true, "小王", text)).await;
        let enough = |shown: &[Shown]| shown.iter().filter(|one| one.place == "cid1").count() > before;
        let shown = platform.until(PATIENCE, enough).await.unwrap();
        shown.into_iter().rfind(|one| one.place == "cid1").unwrap().text
    };
    let alerts = || platform.shown().into_iter().filter(|one| one.place == "boss" || one.place == "cidDuty").count();
    assert!(say("/model").await.contains("`builtin`"));
    assert!(say("/model nothing").await.contains("没有叫"));
    assert!(say("/model builtin").await.contains("好的"));
    assert!(say(UNKNOWN).await.contains("没有找到"));
    assert_eq!(alerts(), 0);
    assert!(say(UNKNOWN).await.contains("连续两次"));
    assert_eq!(alerts(), 2);
    assert!(say("/new").await.contains("重新开始"));
    assert!(say("转人工").await.contains("已经通知"));
    assert_eq!(alerts(), 4);
    let conversations = server.json("/api/v1/conversations", &server.admin).await["conversations"].as_array().unwrap().len();
    assert!(!say(DIRECT).await.is_empty());
    let after = server.json("/api/v1/conversations", &server.admin).await["conversations"].as_array().unwrap().len();
    assert_eq!(after, conversations + 1, "/new opened another conversation");
}

#[tokio::test]
async fn a_group_shares_its_memory_only_when_configured() {
    for (memory, conversations) in [("asker", 2), ("group", 1)] {
        let platform = platform().await;
        let server = server(&platform, &format!("memory = \"{memory}\"")).await;
        for (count, who) in ["u1", "u2"].into_iter().enumerate() {
            ask(&platform, &server, &platform.message("cid1", true, who, DIRECT)).await;
            final_messages(&platform, count + 1).await;
        }
        let all = server.json("/api/v1/conversations", &server.admin).await;
        assert_eq!(all["conversations"].as_array().unwrap().len(), conversations, "{memory}");
    }
}

#[tokio::test]
async fn a_card_fills_up_and_ends_whatever_the_platform_does() {
    let platform = platform().await;
    let provider = Some(Arc::new(FakeProvider::start()));
    let slow: fn(&mut merchant_copilot::config::Config) = |config| config.models.default = "slow-1".into();
    let channels = bot(&platform, "card_template_id = \"t.schema\"");
    let server = Server::start(Setup { channels, provider, config: Some(slow), ..Setup::default() }).await;
    ask(&platform, &server, &platform.message("cid1", true, "u1", GROUNDED)).await;
    let card = final_messages(&platform, 1).await.remove(0);
    assert!(card.kind == "card" && card.state == "done" && card.updates >= 2 && card.at == ["u1"], "{card:?}");
    // Revoked in the middle, too fast at the end, and no card at all.
    platform.revoke_tokens();
    platform.fail_next(fault("/v1.0/card/streaming", 403, json!({"code": "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"})));
    ask(&platform, &server, &platform.message("cid2", true, "u1", GROUNDED)).await;
    assert_eq!(final_messages(&platform, 2).await[1].state, "done");
    platform.fail_next(fault(
        "/v1.0/card/instances/createAndDeliver",
        200,
        json!({"success": true, "result": {"deliverResults": [{"success": false}]}}),
    ));
    ask(&platform, &server, &platform.message("cid3", true, "u1", GROUNDED)).await;
    assert_eq!(final_messages(&platform, 3).await[2].kind, "message");
}

#[tokio::test]
async fn buttons_of_a_card_rate_its_answer_also_after_a_restart() {
    let platform = platform().await;
    let more = "mode = \"stream\"\ncard_template_id = \"t.schema\"";
    let mut server = server(&platform, more).await;
    platform.lines(1, PATIENCE).await.unwrap();
    platform.push(&platform.message("cid1", true, "u1", DIRECT), PATIENCE).await.unwrap();
    let card = final_messages(&platform, 1).await.remove(0).title;
    let press = async |who: &str, params: Value| platform.press(&card, who, &params, PATIENCE).await.unwrap()["response"].clone();
    let status = |answer: &Value| answer.pointer("/userPrivateData/cardParamMap/likeStatus").cloned();
    assert_eq!(status(&press("u1", json!({"action": "like"})).await), Some(json!("like")));
    assert_eq!(press("u2", json!({"action": "dislike"})).await, json!({}), "it was not u2 who asked");
    assert_eq!(press("u1", json!({"action": "open"})).await, json!({}));
    let rated = async |server: &Server| server.json("/api/v1/feedback", &server.admin).await["feedback"].clone();
    let feedback = rated(&server).await;
    assert_eq!((feedback.as_array().unwrap().len(), &feedback[0]["rating"], &feedback[0]["question"]), (1, &json!("up"), &json!(DIRECT)));
    server.stop();
    let again = Server::start(Setup { data_dir: Some(server.data_dir.clone()), channels: bot(&platform, more), ..Setup::default() }).await;
    platform.lines(2, PATIENCE).await.unwrap();
    let why = json!({"action": "dislike", "feedbacks": ["过时"], "feedbackinput": "金额不对"});
    assert_eq!(status(&press("u1", why).await), Some(json!("dislike")));
    let feedback = rated(&again).await;
    assert_eq!(
        (&feedback[0]["rating"], &feedback[0]["reasons"], &feedback[0]["comment"]),
        (&json!("down"), &json!(["过时"]), &json!("金额不对"))
    );
    assert_eq!(status(&press("u1", json!({"action": "cancel"})).await), Some(json!("")));
    assert_eq!(rated(&again).await, json!([]));
}

#[tokio::test]
async fn buttons_of_a_bot_that_is_called_back_are_signed_and_rate_as_well() {
    let platform = platform().await;
    let provider = Some(Arc::new(FakeProvider::start()));
    let slow: fn(&mut merchant_copilot::config::Config) = |config| config.models.default = "slow-1".into();
    let channels = bot(&platform, "card_template_id = \"t.schema\"\ncard_route_key = \"shop\"\ncard_secret = \"of-the-cards\"");
    let server = Server::start(Setup { channels, provider, config: Some(slow), ..Setup::default() }).await;
    ask(&platform, &server, &platform.message("cid1", true, "u1", GROUNDED)).await;
    let card = final_messages(&platform, 1).await.remove(0).title;
    let press = async |bot: &str, age: i64, secret: &str, who: &str| {
        let at = (Clock::system().now().0 - age).to_string();
        let request = server.request(reqwest::Method::POST, &format!("/webhooks/dingtalk/{bot}/cards"));
        let request = request.header("x-ddpaas-signature", sign_card(&at, &Secret::new(secret))).header("x-ddpaas-signature-timestamp", at);
        let answer = request.json(&LocalDingTalk::pressed(&card, who, &json!({"action": "like"}))).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    assert_eq!(press("none", 0, "of-the-cards", "u1").await.0, 404);
    assert_eq!(press("shop", 0, SECRET, "u1").await.0, 401);
    assert_eq!(press("shop", 3_600_001, "of-the-cards", "u1").await.1["error"]["code"], "stale_callback");
    assert_eq!(press("shop", 0, "of-the-cards", "u2").await, (200, json!({})), "it was not u2 who asked");
    let feedback = async || server.json("/api/v1/feedback", &server.admin).await["feedback"].clone();
    assert_eq!(feedback().await, json!([]));
    for _ in 0..2 {
        let (status, answer) = press("shop", 0, "of-the-cards", "u1").await;
        assert_eq!((status, answer.pointer("/userPrivateData/cardParamMap/likeStatus")), (200, Some(&json!("like"))));
    }
    let feedback = feedback().await;
    assert_eq!((feedback.as_array().unwrap().len(), &feedback[0]["rating"]), (1, &json!("up")), "{feedback}");
}

#[tokio::test]
async fn a_card_left_hanging_is_ended_by_the_next_start() {
    let platform = platform().await;
    let provider = Some(Arc::new(FakeProvider::start()));
    let endless: fn(&mut merchant_copilot::config::Config) = |config| {
        config.models.default = "endless-1".into();
        config.chat.drain_ms = 10;
    };
    let channels = bot(&platform, "card_template_id = \"t.schema\"");
    let mut server = Server::start(Setup { channels: channels.clone(), provider, config: Some(endless), ..Setup::default() }).await;
    let message = platform.message("cid1", true, "u1", GROUNDED);
    ask(&platform, &server, &message).await;
    platform.until(PATIENCE, |shown| shown.iter().any(|one| one.updates > 0)).await.unwrap();
    server.stop();
    assert_eq!(platform.shown()[0].state, "inputting", "it hangs");
    let again = Server::start(Setup { data_dir: Some(server.data_dir.clone()), channels, ..Setup::default() }).await;
    let shown = final_messages(&platform, 1).await;
    assert_eq!((shown.len(), shown[0].state), (1, "done"), "{shown:?}");
    assert!(shown[0].text.contains("出处"), "{shown:?}");
    assert_eq!(ask(&platform, &again, &message).await["msgtype"], "empty");
}

#[tokio::test]
async fn several_lines_stand_at_once_and_each_is_opened_again() {
    let platform = platform().await;
    let server = server(&platform, "mode = \"stream\"\nconnections = 3").await;
    platform.lines(3, PATIENCE).await.unwrap();
    platform.pull_the_plug().await.unwrap();
    platform.lines(4, PATIENCE).await.unwrap();
    let message = platform.message("cid1", true, "u1", DIRECT);
    for _ in 0..3 {
        assert_eq!(platform.push(&message, PATIENCE).await.unwrap()["code"], 200);
    }
    assert_eq!(final_messages(&platform, 1).await.len(), 1);
    drop(server);
}

#[tokio::test]
async fn an_answer_is_said_again_when_the_platform_is_back_and_never_when_it_may_have_arrived() {
    let platform = platform().await;
    let provider = Some(Arc::new(FakeProvider::start()));
    // Slow, so that no answer goes back in the callback's response.
    let slow: fn(&mut merchant_copilot::config::Config) = |config| config.models.default = "slow-1".into();
    let server = Server::start(Setup { channels: bot(&platform, ""), provider, config: Some(slow), ..Setup::default() }).await;
    platform.fail_next(fault(SESSION, 502, json!({})));
    platform.fail_next(fault(GROUP_SEND, 503, json!({})));
    ask(&platform, &server, &platform.message("cid1", true, "u1", GROUNDED)).await;
    let shown = final_messages(&platform, 1).await;
    assert!(shown.len() == 1 && shown[0].text.contains("出处"), "{shown:?}");
    // The platform itself does not know: the other way would say it twice.
    platform.fail_next(fault(SESSION, 504, json!({})));
    ask(&platform, &server, &platform.message("cid2", true, "u1", GROUNDED)).await;
    ask(&platform, &server, &platform.message("cid3", true, "u1", GROUNDED)).await;
    let shown = final_messages(&platform, 2).await;
    assert_eq!((shown.len(), platform.calls(GROUP_SEND)), (2, 0), "{shown:?}");
}

#[tokio::test]
async fn a_custom_robot_is_believed_by_the_platform() {
    let platform = platform().await;
    let address = Secret::new(format!("{}/robot/send?access_token=t", platform.base()));
    let notice = Post { title: "到期".into(), text: "3 条知识明天到期".into(), mention: Some(Mention { id: "boss".into() }) };
    let robot = CustomRobot::new(&address, Some(Secret::new(SECRET)), Clock::system()).unwrap();
    robot.say(&notice, "n1").await.unwrap();
    assert_eq!((platform.shown()[0].via, platform.shown()[0].at.as_slice()), ("robot", ["boss".to_owned()].as_slice()));
    let wrong = CustomRobot::new(&address, Some(Secret::new("wrong")), Clock::system()).unwrap();
    assert_eq!(wrong.say(&notice, "n2").await.unwrap_err().code(), "platform_refused");
}

#[tokio::test]
async fn an_answer_too_long_for_one_message_comes_in_numbered_pieces() {
    let platform = platform().await;
    let again = server_with_a_long_answer(&platform).await;
    ask(&platform, &again, &platform.message("cid1", true, "u1", "长答案的问题是什么？")).await;
    let shown = final_messages(&platform, 3).await;
    assert!(shown.len() == 3 && shown[0].title.ends_with("(1/3)") && shown[0].text.ends_with('。'), "{:?}", shown.len());
    assert_eq!(shown.iter().filter(|one| !one.at.is_empty()).count(), 1);
    assert_eq!(platform.calls(GROUP_SEND), 0);
}

#[tokio::test]
async fn a_month_that_is_nearly_used_up_is_kept_for_messages_also_after_a_restart() {
    let platform = platform().await;
    let more = "card_template_id = \"t.schema\"\ncalls_per_month = 10";
    let slow: fn(&mut merchant_copilot::config::Config) = |config| config.models.default = "slow-1".into();
    let start = |data_dir| {
        let provider = Some(Arc::new(FakeProvider::start()));
        Server::start(Setup { channels: bot(&platform, more), provider, config: Some(slow), data_dir, ..Setup::default() })
    };
    let mut server = start(None).await;
    let mut count = 0;
    let mut kinds = Vec::new();
    for round in 0..2 {
        for n in 0..3 {
            ask(&platform, &server, &platform.message(&format!("cid{round}{n}"), true, "u1", GROUNDED)).await;
            count += 1;
            let shown = final_messages(&platform, count).await;
            kinds.push((shown[count - 1].kind, shown[count - 1].via));
        }
        server.stop();
        server = start(Some(server.data_dir.clone())).await;
    }
    let cards = kinds.iter().filter(|kind| kind.0 == "card").count();
    assert!((1..=3).contains(&cards), "{kinds:?}");
    assert!(kinds[cards..].iter().all(|kind| *kind == ("message", "session")), "first cards, then messages: {kinds:?}");
    assert!((5..=10).contains(&platform.asked()), "{} calls of ten", platform.asked());
}

/// Waits until as many turns are taken of the first bot's month as its platform was asked: the last one is counted
/// a moment after its call was heard.
pub async fn all_are_counted(server: &Server, asked: impl Fn() -> usize) {
    let began = Instant::now();
    loop {
        let calls = server.json("/api/v1/bots", &server.admin).await["bots"][0]["calls"]["month_used"].clone();
        if calls == json!(asked()) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{calls} of {}", asked());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn as_many_turns_are_taken_as_calls_are_made() {
    for mode in ["webhook", "stream"] {
        let platform = platform().await;
        let more = format!("mode = \"{mode}\"\ncard_template_id = \"t.schema\"\ncalls_per_month = 100000\nduty_user = \"boss\"");
        let provider = Some(Arc::new(FakeProvider::start()));
        let slow: fn(&mut merchant_copilot::config::Config) = |config| config.models.default = "slow-1".into();
        let server = Server::start(Setup { channels: bot(&platform, &more), provider, config: Some(slow), ..Setup::default() }).await;
        let say = async |message: Value| match mode {
            "webhook" => drop(ask(&platform, &server, &message).await),
            _ => drop(platform.push(&message, PATIENCE).await.unwrap()),
        };
        say(platform.message("cid1", true, "u1", GROUNDED)).await;
        final_messages(&platform, 1).await;
        // The token is no good in the middle, an update comes too fast, a message goes by the API.
        platform.revoke_tokens();
        say(platform.message("cid2", true, "u1", GROUNDED)).await;
        platform.fail_next(fault("/v1.0/card/streaming", 429, json!({})));
        final_messages(&platform, 2).await;
        platform.fail_next(fault(SESSION, 403, json!({})));
        say(platform.message("cid3", true, "u1", "转人工")).await;
        final_messages(&platform, 4).await;
        all_are_counted(&server, || platform.asked()).await;
        assert!(platform.asked() > 6, "{mode}: {}", platform.asked());
    }
}

#[tokio::test]
async fn a_piece_that_may_be_lost_takes_none_of_the_others_along() {
    let platform = platform().await;
    let server = server_with_a_long_answer(&platform).await;
    // The first one may have arrived, so it is not said again.
    platform.fail_next(fault(SESSION, 504, json!({})));
    ask(&platform, &server, &platform.message("cid1", true, "u1", "长答案的问题是什么？")).await;
    let shown = final_messages(&platform, 2).await;
    assert_eq!(shown.iter().map(|one| &one.title[one.title.len() - 5..]).collect::<Vec<_>>(), ["(2/3)", "(3/3)"]);
    ask(&platform, &server, &platform.message("cid2", true, "u1", "/help")).await;
    final_messages(&platform, 3).await;
    // Nothing is wrong now, but what may be lost is not forgotten.
    let began = Instant::now();
    loop {
        let state = server.json("/api/v1/bots", &server.admin).await["bots"][0].clone();
        assert_eq!(state["last_error"]["code"], "platform_timeout", "{state}");
        if state["state"] == "ready" {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{state}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(platform.shown().iter().filter(|one| one.place == "cid1").count(), 2, "and nothing is said twice");
}

/// With an answer that takes three messages.
async fn server_with_a_long_answer(platform: &LocalDingTalk) -> Server {
    let mut server = server(platform, "").await;
    server.stop();
    let long = format!("id,question,answer,direct,category\nlong,长答案的问题是什么？,{},yes,x\n", "这是一句完整的规则说明。".repeat(700));
    let file = server.data_dir.join("long.csv");
    std::fs::write(&file, long).unwrap();
    super::process::run(&server.data_dir, [OsStr::new("kb"), OsStr::new("import"), file.as_os_str()]).done();
    Server::start(Setup { data_dir: Some(server.data_dir.clone()), channels: bot(platform, ""), ..Setup::default() }).await
}

#[tokio::test]
async fn a_persons_reply_reaches_the_asker_and_stays_with_the_conversation() {
    let platform = platform().await;
    let server = server(&platform, "duty_user = \"boss\"\nduty_group = \"cidDuty\"").await;
    let say = async |place: &str, who: &str, text: &str, quotes: bool| {
        let before = platform.shown().iter().filter(|one| one.place == place).count();
        let mut message = platform.message(place, true, who, text);
        message["text"]["isReplyMsg"] = json!(quotes);
        ask(&platform, &server, &message).await;
        let enough = |shown: &[Shown]| shown.iter().filter(|one| one.place == place).count() > before;
        let shown = platform.until(PATIENCE, enough).await.unwrap();
        shown.into_iter().rfind(|one| one.place == place).unwrap().text
    };
    assert!(say("cidDuty", "boss", "/answer 有人吗", false).await.contains("没有人在等"));
    say("cid1", "u1", UNKNOWN, false).await;
    assert!(say("cid1", "u1", "/human", false).await.contains("已经通知"));
    let alert = platform.shown().into_iter().rfind(|one| one.place == "cidDuty").unwrap().text;
    let code = alert.split("/回复 ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert!(say("cid1", "u1", &format!("/answer {code} 十五天"), false).await.contains("只有值班"));
    assert!(say("cidDuty", "u9", &format!("/回复 #{code} 量子计算机不能煮鸡蛋"), false).await.contains("已经转达"));
    let told = platform.shown().into_iter().rfind(|one| one.place == "cid1").unwrap();
    assert!(told.text.contains("人工答复") && told.text.contains("量子计算机不能煮鸡蛋") && told.at == ["u1"], "{told:?}");
    assert!(say("cidDuty", "u9", &format!("/回复 {code} 再说一次"), false).await.contains("已经有人答复"), "it is answered");
    // In the asker's own chat a reply that quotes and mentions the bot is enough.
    say("cid1", "u1", "转人工", false).await;
    // The only one who waits now is not who that code names.
    assert!(say("cidDuty", "u9", &format!("/回复 {code} 再说一次"), false).await.contains("已经有人答复"));
    assert!(say("cidDuty", "u9", "/回复 #zzzzz 再说一次", false).await.contains("请写明"));
    assert!(platform.shown().iter().all(|one| one.place != "cid1" || !one.text.contains("再说一次")));
    assert!(say("cid1", "boss", "明天有人联系您", true).await.contains("已经转达"));
    let all = server.json("/api/v1/conversations", &server.admin).await["conversations"].clone();
    let theirs = all.as_array().unwrap().iter().find(|one| one["title"] == UNKNOWN).unwrap();
    let path = format!("/api/v1/conversations/{}", theirs["id"].as_str().unwrap());
    let one = server.json(&path, &server.admin).await;
    let replies = one["replies"].as_array().unwrap();
    assert_eq!(replies.len(), 2, "{one}");
    assert_eq!(
        (&replies[0]["role"], &replies[0]["text"], &replies[0]["question"], &replies[0]["by"], &replies[0]["response_id"]),
        (&json!("human"), &json!("量子计算机不能煮鸡蛋"), &json!(UNKNOWN), &json!("u9"), &one["turns"][0]["id"])
    );
    assert_eq!(replies[1]["text"], "明天有人联系您");
    // What is deleted takes the call along.
    say("cid1", "u1", "转人工", false).await;
    server.request(reqwest::Method::DELETE, &path).bearer_auth(&server.admin).send().await.unwrap().error_for_status().unwrap();
    assert!(say("cidDuty", "u9", "/answer 知道了", false).await.contains("没有人在等"));
}
