//! Many at once and much gone wrong: fifty groups within one quota, a line that ends a hundred times, two nodes
//! that hear the same message, a platform that stumbles. Everything is answered, and once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use merchant_copilot::config::Config;
use merchant_copilot::http::local_dingtalk::{Fault, LocalDingTalk, Shown};
use serde_json::{Value, json};

use super::dingtalk::{DIRECT, GROUNDED, address, bot, fault, final_messages, platform, server};
use super::fake_provider::FakeProvider;
use super::server::{PATIENCE, Server, Setup};

const SLOW: fn(&mut Config) = |config| config.models.default = "slow-1".into();
const CARD: &str = "card_template_id = \"t.schema\"";
const STREAMING: &str = "/v1.0/card/streaming";
/// Under every answer from the base.
const SOURCES: &str = "出处";

async fn slow_server(platform: &LocalDingTalk, more: &str) -> Server {
    let provider = Some(Arc::new(FakeProvider::start()));
    Server::start(Setup { channels: bot(platform, more), provider, config: Some(SLOW), ..Setup::default() }).await
}

/// How often each place was told something that `says` accepts.
fn told(shown: &[Shown], says: impl Fn(&Shown) -> bool) -> BTreeMap<&str, usize> {
    let mut places = BTreeMap::new();
    for one in shown {
        *places.entry(one.place.as_str()).or_default() += usize::from(says(one));
    }
    places
}

/// What the platform allows, and what each group needs of it: an opening and an end. No card waits for more calls
/// than those of all groups and as many updates; how long that takes is the machine's, which looks up and answers
/// fifty questions at once.
#[tokio::test]
async fn fifty_groups_at_once_stay_within_the_quota_and_none_waits_more_than_its_share() {
    const GROUPS: usize = 50;
    const ALLOWED: usize = 20;
    const SHARE: usize = GROUPS * 2;
    let platform = platform().await;
    platform.allow_per_second(ALLOWED);
    let server = slow_server(&platform, CARD).await;
    let (began, address) = (Instant::now(), address(&server));
    let messages: Vec<Value> = (0..GROUPS).map(|n| platform.message(&format!("cid{n}"), true, "u1", GROUNDED)).collect();
    let answers = join_all(messages.iter().map(|message| platform.callback(&address, message))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().0 == 200));
    final_messages(&platform, GROUPS).await;
    tokio::time::sleep(Duration::from_secs(1)).await;

    let shown = platform.shown();
    let cards: Vec<&Shown> = shown.iter().filter(|one| one.kind == "card").collect();
    assert!(shown.iter().all(|one| one.is_final() && one.state != "failed" && one.text.contains(SOURCES)), "{shown:?}");
    let places = told(&shown, |_| true);
    assert!(places.len() == GROUPS && places.values().all(|answers| *answers == 1), "one answer a group: {places:?}");
    assert!(cards.len() > GROUPS / 2, "{} cards", cards.len());
    assert!(platform.refused() == 0 && platform.busiest_second() <= ALLOWED, "{} refused", platform.refused());

    let mut waits: Vec<Duration> = shown.iter().map(|one| one.times.last().unwrap().duration_since(began)).collect();
    waits.sort_unstable();
    let (first, median, last) = (waits[0], waits[GROUPS / 2], waits[GROUPS - 1]);
    let stills =
        cards.iter().flat_map(|card| card.times.windows(2).map(|pair| (pair[1] - pair[0], platform.calls_between(pair[0], pair[1]))));
    let (still, ahead) = stills.fold((Duration::ZERO, 0), |most, one| (most.0.max(one.0), most.1.max(one.1)));
    println!(
        "{GROUPS} groups: {} cards with {} updates, {} messages; at most {} calls in any second of {ALLOWED}; answered after \
         {first:.1?} to {last:.1?}, half of them within {median:.1?}; no card stood still for more than {still:.1?} or {ahead} calls",
        cards.len(),
        cards.iter().map(|card| card.updates).sum::<usize>(),
        shown.len() - cards.len(),
        platform.busiest_second(),
    );
    assert!(ahead <= SHARE * 2, "a card waited for {ahead} calls of others");
}

