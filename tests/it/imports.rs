//! Imports in two steps and changes of single rows over HTTP: what a plan shows, what applying it
//! does, and that nobody else sees either.

use merchant_copilot::ids::TenantId;
use merchant_copilot::tenants::Role;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::server::{Server, Setup, issue};

const ENTRIES: &str = "/api/v1/knowledge/entries";
const IMPORTS: &str = "/api/v1/knowledge/imports";

pub async fn upload(server: &Server, key: &str, files: &[(&str, &[u8])], options: &[(&str, &str)]) -> Response {
    let mut body = Vec::new();
    for (name, value) in options {
        body.extend(format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes());
    }
    for (name, content) in files {
        let head = format!("--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
        body.extend(head.bytes().chain(content.iter().copied()).chain(*b"\r\n"));
    }
    body.extend(b"--b--\r\n");
    let request = server.request(Method::POST, IMPORTS).bearer_auth(key);
    request.header("content-type", "multipart/form-data; boundary=b").body(body).send().await.unwrap()
}

async fn call(server: &Server, method: &str, path: &str, key: &str, body: Value) -> (u16, Value) {
    let request = server.request(method.parse().unwrap(), path).bearer_auth(key);
    let request = if body.is_null() { request } else { request.json(&body) };
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

fn fates(import: &Value) -> Vec<(u64, &str)> {
    import["rows"].as_array().unwrap().iter().map(|row| (row["row"].as_u64().unwrap(), row["fate"].as_str().unwrap())).collect()
}

const FILE: &str = "id,question,answer\n\
    deposit,普通店保证金要交多少？,\"保证金是 20,000 元。\"\n\
    new,仓库几点关门？,十八点。\n\
    rival,退货地址在哪里修改？,在 我的 > 地址 里修改。\n\
    bad,没有答案,\n\
    out,不要的一行,不要。\n";

#[tokio::test]
async fn a_plan_is_looked_at_and_applied() {
    let server = Server::small().await;
    let other = TenantId::parse("other").unwrap();
    server.tenants.add(&other, "Other").await.unwrap();
    let (stranger, _) = issue(&server.tenants, &other, Role::Admin).await;
    let admin = server.admin.clone();

    let answer = upload(&server, &admin, &[("../规则.csv", FILE.as_bytes())], &[]).await;
    assert_eq!(answer.status(), 201);
    let plan: Value = answer.json().await.unwrap();
    assert_eq!((&plan["state"], &plan["files"]), (&json!("planned"), &json!(["规则.csv"])));
    assert_eq!(fates(&plan), [(2, "changed"), (3, "added"), (4, "conflicting"), (5, "failed"), (6, "added")]);
    let changed = &plan["rows"][0];
    assert!(changed["old"]["answer"].as_str().unwrap().contains("10,000") && changed["new"]["answer"].as_str().unwrap().contains("20,000"));
    assert_eq!(plan["rows"][2]["details"]["entry"], "address", "{plan}");
    assert_eq!(plan["rows"][2]["old"]["id"], "address", "what it conflicts with is shown beside it");
    assert!(plan["rows"][2]["id"].is_null(), "it would be a second row");
    let over = "id,question,answer\ndeposit,退货地址在哪里修改？,在 我的 > 地址 里修改。\n";
    let over: Value = upload(&server, &admin, &[("b.csv", over.as_bytes())], &[]).await.json().await.unwrap();
    assert_eq!((fates(&over), &over["rows"][0]["id"]), (vec![(2, "conflicting")], &json!("deposit")), "the entry that it would change");
    assert!(over["rows"][0]["instead"].is_null() && plan["rows"][2]["instead"].is_object(), "one that changes an entry replaces none");
    let shown = |field: &str| over["rows"][0][field]["id"].as_str().unwrap_or_default().to_owned();
    assert_eq!((shown("old"), shown("over")), ("address".to_owned(), "deposit".to_owned()), "and what it is now: {over}");
    assert_eq!(
        server.json(&format!("{ENTRIES}/deposit"), &admin).await["answer"],
        "中国站本地店的保证金是 10,000 元。",
        "nothing is written yet"
    );

    let id = plan["id"].as_str().unwrap();
    let path = format!("{IMPORTS}/{id}");
    let failed = server.json(&format!("{path}?fate=failed"), &admin).await;
    assert_eq!((failed["rows"][0]["code"].as_str(), failed["rows"][0]["new"]["id"].as_str()), (Some("missing_answer"), Some("bad")));
    let first = server.json(&format!("{path}?limit=2"), &admin).await;
    let second = server.json(&format!("{path}?limit=2&after={}", first["next"]), &admin).await;
    assert_eq!([fates(&first), fates(&second)].concat(), fates(&plan)[..4]);
    for (method, path) in [("GET", path.clone()), ("DELETE", path.clone()), ("POST", format!("{path}/apply"))] {
        assert_eq!(call(&server, method, &path, &stranger, Value::Null).await.0, 404, "{method} by another tenant");
    }

    let n = |at: usize| plan["rows"][at]["n"].clone();
    let decided = json!({"accept": [n(2)], "skip": [n(4)]});
    let (status, done) = call(&server, "POST", &format!("{path}/apply"), &admin, decided).await;
    assert_eq!((status, &done["state"]), (200, &json!("applied")), "{done}");
    let report = &done["applied"];
    assert_eq!((&report["added"], &report["changed"], &report["failed"], &report["skipped"]), (&json!(2), &json!(1), &json!(1), &json!(1)));
    assert!(server.json(&format!("{ENTRIES}/deposit"), &admin).await["answer"].as_str().unwrap().contains("20,000"));
    assert_eq!(call(&server, "GET", &format!("{ENTRIES}/out"), &admin, Value::Null).await.0, 404, "a row left out");
    assert_eq!(call(&server, "POST", &format!("{path}/apply"), &admin, Value::Null).await.0, 409);
    let left: Vec<_> =
        std::fs::read_dir(server.data_dir.join("imports/demo").join(id)).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "the files are gone, but for the record, what was written and what became of the rows: {left:?}");
    let after = server.json(&path, &admin).await;
    assert_eq!(fates(&after), [(2, "changed"), (3, "added"), (4, "added"), (5, "failed"), (6, "skipped")], "what became of them");
    assert_eq!(after["rows"][4]["new"]["id"], "out", "a row left out is still shown: {after}");
    assert!(after["rows"][0]["old"]["answer"].as_str().unwrap().contains("10,000"), "and what a row changed: {after}");
    let history = server.json(&format!("{ENTRIES}/deposit/versions"), &admin).await;
    assert!(history["versions"][0]["before"]["answer"].as_str().unwrap().contains("10,000"), "{history}");
}

#[tokio::test]
async fn an_import_is_taken_back_as_a_whole() {
    let server = Server::small().await;
    let admin = server.admin.clone();
    let listed = async |query: &str| server.json(&format!("{ENTRIES}?{query}"), &admin).await["total"].as_u64().unwrap();
    let old = server.json(&format!("{ENTRIES}/deposit"), &admin).await;
    let source = old["source"].as_str().unwrap();
    let rows = "id,question,answer\ndeposit,普通店保证金要交多少？,保证金是 3 元。\nfresh,仓库几点关门？,十八点。\ntouched,仓库几点开门？,八点。\n";
    let options = [("source", source), ("replace_source", "true"), ("accept_conflicts", "true")];
    let plan: Value = upload(&server, &admin, &[("a.csv", rows.as_bytes())], &options).await.json().await.unwrap();
    assert_eq!(plan["plan"]["deleted"], 2, "{plan}");
    let path = format!("{IMPORTS}/{}", plan["id"].as_str().unwrap());
    assert_eq!(call(&server, "POST", &format!("{path}/undo"), &admin, Value::Null).await.1["error"]["code"], "import_not_applied");
    assert_eq!(call(&server, "POST", &format!("{path}/apply"), &admin, json!({"accept_all": true})).await.0, 200);
    assert_eq!((listed("").await, listed("validity=deleted").await), (3, 2));
    let other = json!({"question": "仓库几点开门？", "answer": "九点。"});
    assert_eq!(call(&server, "PUT", &format!("{ENTRIES}/touched"), &admin, other).await.0, 200);

    let (status, done) = call(&server, "POST", &format!("{path}/undo"), &admin, Value::Null).await;
    let undone = &done["undone"];
    assert_eq!((status, &undone["restored"], &undone["deleted"], &undone["left"]), (200, &json!(3), &json!(1), &json!(1)), "{done}");
    let back = server.json(&format!("{ENTRIES}/deposit"), &admin).await;
    for field in ["question", "answer", "similar", "category", "source", "direct"] {
        assert_eq!(back[field], old[field], "{field}");
    }
    assert_eq!((listed("").await, listed("validity=deleted").await), (4, 1), "the three of before and the one changed since");
    assert_eq!(call(&server, "POST", &format!("{path}/undo"), &admin, Value::Null).await.1["error"]["code"], "import_undone");
    let (status, brought) = call(&server, "POST", &format!("{ENTRIES}/fresh/undo"), &admin, Value::Null).await;
    assert_eq!((status, &brought["answer"]), (200, &json!("十八点。")), "a deleted entry is brought back by its undo");
}

#[tokio::test]
async fn what_a_kill_left_in_the_notes_of_an_import_stops_no_undo() {
    let server = Server::small().await;
    let admin = server.admin.clone();
    let before = server.json(ENTRIES, &admin).await["total"].clone();
    let rows = "id,question,answer\ndawn,晨星仓几点开门？,八点。\ndusk,快递面单贴在哪里？,贴在箱子正面。\n";
    let plan: Value = upload(&server, &admin, &[("a.csv", rows.as_bytes())], &[]).await.json().await.unwrap();
    let id = plan["id"].as_str().unwrap();
    let path = format!("{IMPORTS}/{id}");
    assert_eq!(call(&server, "POST", &format!("{path}/apply"), &admin, Value::Null).await.0, 200);
    // A commit that was noted and broken off before the one that stands, and lines that were torn off.
    let notes = server.data_dir.join("imports/demo").join(id).join("written.jsonl");
    let noted = std::fs::read_to_string(&notes).unwrap();
    let mut broken_off: Value = serde_json::from_str(&noted).expect("one batch, one line");
    assert_eq!(broken_off["added"], json!(["dawn", "dusk"]));
    broken_off["revision"] = json!(broken_off["revision"].as_i64().unwrap() - 1);
    let torn =
        [format!("{broken_off}\n{{\"revision\":3,\"add\n{noted}{{\"revision\":9,\"added\":[\"").as_bytes(), &"仓".as_bytes()[..2]].concat();
    std::fs::write(&notes, torn).unwrap();
    let (status, done) = call(&server, "POST", &format!("{path}/undo"), &admin, Value::Null).await;
    let undone = &done["undone"];
    assert_eq!((status, &undone["restored"], &undone["deleted"], &undone["left"]), (200, &json!(0), &json!(2), &json!(0)), "{done}");
    assert_eq!(server.json(ENTRIES, &admin).await["total"], before);
}

#[tokio::test]
async fn past_imports_are_listed_the_newest_first_and_only_to_their_shop() {
    let server = Server::small().await;
    let admin = server.admin.clone();
    let other = TenantId::parse("other").unwrap();
    server.tenants.add(&other, "Other").await.unwrap();
    let (stranger, _) = issue(&server.tenants, &other, Role::Admin).await;
    assert_eq!(server.json(IMPORTS, &admin).await, json!({"imports": [], "next": null}), "before the first one");

    // What is written makes the plans of before out of date, so each is planned when the one before is through.
    let mut ids: Vec<String> = Vec::new();
    let call_on = async |id: &str, what: &str| call(&server, "POST", &format!("{IMPORTS}/{id}/{what}"), &admin, Value::Null).await.0;
    for (name, hour) in [("a.csv", "八"), ("b.csv", "九"), ("c.csv", "十")] {
        let rows = format!("id,question,answer\n{name},{hour}号仓几点关门？,{hour}点。\nbad,没有答案,\n");
        let plan: Value = upload(&server, &admin, &[(name, rows.as_bytes())], &[]).await.json().await.unwrap();
        ids.push(plan["id"].as_str().unwrap().to_owned());
        if name != "c.csv" {
            assert_eq!(call_on(&ids[ids.len() - 1], "apply").await, 200);
        }
        if name == "a.csv" {
            assert_eq!(call_on(&ids[0], "undo").await, 200);
        }
        // So that no two have the same moment, whose order nobody could tell.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }

    let listed = server.json(IMPORTS, &admin).await;
    let told: Vec<_> = (listed["imports"].as_array().unwrap().iter())
        .map(|one| (one["files"][0].as_str().unwrap(), one["state"].as_str().unwrap(), one["undoable"].as_bool().unwrap()))
        .collect();
    assert_eq!(told, [("c.csv", "planned", false), ("b.csv", "applied", true), ("a.csv", "undone", false)], "{listed}");
    let applied = &listed["imports"][1];
    assert_eq!((&applied["counts"]["added"], &applied["counts"]["failed"]), (&json!(1), &json!(1)), "{applied}");
    assert!(applied["by"].as_str().unwrap().starts_with("k_"), "{applied}");
    let kept = applied["expires_ms"].as_i64().unwrap() - applied["applied_ms"].as_i64().unwrap();
    assert_eq!(kept, 30 * 24 * 3_600_000, "a month after it was written: {applied}");
    assert!(listed["imports"][0]["applied_ms"].is_null(), "{listed}");

    let first = server.json(&format!("{IMPORTS}?limit=2"), &admin).await;
    let second = server.json(&format!("{IMPORTS}?limit=2&after={}", first["next"].as_str().unwrap()), &admin).await;
    assert_eq!((first["imports"].as_array().unwrap().len(), &second["imports"][0]["files"][0]), (2, &json!("a.csv")), "{second}");
    assert_eq!((second["imports"].as_array().unwrap().len(), &second["next"]), (1, &Value::Null));
    assert_eq!(call(&server, "GET", &format!("{IMPORTS}?after=x"), &admin, Value::Null).await.1["error"]["code"], "bad_page");

    assert_eq!(server.json(IMPORTS, &stranger).await["imports"], json!([]), "another tenant sees nothing");
    assert_eq!(call(&server, "POST", &format!("{IMPORTS}/{}/undo", ids[1]), &stranger, Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_conflicting_row_replaces_the_entry_that_it_conflicts_with() {
    let server = Server::small().await;
    let admin = server.admin.clone();
    let full =
        json!({"id": "sun", "question": "太阳仓几点关门？", "answer": "十八点。", "similar": ["太阳仓营业时间"], "category": "仓库"});
    assert_eq!(call(&server, "POST", ENTRIES, &admin, full).await.0, 201);
    let total = async || server.json(ENTRIES, &admin).await["total"].clone();
    let before = total().await;
    let rows = "question,answer\n太阳仓几点关门？,二十点。\n";
    let plan: Value = upload(&server, &admin, &[("rival.csv", rows.as_bytes())], &[]).await.json().await.unwrap();
    assert_eq!((fates(&plan), &plan["rows"][0]["old"]["id"]), (vec![(2, "conflicting")], &json!("sun")), "{plan}");
    let (old, instead) = (&plan["rows"][0]["old"], &plan["rows"][0]["instead"]);
    assert_eq!((&old["answer"], &instead["answer"]), (&json!("十八点。"), &json!("二十点。")), "what goes, and what comes: {plan}");
    assert_eq!((&instead["category"], &instead["source"]), (&json!("仓库"), &old["source"]), "what has no column stays: {plan}");
    let path = format!("{IMPORTS}/{}", plan["id"].as_str().unwrap());
    let (status, done) = call(&server, "POST", &format!("{path}/apply"), &admin, json!({"replace": [plan["rows"][0]["n"]]})).await;
    assert_eq!((status, &done["applied"]["changed"], &done["applied"]["conflicts"]), (200, &json!(1), &json!(0)), "{done}");
    let now = server.json(&format!("{ENTRIES}/sun"), &admin).await;
    assert_eq!((&now["answer"], total().await), (&json!("二十点。"), before), "changed, and no second one");
    assert_eq!((&now["similar"], &now["category"]), (&json!(["太阳仓营业时间"]), &json!("仓库")), "what has no column stays: {now}");

    assert_eq!(call(&server, "POST", &format!("{path}/undo"), &admin, Value::Null).await.1["undone"]["restored"], 1);
    assert_eq!(server.json(&format!("{ENTRIES}/sun"), &admin).await["answer"], "十八点。");
}

#[tokio::test]
async fn a_row_replaces_its_entry_although_another_conflicts_too() {
    let server = Server::small().await;
    let admin = server.admin.clone();
    for (id, answer) in [("moon-a", "十八点。"), ("moon-b", "十九点。")] {
        let entry = json!({"id": id, "question": "月亮仓几点关门？", "answer": answer});
        assert_eq!(call(&server, "POST", &format!("{ENTRIES}?accept_conflicts=true"), &admin, entry).await.0, 201);
    }
    let rows = "question,answer\n月亮仓几点关门？,二十点。\n";
    let plan: Value = upload(&server, &admin, &[("rival.csv", rows.as_bytes())], &[]).await.json().await.unwrap();
    assert_eq!(fates(&plan), [(2, "conflicting")], "{plan}");
    let replaced = plan["rows"][0]["old"]["id"].as_str().unwrap();
    let (other, stays) = if replaced == "moon-a" { ("moon-b", "十九点。") } else { ("moon-a", "十八点。") };
    let path = format!("{IMPORTS}/{}/apply", plan["id"].as_str().unwrap());
    let (status, done) = call(&server, "POST", &path, &admin, json!({"replace": [plan["rows"][0]["n"]]})).await;
    let report = &done["applied"];
    assert_eq!((status, &report["changed"], &report["added"], &report["conflicts"]), (200, &json!(1), &json!(0), &json!(0)), "{done}");
    assert_eq!(server.json(&format!("{ENTRIES}/{replaced}"), &admin).await["answer"], "二十点。");
    assert_eq!(server.json(&format!("{ENTRIES}/{other}"), &admin).await["answer"], stays, "accepted before, it stays");
}

#[tokio::test]
async fn rows_that_were_not_taken_are_told_with_all_their_cells() {
    let server = Server::small().await;
    let admin = server.admin.clone();
    let rows = "question,answer,market,valid_to,similar\n\
        星星仓几点关门？,,JP,2030-01-01,星星仓营业时间\n\
        星星仓几点开门？,八点。,JP,,星星仓开门##星星仓上班\n\
        星星仓几点开门？,九点。,JP,,星星仓开门##星星仓上班\n";
    let plan: Value = upload(&server, &admin, &[("stars.csv", rows.as_bytes())], &[]).await.json().await.unwrap();
    assert_eq!(fates(&plan), [(2, "failed"), (3, "added"), (4, "conflicting")], "{plan}");
    let path = format!("{IMPORTS}/{}", plan["id"].as_str().unwrap());
    assert_eq!(call(&server, "POST", &format!("{path}/apply"), &admin, Value::Null).await.0, 200);
    for import in [plan, server.json(&path, &admin).await] {
        let (failed, taken, held) = (&import["rows"][0]["cells"], &import["rows"][1]["cells"], &import["rows"][2]["cells"]);
        assert_eq!(
            (&failed["market"], &failed["valid_to"], &failed["similar"]),
            (&json!("JP"), &json!("2030-01-01"), &json!("星星仓营业时间"))
        );
        assert!(failed["id"].is_string() && held["id"].is_string(), "corrected, neither takes another's place: {import}");
        assert_eq!((&held["market"], &held["answer"], taken), (&json!("JP"), &json!("九点。"), &Value::Null), "{import}");
        assert!(held["similar"].as_str().unwrap().contains("星星仓上班"), "{import}");
    }
}

#[tokio::test]
async fn a_column_that_is_missing_leaves_what_an_entry_has() {
    let server = Server::small().await;
    let admin = server.admin.clone();
    let full = json!({"id": "full", "question": "怎么换货？", "answer": "旧的。", "similar": ["换一个"], "category": "售后", "market": "JP", "direct": true});
    assert_eq!(call(&server, "POST", ENTRIES, &admin, full.clone()).await.0, 201);
    let import = async |name: &str, file: &str| {
        let plan: Value = upload(&server, &admin, &[(name, file.as_bytes())], &[]).await.json().await.unwrap();
        assert_eq!(fates(&plan).iter().map(|(_, fate)| *fate).collect::<Vec<_>>(), ["changed"], "{plan}");
        call(&server, "POST", &format!("{IMPORTS}/{}/apply", plan["id"].as_str().unwrap()), &admin, Value::Null).await;
        server.json(&format!("{ENTRIES}/full"), &admin).await
    };
    let entry = import("a.csv", "id,question,answer\nfull,怎么换货？,新的。\n").await;
    assert_eq!(entry["answer"], "新的。");
    for field in ["similar", "category", "market", "direct"] {
        assert_eq!(entry[field], full[field], "{field} has no column");
    }
    assert_eq!(entry["source"], "console", "nor has the source");
    // Held back, a row of a sheet without ids shows no loss either.
    let sheet = |answer: &str| format!("question,answer\n怎么开发票？,{answer}\n");
    let plan: Value = upload(&server, &admin, &[("d.csv", sheet("三天内开。").as_bytes())], &[]).await.json().await.unwrap();
    call(&server, "POST", &format!("{IMPORTS}/{}/apply", plan["id"].as_str().unwrap()), &admin, Value::Null).await;
    let found = server.json(&format!("{ENTRIES}?q=怎么开发票"), &admin).await["entries"][0].clone();
    let path = format!("{ENTRIES}/{}", found["id"].as_str().unwrap());
    let with_more = json!({"question": "怎么开发票？", "answer": "三天内开。", "similar": ["发票怎么开"], "source": found["source"]});
    assert_eq!(call(&server, "PUT", &path, &admin, with_more).await.0, 200);
    let rival = json!({"question": "怎么开发票？", "answer": "七天内开。", "source": "别处"});
    assert_eq!(call(&server, "POST", &format!("{ENTRIES}?accept_conflicts=true"), &admin, rival).await.0, 201);
    let plan: Value = upload(&server, &admin, &[("d.csv", sheet("五天内开。").as_bytes())], &[]).await.json().await.unwrap();
    let row = &plan["rows"][0];
    assert_eq!((row["fate"].as_str(), &row["over"]["id"]), (Some("conflicting"), &found["id"]), "{plan}");
    assert_eq!((&row["over"]["similar"], &row["new"]["similar"]), (&json!(["发票怎么开"]), &json!(["发票怎么开"])), "{plan}");
    let entry = import("b.csv", "id,question,answer,similar,category\nfull,怎么换货？,新的。,,\n").await;
    assert_eq!((&entry["similar"], &entry["category"], &entry["market"]), (&json!([]), &Value::Null, &json!("JP")), "an empty cell clears");
    let entry = import("c.jsonl", "{\"id\":\"full\",\"question\":\"怎么换货？\",\"answer\":\"新的。\",\"market\":null}\n").await;
    assert_eq!((&entry["market"], &entry["direct"]), (&Value::Null, &json!(true)), "so does null, and a missing key does not");
}

#[tokio::test]
async fn a_plan_of_yesterdays_knowledge_is_not_applied() {
    let server = Server::small().await;
    let admin = server.admin.clone();
    let plan: Value = upload(&server, &admin, &[("a.csv", FILE.as_bytes())], &[]).await.json().await.unwrap();
    assert_eq!(call(&server, "DELETE", &format!("{ENTRIES}/label"), &admin, Value::Null).await.0, 200);
    let (status, error) = call(&server, "POST", &format!("{IMPORTS}/{}/apply", plan["id"].as_str().unwrap()), &admin, Value::Null).await;
    assert_eq!((status, &error["error"]["code"]), (409, &json!("plan_outdated")));
    assert_eq!(call(&server, "DELETE", &format!("{IMPORTS}/{}", plan["id"].as_str().unwrap()), &admin, Value::Null).await.0, 204);
    let left = std::fs::read_dir(server.data_dir.join("imports/demo")).unwrap().count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn an_import_that_has_begun_to_be_written_is_not_discarded() {
    let server = Server::small().await;
    let admin = server.admin.clone();
    let plan: Value = upload(&server, &admin, &[("a.csv", FILE.as_bytes())], &[]).await.json().await.unwrap();
    let path = format!("{IMPORTS}/{}", plan["id"].as_str().unwrap());
    let record = server.data_dir.join("imports/demo").join(plan["id"].as_str().unwrap()).join("import.json");
    let planned = std::fs::read_to_string(&record).unwrap();
    // As a server leaves it that ended in the middle.
    let mut begun: Value = serde_json::from_str(&planned).unwrap();
    begun["state"] = json!("applying");
    std::fs::write(&record, begun.to_string()).unwrap();
    let (status, refused) = call(&server, "DELETE", &path, &admin, Value::Null).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("import_applying")), "{refused}");
    std::fs::write(&record, planned).unwrap();

    assert_eq!(call(&server, "POST", &format!("{path}/apply"), &admin, Value::Null).await.0, 200);
    let (status, refused) = call(&server, "DELETE", &path, &admin, Value::Null).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("import_applied")), "{refused}");
    let (status, done) = call(&server, "POST", &format!("{path}/undo"), &admin, Value::Null).await;
    assert_eq!((status, &done["undone"]["restored"]), (200, &json!(1)), "{done}");
    assert_eq!(server.json(&format!("{ENTRIES}/deposit"), &admin).await["answer"], "中国站本地店的保证金是 10,000 元。");
    let (status, refused) = call(&server, "DELETE", &path, &admin, Value::Null).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("import_applied")), "what was taken back stays listed: {refused}");
}

