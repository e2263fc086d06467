//! What a bot must refuse or survive: each kind of it is one line of the log, with the bot's name and a stable code,
//! however often it comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use merchant_copilot::channels::dingtalk::sign::{sign, sign_card};
use merchant_copilot::config::{ChannelsConfig, Config, Secret};
use merchant_copilot::http::local_dingtalk::LocalDingTalk;
use merchant_copilot::ids::Clock;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::dingtalk::{fault, final_messages, platform};
use super::fake_provider::FakeProvider;
use super::logbook;
use super::server::{PATIENCE, Server, Setup};

const SECRET: &str = "a-secret-of-the-app";
const SESSION: &str = "/robot/sendBySession";
const GROUP_SEND: &str = "/v1.0/robot/groupMessages/send";
/// Slow, so that no answer goes back in the callback's response.
const SLOW: fn(&mut Config) = |config| config.models.default = "slow-1".into();
const GROUNDED: &str = "跨境包裹的面单在哪里打印";

/// How many lines there are of each code about these bots.
fn codes(bot: &str) -> BTreeMap<String, usize> {
    let mut codes = BTreeMap::new();
    for line in logbook::about(bot) {
        *codes.entry(line.code).or_default() += 1;
    }
    codes
}

fn once<const N: usize>(codes: [&str; N]) -> BTreeMap<String, usize> {
    codes.into_iter().map(|code| (code.to_owned(), 1)).collect()
}

fn now() -> i64 {
    Clock::system().now().0
}

fn signed(request: RequestBuilder, at: i64, secret: &str) -> RequestBuilder {
    request.header("timestamp", at.to_string()).header("sign", sign(&at.to_string(), &Secret::new(secret)))
}

/// A bot of DingTalk with this name and keys of its own.
fn bot(platform: &LocalDingTalk, name: &str, more: &str) -> ChannelsConfig {
    let (base, host) = (platform.base(), platform.base().replace("http://", ""));
    let table =
        format!("client_id = \"dingapp\"\nclient_secret = \"{SECRET}\"\napi_base = \"{base}\"\nsession_webhook_hosts = [\"{host}\"]");
    toml::from_str(&format!("[dingtalk.{name}]\n{table}\n{more}\n")).unwrap()
}

#[tokio::test]
async fn what_a_dingtalk_bot_refuses_is_logged_once_with_its_name() {
    logbook::open();
    let platform = platform().await;
    let channels = bot(&platform, "loud", "card_route_key = \"r\"\ncard_secret = \"of-the-cards\"");
    let server = Server::start(Setup { channels, ..Setup::default() }).await;
    let post = |path: &str| server.request(Method::POST, path);
    let (address, message) = ("/webhooks/dingtalk/loud", platform.message("cid1", true, "u1", "/help"));
    for _ in 0..3 {
        let refused = [
            (signed(post(address), now(), "another").json(&message), 401),
            (signed(post(address), now() - 3_600_001, SECRET).json(&message), 401),
            (signed(post(address), now(), SECRET).body("no json"), 400),
            (signed(post(address), now(), SECRET).body("{}"), 400),
        ];
        for (request, status) in refused {
            assert_eq!(request.send().await.unwrap().status(), status);
        }
        // It is refused before all of it is read, so that the refusal may come as a closed connection.
        let large = signed(post(address), now(), SECRET).body("x".repeat(5 << 20)).send().await;
        assert!(large.as_ref().map_or_else(reqwest::Error::is_request, |answer| answer.status() == 413), "{large:?}");
    }
    assert_eq!(codes("dingtalk/loud"), once(["bad_signature", "stale_callback", "bad_callback", "body_too_large"]));
    assert!(logbook::about("dingtalk/loud").iter().all(|line| line.level == Some(tracing::Level::WARN)));

    // Let in, and still nothing to be answered, or not again, or only politely.
    let hologram = json!({"msgtype": "hologram", "content": {}});
    for n in 0..3 {
        let odd = [message.clone(), {
            let mut odd = platform.message(&format!("cid2{n}"), true, "u1", "x");
            odd.as_object_mut().unwrap().extend(hologram.as_object().unwrap().clone());
            odd
        }];
        for message in odd {
            assert_eq!(signed(post(address), now(), SECRET).json(&message).send().await.unwrap().status(), 200);
        }
    }
    final_messages(&platform, 0).await;
    let mut expected = once(["bad_signature", "stale_callback", "bad_callback", "body_too_large"]);
    expected.extend(once(["message_repeated", "message_unreadable"]));
    assert_eq!(codes("dingtalk/loud"), expected);

    // A forged button is a forged callback of that bot; so that its line can be told apart, of another one.
    let buttons = Server::start(Setup {
        channels: bot(&platform, "pressed", "card_route_key = \"r\"\ncard_secret = \"of-the-cards\""),
        ..Setup::default()
    })
    .await;
    for secret in ["another", "another", SECRET] {
        let at = now().to_string();
        let request = buttons.request(Method::POST, "/webhooks/dingtalk/pressed/cards");
        let request = request.header("x-ddpaas-signature", sign_card(&at, &Secret::new(secret))).header("x-ddpaas-signature-timestamp", at);
        let pressed = request.json(&LocalDingTalk::pressed("card_1", "u1", &json!({"action": "like"}))).send().await.unwrap();
        assert_eq!(pressed.status(), 401);
    }
    assert_eq!(codes("dingtalk/pressed"), once(["bad_signature"]));
    let state = buttons.json("/api/v1/bots", &buttons.admin).await["bots"][0].clone();
    assert_eq!(state["refused"]["code"], "bad_signature", "{state}");
}