#[tokio::test]
async fn the_stream_survives_a_hundred_ends_and_answers_everything_once() {
    let platform = platform().await;
    let server = server(&platform, "mode = \"stream\"").await;
    platform.lines(1, PATIENCE).await.unwrap();
    let (mut late, mut count) = (Vec::new(), 0);
    for n in 0..100 {
        // What is no message, now and then; an unknown topic is no reason to deliver it for ever.
        if n % 10 == 0 {
            let data = json!({"opaque": format!("o{n}")});
            let pinged = platform.frame("SYSTEM", "ping", &data).await.unwrap();
            let pong = platform.acknowledged(&pinged, PATIENCE).await.unwrap();
            assert_eq!((&pong["code"], &pong["data"]), (&json!(200), &json!(data.to_string())));
            let odd = [("CALLBACK", "/v1.0/unknown", 404), ("EVENT", "*", 200), ("CALLBACK", "/v1.0/card/instances/callback", 200)];
            for (kind, topic, code) in odd {
                let id = platform.frame(kind, topic, &json!({})).await.unwrap();
                assert_eq!(platform.acknowledged(&id, PATIENCE).await.unwrap()["code"], code, "{topic}");
            }
            for quiet in ["KEEPALIVE", "CONNECTED", "whatever"] {
                platform.frame("SYSTEM", quiet, &json!({})).await.unwrap();
            }
        }
        // Each in a place of its own, so that a missing answer cannot be made up for by a doubled one.
        let text = if n % 10 == 0 { DIRECT } else { "/help" };
        let message = platform.message(&format!("cid{n}"), true, "u1", text);
        count += 1;
        if n % 7 == 0 {
            // Written now, delivered some lines later.
            late.push(message);
        } else {
            let acknowledged = Instant::now();
            let (once, twice) = tokio::join!(platform.push(&message, PATIENCE), platform.push(&message, PATIENCE));
            assert_eq!((&once.unwrap()["code"], &twice.unwrap()["code"]), (&json!(200), &json!(200)));
            assert!(acknowledged.elapsed() < Duration::from_secs(5));
        }
        if n % 3 == 0 {
            platform.pull_the_plug().await.unwrap();
        } else {
            platform.frame("SYSTEM", "disconnect", &json!({"reason": "rolling"})).await.unwrap();
        }
        platform.lines(n + 2, PATIENCE).await.unwrap();
        // Delivered again over the new line, also what was late before.
        if n % 5 == 4 {
            for message in &late {
                assert_eq!(platform.push(message, PATIENCE).await.unwrap()["code"], 200);
            }
        }
    }
    for message in &late {
        assert_eq!(platform.push(message, PATIENCE).await.unwrap()["code"], 200);
    }
    final_messages(&platform, count).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let shown = platform.shown();
    let places = told(&shown, |_| true);
    assert!(places.len() == count && places.values().all(|answers| *answers == 1), "{places:?}");
    drop(server);
}