#[tokio::test]
async fn an_import_applied_twice_at_once_is_written_once() {
    let server = Server::small().await;
    let admin = server.admin.clone();
    let plan: Value = upload(&server, &admin, &[("a.csv", FILE.as_bytes())], &[]).await.json().await.unwrap();
    let path = format!("{IMPORTS}/{}/apply", plan["id"].as_str().unwrap());
    let answers = futures::future::join_all((0..5).map(|_| call(&server, "POST", &path, &admin, Value::Null))).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 1, "{answers:?}");
    for (_, refused) in answers.iter().filter(|(status, _)| *status != 200) {
        assert!(matches!(refused["error"]["code"].as_str(), Some("import_running" | "import_applied")), "{refused}");
    }
    let after = server.json(&format!("{IMPORTS}/{}", plan["id"].as_str().unwrap()), &admin).await;
    assert_eq!((&after["state"], &after["applied"]["added"]), (&json!("applied"), &json!(2)), "{after}");
}

#[tokio::test]
async fn an_import_that_was_broken_off_goes_on_with_what_was_decided() {
    let server = Server::small().await;
    let admin = server.admin.clone();
    let plan: Value = upload(&server, &admin, &[("a.csv", FILE.as_bytes())], &[]).await.json().await.unwrap();
    let id = plan["id"].as_str().unwrap();
    // As a server leaves it that ended in the middle.
    let folder = server.data_dir.join("imports/demo").join(id);
    let record = std::fs::read_to_string(folder.join("import.json")).unwrap();
    let mut record: Value = serde_json::from_str(&record).unwrap();
    record["state"] = json!("applying");
    std::fs::write(folder.join("import.json"), record.to_string()).unwrap();
    std::fs::write(folder.join("decided.json"), json!({"skip": [plan["rows"][4]["n"]]}).to_string()).unwrap();

    let (status, done) = call(&server, "POST", &format!("{IMPORTS}/{id}/apply"), &admin, json!({"accept_all": true})).await;
    let report = &done["applied"];
    assert_eq!((status, &report["added"], &report["conflicts"], &report["skipped"]), (200, &json!(1), &json!(1), &json!(1)), "{done}");
    assert_eq!(call(&server, "GET", &format!("{ENTRIES}/out"), &admin, Value::Null).await.0, 404, "a row left out");
    assert!(!folder.join("decided.json").exists());
}

