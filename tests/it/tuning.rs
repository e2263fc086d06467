//! `kb eval --tune`: what it finds is kept for one tenant unless it is only looked at, is in force from then on, also
//! in a server that runs, and can be taken back.

use std::time::Instant;

use merchant_copilot::config::{Config, Overrides};
use serde_json::{Value, json};

use super::process::run;
use super::server::{PATIENCE, Server};

/// Labelled questions about the small knowledge, and as many that it cannot answer.
fn questions(count: usize) -> String {
    let asked = [("deposit", "普通店要交多少保证金"), ("address", "在哪里修改退货地址"), ("label", "怎么打印跨境包裹的面单")];
    let other = ["今天天气怎么样", "推荐一部电影", "附近有什么餐厅", "怎么学游泳"];
    let lines = (0..count).flat_map(|i| {
        let (id, question) = asked[i % asked.len()];
        let answerable = json!({"query": format!("{question}{}", "？".repeat(i / 3)), "relevant": [id]});
        [answerable, json!({"query": format!("{}{i}", other[i % other.len()]), "relevant": []})]
    });
    lines.map(|line| line.to_string() + "\n").collect()
}

#[tokio::test]
async fn a_tuning_is_kept_for_one_tenant_and_taken_back() {
    let server = Server::small().await;
    let data = server.data_dir.clone();
    let eval = move |count: usize, how: &'static [&'static str]| {
        let data = data.clone();
        tokio::task::spawn_blocking(move || {
            let file = data.join(format!("{count}.jsonl"));
            std::fs::write(&file, questions(count)).unwrap();
            run(&data, [&["kb", "eval", file.to_str().unwrap(), "--tune"][..], how].concat())
        })
    };
    let stats = async |tenant: &'static str| {
        let data = server.data_dir.clone();
        tokio::task::spawn_blocking(move || run(&data, ["kb", "stats", "--tenant", tenant])).await.unwrap().done().json["tuning"].clone()
    };
    let data = server.data_dir.clone();
    tokio::task::spawn_blocking(move || run(&data, ["tenant", "add", "other"])).await.unwrap().done();

    let looked = eval(24, &["--no-keep"]).await.unwrap().done();
    assert_eq!((&looked.json["tuned"]["holds"], &looked.json["tuned"]["kept"]), (&json!(true), &json!(false)), "{looked:?}");
    assert_eq!(stats("demo").await, Value::Null, "whoever only looks changes nothing");
    let few = eval(4, &[]).await.unwrap();
    assert_eq!((few.code, &few.json["tuned"]["kept"]), (Some(1), &json!(false)), "eight questions say nothing: {few:?}");

    assert_eq!(stats("demo").await, Value::Null);
    assert_eq!(eval(24, &["--keep", "--no-keep"]).await.unwrap().code, Some(2), "one of the two");

    let kept = eval(24, &[]).await.unwrap().done();
    let (tuned, told) = (&kept.json["tuned"], stats("demo").await);
    assert_eq!((&tuned["kept"], &told["chosen_on"]), (&json!(true), &json!(48)), "{kept:?}");
    assert_eq!((&tuned["folds"], &told["held_out_ndcg10"]), (&json!(5), &tuned["held_out"]["ndcg@10"]), "kept with the figure held out");
    assert_eq!(told["grounded_threshold"], tuned["grounded_threshold"]);
    assert_eq!(stats("other").await, Value::Null);
    let again = eval(24, &["--no-keep"]).await.unwrap().done();
    assert_eq!(again.json["answerable_none"], again.json["tuned"]["in_force"]["answerable_none"], "measured as it is in force: {again:?}");
    let said = eval(24, &["--keep"]).await.unwrap().done();
    assert_eq!(said.json["tuned"]["kept"], json!(true), "the old word says what happens anyway: {said:?}");
    let (tuned, told) = (&said.json["tuned"], stats("demo").await);
    assert_eq!(told["grounded_threshold"], tuned["grounded_threshold"]);

    // The running server has it too: a near-miss names the threshold that cut it.
    let threshold = tuned["grounded_threshold"].as_f64().unwrap();
    wait_for_threshold(&server, threshold).await;
    let data = server.data_dir.clone();
    tokio::task::spawn_blocking(move || run(&data, ["kb", "untune"])).await.unwrap().done();
    assert_eq!(stats("demo").await, Value::Null);
    let configured = Config::load(None, &Overrides::default()).unwrap().search.grounded_threshold;
    wait_for_threshold(&server, f64::from(configured)).await;
}

async fn wait_for_threshold(server: &Server, threshold: f64) {
    let started = Instant::now();
    let said = format!("is below {threshold:.2}");
    loop {
        let found = server.json("/api/v1/knowledge/search?q=推荐一部电影", &server.admin).await;
        if found["hits"].as_array().unwrap().iter().any(|hit| hit["reason"].as_str().is_some_and(|reason| reason.ends_with(&said))) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{said}: {found}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
