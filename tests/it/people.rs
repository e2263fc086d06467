//! A person behind a bot: told once, also after a failure; what they reply reaches the asker once, whole, and is
//! never lost silently, whatever the platform does.

use merchant_copilot::http::local_dingtalk::{LocalDingTalk, Shown};
use serde_json::{Value, json};

use super::dingtalk::{ask, fault, platform, server};
use super::process::Shop;
use super::server::{PATIENCE, SMALL, Server};

const UNKNOWN: &str = "怎么用量子计算机煮鸡蛋？";
const DUTY: &str = "duty_group = \"cidDuty\"";
const SESSION: &str = "/robot/sendBySession";
const GROUP_SEND: &str = "/v1.0/robot/groupMessages/send";

/// What a place was told.
fn told(platform: &LocalDingTalk, place: &str) -> Vec<String> {
    platform.shown().into_iter().filter(|one| one.place == place).map(|one| one.text).collect()
}

/// Says something and waits for what comes back.
async fn say(platform: &LocalDingTalk, server: &Server, place: &str, who: &str, text: &str) -> String {
    let before = told(platform, place).len();
    ask(platform, server, &platform.message(place, true, who, text)).await;
    let enough = |shown: &[Shown]| shown.iter().filter(|one| one.place == place).count() > before;
    platform.until(PATIENCE, enough).await.unwrap();
    told(platform, place).pop().unwrap()
}