#[tokio::test]
async fn uploads_that_cannot_be_taken_leave_nothing_behind() {
    let setup = Setup { config: Some(|config| config.limits.upload_bytes = 1_000), ..Setup::default() };
    let server = Server::start(setup).await;
    let admin = server.admin.clone();
    let refused = async |files: &[(&str, &[u8])], options: &[(&str, &str)]| {
        let answer = upload(&server, &admin, files, options).await;
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["error"]["code"].as_str().unwrap().to_owned())
    };
    let good: &[(&str, &[u8])] = &[("a.csv", b"question,answer\na,b\n")];
    assert_eq!(refused(&[("a.csv", &[b'x'; 2_000])], &[]).await, (413, "body_too_large".into()));
    assert_eq!(refused(&[], &[]).await, (400, "no_file".into()));
    assert_eq!(refused(&[("a.exe", b"x")], &[]).await, (400, "unknown_format".into()));
    assert_eq!(refused(&[("a.xlsx", b"x")], &[]).await, (400, "file_unreadable".into()));
    assert_eq!(refused(good, &[("as_is", "maybe")]).await, (400, "bad_option".into()));
    assert_eq!(refused(good, &[("delete_all", "true")]).await, (400, "bad_option".into()));
    assert_eq!(std::fs::read_dir(server.data_dir.join("imports/demo")).unwrap().count(), 0);
}