#[tokio::test]
async fn two_nodes_that_hear_the_same_message_answer_it_once() {
    let Some(url) = super::postgres_database("two_nodes").await else { return };
    let platform = platform().await;
    let provider = Arc::new(FakeProvider::start());
    let node = async || {
        let (channels, provider) = (bot(&platform, CARD), Some(Arc::clone(&provider)));
        Server::on_postgres(&url, Setup { channels, provider, config: Some(SLOW), ..Setup::default() }).await
    };
    let mut nodes = [node().await, node().await];
    let addresses = nodes.each_ref().map(address);
    // Rows that answer by themselves, commands, and a model's answers in cards.
    let texts = [DIRECT, "/help", GROUNDED];
    let messages: Vec<Value> = (0..18).map(|n| platform.message(&format!("cid{n}"), true, "u1", texts[n % 3])).collect();
    let (heard_by, messages) = (&platform, &messages);
    let deliver = async |addresses: &[String]| {
        let four = |message| addresses.iter().cycle().take(4).map(move |address| heard_by.callback(address, message));
        for answer in join_all(messages.iter().flat_map(four)).await {
            assert_eq!(answer.unwrap().0, 200);
        }
    };
    deliver(&addresses).await;
    final_messages(&platform, messages.len()).await;
    // One of them goes, and the other hears everything once more.
    nodes[0].stop();
    deliver(&addresses[1..]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let shown = platform.shown();
    let places = told(&shown, Shown::is_final);
    assert!(places.len() == messages.len() && places.values().all(|answers| *answers == 1), "{shown:?}");
    assert!(shown.iter().any(|one| one.kind == "card"), "{shown:?}");
}

#[tokio::test]
async fn a_platform_that_stumbles_in_mid_card_loses_no_answer_and_doubles_none() {
    const GROUPS: usize = 6;
    let platform = platform().await;
    let server = slow_server(&platform, CARD).await;
    let (address, slow) = (address(&server), Duration::from_secs(2));
    let messages: Vec<Value> = (0..GROUPS).map(|n| platform.message(&format!("cid{n}"), true, "u1", GROUNDED)).collect();
    let asking = join_all(messages.iter().map(|message| platform.callback(&address, message)));
    let stumbling = async {
        platform.until(PATIENCE, |shown| shown.iter().any(|one| one.updates > 0)).await.unwrap();
        platform.revoke_tokens();
        platform.fail_next(fault(STREAMING, 200, json!({"success": false})));
        for _ in 0..2 {
            platform.fail_next(fault(STREAMING, 429, json!({})));
            platform.fail_next(fault(STREAMING, 500, json!({})));
            platform.fail_next(fault(STREAMING, 403, json!({"code": "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"})));
            platform.fail_next(Fault { delay: slow, ..fault(STREAMING, 502, json!("<html>")) });
        }
    };
    let (asked, ()) = tokio::join!(asking, stumbling);
    assert!(asked.into_iter().all(|answer| answer.unwrap().0 == 200));
    // A card whose end was refused is ended by the next sweep, its answer has come as a message by then.
    let whole = |shown: &[Shown]| {
        let answers = told(shown, |one| one.text.contains(SOURCES));
        answers.len() == GROUPS && answers.values().all(|answers| *answers >= 1) && shown.iter().all(Shown::is_final)
    };
    let shown = platform.until(PATIENCE, whole).await;
    assert!(shown.is_ok(), "{:?}", platform.shown());
    let answers = told(shown.as_ref().unwrap(), |one| one.text.contains(SOURCES)).into_values().collect::<Vec<_>>();
    assert_eq!(answers, [1; GROUPS], "{shown:?}");
}

/// More than a bot answers at a time: those that find no seat wait in the database for the next one that is free.
#[tokio::test]
async fn more_messages_than_seats_are_all_taken_and_each_answered_once() {
    const MESSAGES: usize = 260;
    let platform = platform().await;
    let server = slow_server(&platform, "").await;
    let (address, began) = (address(&server), Instant::now());
    let messages: Vec<Value> = (0..MESSAGES).map(|n| platform.message(&format!("cid{n}"), true, "u1", GROUNDED)).collect();
    let answers = join_all(messages.iter().map(|message| platform.callback(&address, message))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().0 == 200), "none is sent back");
    let shown = final_messages(&platform, MESSAGES).await;
    println!("{MESSAGES} messages at once, 200 seats: the last was answered after {:.1?}", began.elapsed());
    let places = told(&shown, |one| one.text.contains(SOURCES));
    assert!(places.len() == MESSAGES && places.values().all(|answers| *answers == 1), "{places:?}");
}