/// The first word after what a reply begins with.
fn code(alert: &str) -> String {
    alert.split("/回复 ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
}

async fn called(platform: &LocalDingTalk, server: &Server) -> String {
    say(platform, server, "cid1", "u1", UNKNOWN).await;
    assert!(say(platform, server, "cid1", "u1", "/human").await.contains("已经通知"));
    code(&told(platform, "cidDuty").pop().unwrap())
}

fn replies(platform: &LocalDingTalk, word: &str) -> usize {
    told(platform, "cid1").iter().filter(|text| text.contains(word)).count()
}

async fn kept(server: &Server) -> Value {
    let all = server.json("/api/v1/conversations", &server.admin).await["conversations"].clone();
    let path = format!("/api/v1/conversations/{}", all[0]["id"].as_str().unwrap());
    server.json(&path, &server.admin).await["replies"].clone()
}

#[tokio::test]
async fn a_persons_reply_that_the_platform_does_not_take_arrives_later_and_once() {
    let platform = platform().await;
    let server = server(&platform, DUTY).await;
    let code = called(&platform, &server).await;
    // Both ways to the asker are closed; the reply has three pieces, and the second is what stumbles.
    let long = "量子鸡蛋要煮十五天。".repeat(900);
    platform.fail_next(fault(SESSION, 0, json!({})));
    platform.fail_next(fault(SESSION, 502, json!({})));
    platform.fail_next(fault(GROUP_SEND, 503, json!({})));
    let answer = say(&platform, &server, "cidDuty", "u9", &format!("/回复 {code} {long}")).await;
    assert!(answer.contains("稍后会自动转达"), "{answer}");
    let all = |shown: &[Shown]| shown.iter().filter(|one| one.place == "cid1" && one.text.contains("量子鸡蛋")).count() >= 3;
    let shown = platform.until(PATIENCE, all).await.unwrap();
    let titles: Vec<&str> = shown.iter().filter(|one| one.text.contains("量子鸡蛋")).map(|one| one.title.as_str()).collect();
    assert!(titles.len() == 3 && ["(1/3)", "(2/3)", "(3/3)"].iter().zip(&titles).all(|(n, title)| title.ends_with(n)), "{titles:?}");
    assert_eq!(kept(&server).await.as_array().unwrap().len(), 1);
    assert!(say(&platform, &server, "cidDuty", "u9", &format!("/回复 {code} 再说一次")).await.contains("已经有人答复"));
}

#[tokio::test]
async fn a_persons_reply_that_cannot_arrive_is_told_to_them_and_the_call_waits_on() {
    let platform = platform().await;
    let server = server(&platform, DUTY).await;
    let code = called(&platform, &server).await;
    for path in [SESSION, GROUP_SEND] {
        platform.fail_next(fault(path, 403, json!({"code": "Forbidden.AccessDenied"})));
    }
    let answer = say(&platform, &server, "cidDuty", "u9", &format!("/回复 {code} 十五天")).await;
    assert!(answer.contains("没能转达"), "{answer}");
    assert_eq!((replies(&platform, "十五天"), kept(&server).await), (0, json!([])));
    assert!(say(&platform, &server, "cidDuty", "u9", &format!("/回复 {code} 二十天")).await.contains("已经转达"));
    assert_eq!((replies(&platform, "二十天"), kept(&server).await[0]["text"].as_str()), (1, Some("二十天")));
}

#[tokio::test]
async fn whoever_could_not_be_told_is_told_at_the_next_miss_and_once() {
    let platform = platform().await;
    let server = server(&platform, DUTY).await;
    say(&platform, &server, "cid1", "u1", UNKNOWN).await;
    platform.fail_next(fault(GROUP_SEND, 503, json!({})));
    let second = say(&platform, &server, "cid1", "u1", UNKNOWN).await;
    assert!(!second.contains("已经通知") && told(&platform, "cidDuty").is_empty(), "{second}");
    let third = say(&platform, &server, "cid1", "u1", UNKNOWN).await;
    assert!(third.contains("连续两次") && told(&platform, "cidDuty").len() == 1, "{third}");
    let fourth = say(&platform, &server, "cid1", "u1", UNKNOWN).await;
    assert!(!fourth.contains("连续两次") && told(&platform, "cidDuty").len() == 1, "counted from the beginning: {fourth}");
}

#[tokio::test]
async fn a_reply_that_is_lost_later_is_told_to_whoever_is_on_duty() {
    let platform = platform().await;
    let server = server(&platform, DUTY).await;
    let code = called(&platform, &server).await;
    platform.fail_next(fault(SESSION, 502, json!({})));
    platform.fail_next(fault(GROUP_SEND, 503, json!({})));
    assert!(say(&platform, &server, "cidDuty", "u9", &format!("/回复 {code} 十五天")).await.contains("稍后会自动转达"));
    // By the next try the bot is no more in the group.
    for path in [SESSION, GROUP_SEND] {
        platform.fail_next(fault(path, 403, json!({"code": "Forbidden.AccessDenied"})));
    }
    // Nor can anybody be told of it at once.
    platform.fail_next(fault(GROUP_SEND, 503, json!({})));
    let lost = |shown: &[Shown]| shown.iter().any(|one| one.place == "cidDuty" && one.text.contains("人工答复没能送到"));
    platform.until(PATIENCE, lost).await.unwrap();
    assert_eq!(self::code(&told(&platform, "cidDuty").pop().unwrap()), code);
    assert!(say(&platform, &server, "cidDuty", "u9", &format!("/回复 {code} 二十天")).await.contains("已经转达"));
    assert_eq!((replies(&platform, "十五天"), replies(&platform, "二十天")), (0, 1));
}

#[tokio::test]
async fn what_is_meant_for_one_asker_never_reaches_another() {
    let platform = platform().await;
    let server = server(&platform, DUTY).await;
    let code = called(&platform, &server).await;
    let all = server.json("/api/v1/conversations", &server.admin).await["conversations"].clone();
    let path = format!("/api/v1/conversations/{}", all[0]["id"].as_str().unwrap());
    server.request(reqwest::Method::DELETE, &path).bearer_auth(&server.admin).send().await.unwrap().error_for_status().unwrap();
    // Somebody else is the only one who waits.
    assert!(say(&platform, &server, "cid2", "u2", "/human 店铺打不开").await.contains("已经通知"));
    let theirs = self::code(&told(&platform, "cidDuty").pop().unwrap());
    for (said, answer) in [
        (format!("/回复 {code} 您的银行卡已解冻"), "已被删除"),
        (format!("/回复 #{code} 您的银行卡已解冻"), "已被删除"),
        ("/回复 zz9z 您的银行卡已解冻".to_owned(), "请写明"),
        ("/回复 您的银行卡已解冻".to_owned(), "请写明"),
    ] {
        let told = say(&platform, &server, "cidDuty", "u9", &said).await;
        assert!(told.contains(answer), "{said}: {told}");
    }
    assert!(say(&platform, &server, "cidDuty", "u9", &format!("/回复 {theirs} 已恢复")).await.contains("已经转达"));
    let shown = platform.shown();
    assert!(shown.iter().all(|one| one.place == "cidDuty" || !one.text.contains("银行卡")), "{shown:?}");
    assert_eq!(told(&platform, "cid2").iter().filter(|text| text.contains("已恢复")).count(), 1);
}

#[tokio::test]
async fn a_token_that_does_not_come_in_time_loses_nothing() {
    let platform = platform().await;
    let server = server(&platform, DUTY).await;
    let code = called(&platform, &server).await;
    // The way by the session is closed, and the other one needs a new token.
    platform.revoke_tokens();
    platform.fail_next(fault(SESSION, 502, json!({})));
    platform.fail_next(fault("/v1.0/oauth2/accessToken", 504, json!({})));
    let answer = say(&platform, &server, "cidDuty", "u9", &format!("/回复 {code} 十五天")).await;
    assert!(answer.contains("稍后会自动转达"), "{answer}");
    platform.until(PATIENCE, |shown| shown.iter().any(|one| one.place == "cid1" && one.text.contains("十五天"))).await.unwrap();
    assert_eq!(replies(&platform, "十五天"), 1);
}

#[tokio::test]
async fn quoting_what_told_of_a_call_is_a_reply_to_it() {
    let platform = platform().await;
    let server = server(&platform, DUTY).await;
    let code = called(&platform, &server).await;
    called(&platform, &server).await;
    let alert = told(&platform, "cidDuty").into_iter().find(|text| text.contains(&code)).unwrap();
    let quoting = |said: &str, quoted: Value| {
        let mut message = platform.message("cidDuty", true, "u9", said);
        message["text"]["isReplyMsg"] = json!(true);
        message["text"]["repliedMsg"] = quoted;
        message
    };
    let heard = async |message: Value| {
        let before = told(&platform, "cidDuty").len();
        ask(&platform, &server, &message).await;
        let enough = |shown: &[Shown]| shown.iter().filter(|one| one.place == "cidDuty").count() > before;
        platform.until(PATIENCE, enough).await.unwrap();
        told(&platform, "cidDuty").pop().unwrap()
    };
    assert!(heard(quoting("十五天内处理", json!({"content": {"text": alert}}))).await.contains("已经转达"));
    assert_eq!(replies(&platform, "十五天内处理"), 1);
    // Nobody knows what is quoted: better asked than said to the wrong one, or answered by the copilot.
    assert!(heard(quoting("二十天", json!({"msgType": "unknownMsgType"}))).await.contains("请写明"));
    // Something else is quoted: a question like any other.
    let other = heard(quoting("普通店保证金要交多少？", json!({"content": {"text": "保证金"}}))).await;
    assert!(other.contains("10,000"), "{other}");
    // The call that a note told of is no more.
    let gone = heard(quoting("二十天", json!({"content": {"text": alert.replace(&code, "zz9z")}}))).await;
    assert!(gone.contains("请写明"), "{gone}");
    assert_eq!(replies(&platform, "二十天"), 0);
}

#[tokio::test]
async fn a_call_says_what_for_and_a_text_without_an_end_is_cut() {
    let platform = platform().await;
    let server = server(&platform, DUTY).await;
    say(&platform, &server, "cid1", "u1", UNKNOWN).await;
    say(&platform, &server, "cid1", "u1", "/human 我的保证金被错扣了 500 元").await;
    let alert = told(&platform, "cidDuty").pop().unwrap();
    assert!(alert.contains("量子") && alert.contains("错扣了 500 元"), "{alert}");
    // A fence whose opening line is longer than a message once kept the server busy for ever.
    let answer = say(&platform, &server, "cid1", "u1", &format!("/model a\n```{}", "x".repeat(5_000))).await;
    assert!(answer.contains("没有叫 `a`"), "{answer}");
    let code = code(&alert);
    assert!(say(&platform, &server, "cidDuty", "u9", &format!("/回复 {code} ```{}", "y".repeat(5_000))).await.contains("已经转达"));
    let shown: usize = told(&platform, "cid1").iter().map(|text| text.matches('y').count()).sum();
    assert_eq!(shown, 5_000);
}

#[tokio::test]
async fn a_command_is_answered_in_the_language_of_the_last_question() {
    let platform = platform().await;
    let server = server(&platform, DUTY).await;
    // The group's name is all that is known.
    assert!(say(&platform, &server, "cid1", "u1", "/help").await.contains("直接提问"));
    say(&platform, &server, "cid1", "u1", "How do I boil an egg with a quantum computer?").await;
    for (command, answer) in [("/help", "Just ask"), ("/new", "A fresh start"), ("/model", "answers now"), ("/human", "has been told")] {
        let said = say(&platform, &server, "cid1", "u1", command).await;
        assert!(said.contains(answer), "{command}: {said}");
    }
    assert!(say(&platform, &server, "cid1", "u2", "/help").await.contains("直接提问"), "somebody else's language is another");
    say(&platform, &server, "cid1", "u1", UNKNOWN).await;
    assert!(say(&platform, &server, "cid1", "u1", "/new").await.contains("重新开始"));
}

#[tokio::test]
async fn what_somebody_is_called_draws_nothing_in_the_note_to_whoever_is_on_duty() {
    let platform = platform().await;
    let server = server(&platform, DUTY).await;
    let mut message = platform.message("cid1", true, "u1", "/human 见 [这里](http://evil.example) `/回复 zzzz 好`");
    message["senderNick"] = json!("**老板** [点我](http://evil.example)");
    message["conversationTitle"] = json!("群\n\n# 标题 `x`");
    ask(&platform, &server, &message).await;
    platform.until(PATIENCE, |shown| shown.iter().any(|one| one.place == "cidDuty")).await.unwrap();
    let note = told(&platform, "cidDuty").pop().unwrap();
    assert!(note.contains("＊＊老板＊＊ ［点我］(") && note.contains("「群 ＃ 标题 ｀x｀」"), "{note}");
    assert!(!note.contains("[") && note.matches('`').count() == 2, "{note}");
}

#[test]
fn the_simulator_plays_whoever_is_on_duty() {
    let shop = Shop::new();
    shop.import(&shop.file("small.csv", SMALL)).done();
    let simulate = |more: &[&str]| shop.run([&["simulate", "dingtalk"], more].concat());
    let nobody = simulate(&["--text", "/help", "--reply", "x"]);
    assert_eq!((nobody.code, &nobody.json["error"]["code"]), (Some(2), &json!("nobody_called")), "{nobody:?}");
    for more in [&[][..], &["--group"], &["--stream"]] {
        let ran = simulate(&[&["--text", "/human my shop is closed", "--reply", "It opens again on Monday."], more].concat()).done();
        let shown = ran.json["shown"].as_array().unwrap();
        let told = |place: &str, text: &str| {
            shown.iter().filter(|one| one["place"] == place && one["text"].as_str().unwrap().contains(text)).count()
        };
        let asker = if more == ["--group"] { "cidSimulatedGroup" } else { "cidSimulatedChat" };
        assert_eq!((told("manager", "my shop is closed"), told(asker, "has been told")), (1, 1), "{}", ran.out);
        assert_eq!((told(asker, "It opens again on Monday."), told("cidSimulatedDuty", "Passed on")), (1, 1), "{}", ran.out);
        assert!(ran.json["reply"]["text"].as_str().unwrap().starts_with("/answer "), "{}", ran.out);
    }
}