#[tokio::test]
async fn an_export_comes_back_unchanged_in_every_format() {
    let server = Server::small().await;
    let admin = server.admin.clone();
    // What a spreadsheet would run, and what looks like that with its mark.
    let row = json!({"question": "=SUM 公式怎么写？", "answer": "-1 写成减一。", "category": "'=表格", "similar": ["+公式", "'@公式"]});
    assert_eq!(call(&server, "POST", ENTRIES, &admin, row).await.0, 201);
    for format in ["jsonl", "csv", "xlsx"] {
        let answer = server.get(&format!("/api/v1/knowledge/export?format={format}")).bearer_auth(&admin).send().await.unwrap();
        assert!(answer.headers()["content-disposition"].to_str().unwrap().contains(&format!("demo.{format}")));
        let bytes = answer.bytes().await.unwrap();
        if format == "csv" {
            let table = String::from_utf8_lossy(&bytes);
            assert!([",'=SUM", ",'-1 写", ",''=表格,", ",'+公式##"].iter().all(|cell| table.contains(cell)), "{table}");
        }
        let plan: Value = upload(&server, &admin, &[(&format!("demo.{format}"), &bytes)], &[]).await.json().await.unwrap();
        assert_eq!((&plan["plan"]["unchanged"], fates(&plan).len()), (&json!(4), 4), "{format}: {plan}");
    }
}