#[tokio::test]
async fn a_bot_that_is_not_configured_is_one_line_whatever_names_are_tried() {
    logbook::open();
    let server = Server::start(Setup::default()).await;
    for platform in ["dingtalk", "feishu", "slack", "wecom"] {
        for n in 0..20 {
            let path = format!("/webhooks/{platform}/ghost-{n}%0AERROR");
            let answer = server.request(Method::POST, &path).body("{}").send().await.unwrap();
            assert_eq!(answer.status(), 404);
        }
        let lines = logbook::about(&format!("{platform}/ghost"));
        assert_eq!(
            (lines.len(), lines[0].code.as_str(), lines[0].bot.as_str()),
            (1, "bot_not_found", format!("{platform}/ghost-0ERROR").as_str())
        );
    }
}

#[tokio::test]
async fn what_the_other_platforms_bots_refuse_is_logged_once_with_their_names() {
    logbook::open();
    let channels: ChannelsConfig = toml::from_str(
        "[feishu.loud]\napp_id = \"a\"\napp_secret = \"s\"\nverification_token = \"tok\"\n[slack.loud]\nbot_token = \"x\"\nsigning_secret = \"s\"\n\
         [wecom.loud]\ntoken = \"t\"\nencoding_aes_key = \"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG\"\n",
    )
    .unwrap();
    let server = Server::start(Setup { channels, ..Setup::default() }).await;
    let event = |token: &str, at: i64| {
        let header = json!({"token": token, "create_time": at.to_string(), "event_type": "im.message.receive_v1"});
        json!({"schema": "2.0", "header": header, "event": {}}).to_string()
    };
    let old = now() - 8 * 24 * 3_600_000;
    let large = "x".repeat(1 << 18);
    for _ in 0..3 {
        let feishu = [("no json".to_owned(), 400), (event("another", now()), 401), (event("tok", old), 401), (large.clone(), 413)];
        for (body, status) in feishu {
            let answer = server.request(Method::POST, "/webhooks/feishu/loud").body(body).send().await.unwrap();
            assert_eq!(answer.status(), status);
        }
        for (platform, body, status) in [
            ("slack", "{}", 401),
            ("slack", large.as_str(), 413),
            ("wecom", r#"{"encrypt": "x"}"#, 401),
            ("wecom", "no json", 400),
            ("wecom", large.as_str(), 413),
        ] {
            let answer = server.request(Method::POST, &format!("/webhooks/{platform}/loud")).body(body.to_owned()).send().await.unwrap();
            assert_eq!(answer.status(), status, "{platform}");
        }
        let twice = server.request(Method::POST, "/webhooks/wecom/loud?nonce=1&nonce=2").body("{}").send().await.unwrap();
        assert_eq!(twice.status(), 401);
    }
    assert_eq!(codes("feishu/loud"), once(["bad_callback", "bad_signature", "stale_callback", "body_too_large"]));
    assert_eq!(codes("slack/loud"), once(["bad_signature", "body_too_large"]));
    assert_eq!(codes("wecom/loud"), once(["bad_callback", "bad_signature", "body_too_large"]));
}

#[tokio::test]
async fn what_a_bot_survives_of_its_platform_is_logged_once_with_its_name() {
    logbook::open();
    let platform = platform().await;
    let provider = Some(Arc::new(FakeProvider::start()));
    let channels = bot(&platform, "tough", "");
    let server = Server::start(Setup { channels, provider, config: Some(SLOW), ..Setup::default() }).await;
    let mut count = 0;
    let mut ask = async |change: &dyn Fn(&mut Value)| {
        let mut message = platform.message(&format!("cid{count}"), true, "u1", GROUNDED);
        change(&mut message);
        let answer = signed(server.request(Method::POST, "/webhooks/dingtalk/tough"), now(), SECRET).json(&message).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        count += 1;
        final_messages(&platform, count).await;
    };
    for _ in 0..2 {
        ask(&|message| message["sessionWebhook"] = json!("http://169.254.169.254/latest")).await;
        platform.fail_next(fault(SESSION, 429, json!({})));
        ask(&|_| {}).await;
        platform.fail_next(fault(SESSION, 500, json!({})));
        ask(&|_| {}).await;
        platform.fail_next(fault(SESSION, 403, json!({})));
        ask(&|_| {}).await;
        platform.fail_next(fault(SESSION, 200, json!({"errcode": 310_000, "errmsg": "no"})));
        ask(&|_| {}).await;
        platform.revoke_tokens();
        platform.fail_next(fault(SESSION, 403, json!({})));
        ask(&|_| {}).await;
    }
    let expected =
        ["webhook_refused", "platform_busy", "platform_error", "platform_forbidden", "platform_refused", "platform_unauthorized"];
    assert_eq!(codes("dingtalk/tough"), once(expected));
    assert_eq!(platform.shown().len(), count, "and every message was answered once");
    assert!(platform.calls(GROUP_SEND) >= 8);
}

#[tokio::test]
async fn a_stream_logs_with_the_bots_name_and_a_used_up_quota_shows_in_its_state() {
    logbook::open();
    let platform = platform().await;
    let server = Server::start(Setup { channels: bot(&platform, "river", "mode = \"stream\""), ..Setup::default() }).await;
    platform.lines(1, PATIENCE).await.unwrap();
    let state = async || server.json("/api/v1/bots", &server.admin).await["bots"][0].clone();
    let becomes = async |wanted: &str| {
        let began = Instant::now();
        loop {
            let now = state().await;
            if now["state"] == wanted {
                return now;
            }
            assert!(began.elapsed() < PATIENCE, "not {wanted}: {now}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    for _ in 0..3 {
        let unreadable = platform.push(&json!({"msgtype": "text"}), PATIENCE).await.unwrap();
        let spent = platform.push(&json!({"msgId": "m", "errorCode": "20001"}), PATIENCE).await.unwrap();
        assert_eq!((&unreadable["code"], &spent["code"]), (&json!(200), &json!(200)), "they would be the same the next time");
    }
    let failing = becomes("failing").await;
    assert_eq!(failing["last_error"]["code"], "callback_quota_spent", "{failing}");
    let lines = logbook::about("dingtalk/river");
    assert!(lines.iter().any(|line| line.text.contains("line is open")), "{lines:?}");
    assert_eq!(
        codes("dingtalk/river").into_iter().filter(|(code, _)| !code.is_empty()).collect::<BTreeMap<_, _>>(),
        once(["bad_callback", "callback_quota_spent"])
    );
    platform.push(&platform.message("cid1", true, "u1", "/help"), PATIENCE).await.unwrap();
    assert_eq!(becomes("connected").await["last_error"], Value::Null);
    drop(server);
}
