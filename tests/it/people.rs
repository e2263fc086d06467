//! A person behind a bot: told once, also after a failure; what they reply reaches the asker once, whole, and is
//! never lost silently, whatever the platform does.

use merchant_copilot::http::local_dingtalk::{LocalDingTalk, Shown};
use serde_json::{Value, json};

use super::dingtalk::{ask, fault, platform, server};
use super::server::{PATIENCE, Server};

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