#[tokio::test]
async fn rows_are_added_changed_deleted_and_taken_back() {
    let server = Server::small().await;
    let admin = server.admin.clone();
    let (status, row) =
        call(&server, "POST", ENTRIES, &admin, json!({"问题": "几点发货？", "答案": "16:00 前。", "相似问题": ["何时发货"]})).await;
    assert_eq!((status, &row["similar"], &row["source"]), (201, &json!(["何时发货"]), &json!("console")), "{row}");
    let path = format!("{ENTRIES}/{}", row["id"].as_str().unwrap());
    let conflict = json!({"id": "x", "question": "几点发货", "answer": "18:00 前。"});
    assert_eq!(call(&server, "POST", ENTRIES, &admin, conflict.clone()).await.1["error"]["code"], "entry_conflicts");
    assert_eq!(call(&server, "POST", &format!("{ENTRIES}?accept_conflicts=true"), &admin, conflict).await.0, 201);
    assert_eq!(call(&server, "POST", ENTRIES, &admin, json!({"question": "a", "answer": ""})).await.1["error"]["code"], "missing_answer");

    let (status, changed) =
        call(&server, "PUT", &path, &admin, json!({"question": "几点发货？", "answer": "17:00 前。", "revision": row["revision"]})).await;
    assert_eq!((status, &changed["answer"]), (200, &json!("17:00 前。")), "{changed}");
    let late = json!({"question": "几点发货？", "answer": "晚了。", "revision": row["revision"]});
    assert_eq!(call(&server, "PUT", &path, &admin, late).await.1["error"]["code"], "entry_changed");
    assert_eq!(call(&server, "DELETE", &path, &admin, Value::Null).await.0, 200);
    assert_eq!(call(&server, "GET", &path, &admin, Value::Null).await.0, 404);
    let versions = server.json(&format!("{path}/versions"), &admin).await;
    let told: Vec<_> = versions["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (v["action"].as_str().unwrap(), v["before"]["answer"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("deleted", "17:00 前。"), ("changed", "16:00 前。")]);
    assert!(versions["versions"][0]["by"].as_str().unwrap().starts_with("k_"));
    let undo = format!("{path}/undo");
    let deleted = &versions["versions"][0]["revision"];
    let meant = format!("{undo}?revision={deleted}");
    let other = format!("{undo}?revision={}", changed["revision"]);
    assert_eq!(call(&server, "POST", &other, &admin, Value::Null).await.1["error"]["code"], "entry_changed", "that was not the last");
    assert_eq!(call(&server, "POST", &meant, &admin, Value::Null).await.1["answer"], "17:00 前。");
    assert_eq!(call(&server, "POST", &meant, &admin, Value::Null).await.1["error"]["code"], "entry_changed", "it was undone already");
    assert_eq!(call(&server, "DELETE", &path, &admin, Value::Null).await.0, 200);
    assert_eq!(call(&server, "POST", &undo, &admin, Value::Null).await.1["answer"], "17:00 前。");
    assert_eq!(call(&server, "POST", &format!("{ENTRIES}/label/undo"), &admin, Value::Null).await.1["error"]["code"], "nothing_to_undo");

    let other = TenantId::parse("other").unwrap();
    server.tenants.add(&other, "Other").await.unwrap();
    let (stranger, _) = issue(&server.tenants, &other, Role::Admin).await;
    let body = json!({"question": "a", "answer": "b"});
    for (method, path, body) in [("PUT", &path, body), ("DELETE", &path, Value::Null), ("POST", &undo, Value::Null)] {
        assert_eq!(call(&server, method, path, &stranger, body).await.0, 404, "{method} {path} by another tenant");
    }
    assert_eq!(call(&server, "GET", &path, &admin, Value::Null).await.1["answer"], "17:00 前。");
}
