//! Every route with every kind of caller, of the same tenant and of another: who is let in, who is
//! refused and how; and how often each may ask.

use std::sync::Arc;

use merchant_copilot::config::Config;
use merchant_copilot::ids::TenantId;
use merchant_copilot::tenants::Role;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::fake_provider::FakeProvider;
use super::neighbour::{self, MARK, Neighbour};
use super::process::run;
use super::server::{Came, PAGE, SMALL, Server, Setup, Turn, issue};

const FOREIGN: &str = "https://evil.example.net";

/// Who may pass.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Door {
    /// Everybody.
    Public,
    /// Everybody on this machine; from elsewhere an admin.
    Operator,
    /// Whoever has a key.
    Anyone,
    /// The member who asked, and admins of the same tenant.
    Asker,
    /// The member who asked, nobody else.
    Owner,
    /// Whoever has a key, but there is nothing there.
    Nothing,
    /// Members and admins.
    Program,
    /// Members and admins, from no page but ours.
    Tools,
    /// Admins.
    Admin,
    /// Admins, who are then told what is missing.
    Told(u16),
    /// Admins of the tenant that the row belongs to.
    Keeper,
    /// Whoever has a key, and pages before they show theirs; without an upgrade nothing more happens.
    Socket,
    /// Whoever says a good key in the text itself, which nobody here does.
    Said,
}

/// Every route of `src/http/mod.rs`. `{c}`, `{r}` and `{e}` are a conversation, a response and an entry
/// of tenant `demo`; `{third_…}` is there, and of a shop that nobody who walks has a key of.
const ROUTES: &[(&str, &str, &str, Door)] = &[
    ("GET", "/", "/", Door::Public),
    ("GET", "/widget.js", "/widget.js", Door::Public),
    ("GET", "/widget/{*path}", "/widget/panel.js", Door::Public),
    ("GET", "/console", "/console", Door::Public),
    ("GET", "/console/", "/console/", Door::Public),
    ("GET", "/console/{*path}", "/console/index.html", Door::Public),
    ("GET", "/ws", "/ws", Door::Socket),
    ("POST", "/ws", "/ws", Door::Said),
    ("POST", "/api/v1/chat", "/api/v1/chat", Door::Anyone),
    ("GET", "/api/v1/conversations", "/api/v1/conversations", Door::Anyone),
    ("GET", "/api/v1/conversations/{id}", "/api/v1/conversations/{c}", Door::Asker),
    ("DELETE", "/api/v1/conversations/{id}", "/api/v1/conversations/{third_conversation}", Door::Nothing),
    ("GET", "/api/v1/conversations/export", "/api/v1/conversations/export", Door::Admin),
    ("GET", "/api/v1/feedback", "/api/v1/feedback", Door::Admin),
    ("POST", "/api/v1/feedback", "/api/v1/feedback", Door::Owner),
    ("GET", "/api/v1/responses/{id}/trace", "/api/v1/responses/{r}/trace", Door::Keeper),
    ("GET", "/api/v1/responses/{id}/sources/{n}", "/api/v1/responses/{r}/sources/1", Door::Asker),
    ("GET", "/v1/models", "/v1/models", Door::Program),
    ("GET", "/v1/models/{*id}", "/v1/models/builtin", Door::Program),
    ("POST", "/v1/chat/completions", "/v1/chat/completions", Door::Program),
    ("GET", "/api/v1/session", "/api/v1/session", Door::Admin),
    ("POST", "/api/v1/session", "/api/v1/session", Door::Public),
    ("DELETE", "/api/v1/session", "/api/v1/session", Door::Admin),
    ("GET", "/api/v1/models", "/api/v1/models", Door::Admin),
    ("GET", "/api/v1/keys", "/api/v1/keys", Door::Admin),
    ("POST", "/api/v1/keys", "/api/v1/keys", Door::Told(400)),
    ("DELETE", "/api/v1/keys/{id}", "/api/v1/keys/{third_key}", Door::Told(404)),
    ("GET", "/api/v1/usage", "/api/v1/usage", Door::Admin),
    ("GET", "/api/v1/overview", "/api/v1/overview", Door::Admin),
    ("GET", "/api/v1/safety/verdicts", "/api/v1/safety/verdicts", Door::Admin),
    ("GET", "/api/v1/retention", "/api/v1/retention", Door::Admin),
    ("PUT", "/api/v1/retention", "/api/v1/retention", Door::Told(400)),
    ("GET", "/api/v1/prompts", "/api/v1/prompts", Door::Admin),
    ("GET", "/api/v1/prompts/{name}", "/api/v1/prompts/answer.en", Door::Admin),
    ("GET", "/api/v1/prompts/{name}/versions", "/api/v1/prompts/answer.en/versions", Door::Admin),
    ("POST", "/api/v1/prompts/{name}/versions", "/api/v1/prompts/answer.en/versions", Door::Told(400)),
    ("GET", "/api/v1/prompts/{name}/versions/{version}", "/api/v1/prompts/answer.en/versions/{third_version}", Door::Told(404)),
    ("POST", "/api/v1/prompts/{name}/publish", "/api/v1/prompts/answer.en/publish", Door::Told(400)),
    ("POST", "/api/v1/prompts/{name}/lint", "/api/v1/prompts/answer.en/lint", Door::Told(400)),
    ("POST", "/api/v1/prompts/{name}/preview", "/api/v1/prompts/answer.en/preview", Door::Told(400)),
    ("GET", "/api/v1/knowledge/search", "/api/v1/knowledge/search?q=保证金", Door::Admin),
    ("GET", "/api/v1/knowledge/stats", "/api/v1/knowledge/stats", Door::Admin),
    ("GET", "/api/v1/knowledge/cases", "/api/v1/knowledge/cases", Door::Admin),
    ("POST", "/api/v1/knowledge/cases", "/api/v1/knowledge/cases", Door::Told(400)),
    ("DELETE", "/api/v1/knowledge/cases/{id}", "/api/v1/knowledge/cases/{third_case}", Door::Told(404)),
    ("POST", "/api/v1/knowledge/evaluate", "/api/v1/knowledge/evaluate", Door::Told(400)),
    ("POST", "/api/v1/trials", "/api/v1/trials", Door::Told(400)),
    ("POST", "/api/v1/trials/preview", "/api/v1/trials/preview", Door::Told(400)),
    ("GET", "/api/v1/knowledge/words", "/api/v1/knowledge/words", Door::Admin),
    ("PUT", "/api/v1/knowledge/words", "/api/v1/knowledge/words", Door::Told(400)),
    ("GET", "/api/v1/knowledge/entries", "/api/v1/knowledge/entries", Door::Admin),
    ("GET", "/api/v1/knowledge/entries/{id}", "/api/v1/knowledge/entries/{e}", Door::Keeper),
    ("POST", "/api/v1/knowledge/entries", "/api/v1/knowledge/entries", Door::Told(400)),
    ("PUT", "/api/v1/knowledge/entries/{id}", "/api/v1/knowledge/entries/{third_entry}", Door::Told(404)),
    ("DELETE", "/api/v1/knowledge/entries/{id}", "/api/v1/knowledge/entries/{third_entry}", Door::Told(404)),
    ("GET", "/api/v1/knowledge/entries/{id}/versions", "/api/v1/knowledge/entries/{e}/versions", Door::Keeper),
    ("POST", "/api/v1/knowledge/entries/{id}/undo", "/api/v1/knowledge/entries/{third_entry}/undo", Door::Told(404)),
    ("GET", "/api/v1/knowledge/imports", "/api/v1/knowledge/imports", Door::Admin),
    ("POST", "/api/v1/knowledge/imports", "/api/v1/knowledge/imports", Door::Told(400)),
    ("GET", "/api/v1/knowledge/imports/{id}", "/api/v1/knowledge/imports/{third_import}", Door::Told(404)),
    ("DELETE", "/api/v1/knowledge/imports/{id}", "/api/v1/knowledge/imports/{third_import}", Door::Told(404)),
    ("POST", "/api/v1/knowledge/imports/{id}/apply", "/api/v1/knowledge/imports/{third_import}/apply", Door::Told(404)),
    ("POST", "/api/v1/knowledge/imports/{id}/undo", "/api/v1/knowledge/imports/{third_applied}/undo", Door::Told(404)),
    ("GET", "/api/v1/knowledge/export", "/api/v1/knowledge/export", Door::Admin),
    ("GET", "/api/v1/bots", "/api/v1/bots", Door::Admin),
    ("POST", "/api/v1/bots/{platform}/{bot}/test", "/api/v1/bots/dingtalk/third/test", Door::Told(404)),
    ("GET", "/api/v1/webhooks", "/api/v1/webhooks", Door::Admin),
    ("GET", "/api/v1/webhooks/deliveries", "/api/v1/webhooks/deliveries", Door::Admin),
    ("POST", "/api/v1/webhooks/deliveries/{id}/resend", "/api/v1/webhooks/deliveries/{third_delivery}/resend", Door::Told(404)),
    ("GET", "/openapi.json", "/openapi.json", Door::Public),
    ("POST", "/webhooks/dingtalk/{bot}", "/webhooks/dingtalk/none", Door::Public),
    ("POST", "/webhooks/dingtalk/{bot}/cards", "/webhooks/dingtalk/none/cards", Door::Public),
    ("POST", "/webhooks/feishu/{bot}", "/webhooks/feishu/none", Door::Public),
    ("POST", "/webhooks/slack/{bot}", "/webhooks/slack/none", Door::Public),
    ("GET", "/webhooks/wecom/{bot}", "/webhooks/wecom/none", Door::Public),
    ("POST", "/webhooks/wecom/{bot}", "/webhooks/wecom/none", Door::Public),
    ("POST", "/mcp", "/mcp", Door::Tools),
    ("GET", "/healthz", "/healthz", Door::Public),
    ("GET", "/readyz", "/readyz", Door::Public),
    ("GET", "/metrics", "/metrics", Door::Operator),
];

#[test]
fn the_table_has_every_route() {
    let source = include_str!("../../src/http/mod.rs");
    let mut routes = Vec::new();
    for line in source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
        let (path, handlers) = line.split_once('"').unwrap();
        for method in ["get", "post", "put", "patch", "delete"] {
            if handlers.contains(&format!("{method}(")) {
                routes.push((method.to_uppercase(), path.to_owned()));
            }
        }
    }
    let mut table: Vec<_> = ROUTES.iter().map(|(method, route, _, _)| ((*method).to_owned(), (*route).to_owned())).collect();
    routes.sort();
    table.sort();
    assert_eq!(table, routes, "a new route needs a row in ROUTES");
    assert_eq!(source.matches(".route(").count(), source.matches(".route(\"/").count(), "a route without a literal path");
    assert!(!source.contains(".nest(") && !source.contains(".merge("), "routes from elsewhere");
}

#[test]
fn the_published_description_lists_exactly_the_routes() {
    let described: Value = serde_json::from_str(include_str!("../../src/http/openapi.json")).unwrap();
    let mut listed: Vec<_> = described["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone())))
        .collect();
    let plain = |route: &str| route.replace("{*", "{");
    let mut routes: Vec<_> = ROUTES.iter().map(|(method, route, _, _)| ((*method).to_owned(), plain(route))).collect();
    listed.sort();
    routes.sort();
    assert_eq!(listed, routes, "src/http/openapi.json describes every route");
}

/// Somebody at a door.
#[derive(Clone, Debug)]
struct Who {
    name: &'static str,
    key: Option<String>,
    origin: Option<&'static str>,
    /// None for somebody whose key is no good.
    role: Option<Role>,
    own: bool,
}

impl Who {
    /// The status that this one gets.
    fn expected(&self, door: Door) -> u16 {
        let foreign = self.role == Some(Role::Site) && self.origin != Some(PAGE);
        match (door, self.role) {
            (Door::Public | Door::Operator, _) => 200,
            (Door::Said, _) => 401,
            (Door::Socket, _) if self.origin.is_some_and(|origin| origin != PAGE) => 403,
            (Door::Socket, None) if self.key.is_none() => 400,
            (_, None) => 401,
            _ if foreign => 403,
            (Door::Socket, _) => 400,
            (Door::Anyone, _) => 200,
            (Door::Nothing, _) => 404,
            (Door::Asker, Some(Role::Admin)) if self.own => 200,
            (Door::Asker | Door::Owner, _) => {
                if self.name == "the asker" {
                    200
                } else {
                    404
                }
            }
            (_, Some(Role::Site)) => 403,
            (Door::Program | Door::Tools, _) => 200,
            (_, Some(Role::Member)) => 403,
            (Door::Admin, _) => 200,
            (Door::Told(status), _) => status,
            (Door::Keeper, _) => {
                if self.own {
                    200
                } else {
                    404
                }
            }
        }
    }
}

/// Everybody there is.
async fn everybody(server: &Server, other: &TenantId) -> Vec<Who> {
    let demo = TenantId::parse("demo").unwrap();
    let (revoked, id) = issue(&server.tenants, &demo, Role::Admin).await;
    server.tenants.revoke(&demo, &id).await.unwrap();
    let no_good = |name, key: Option<&str>, origin| Who { name, key: key.map(str::to_owned), origin, role: None, own: false };
    let mut all = vec![
        no_good("nobody", None, None),
        no_good("nobody on a foreign page", None, Some(FOREIGN)),
        no_good("a wrong key", Some("mc_admin_wrong"), None),
        no_good("a revoked key", Some(&revoked), None),
        no_good("an empty key", Some(""), None),
        Who { name: "the asker", key: Some(server.member.clone()), origin: None, role: Some(Role::Member), own: true },
    ];
    for (tenant, own) in [(&demo, true), (other, false)] {
        for role in [Role::Admin, Role::Member] {
            let (key, _) = issue(&server.tenants, tenant, role).await;
            all.push(Who { name: role.as_str(), key: Some(key), origin: None, role: Some(role), own });
        }
        let (key, _) = issue(&server.tenants, tenant, Role::Site).await;
        for (name, origin) in
            [("site", Some(PAGE)), ("site on a foreign page", Some(FOREIGN)), ("site on no page", None), ("site on a file", Some("null"))]
        {
            all.push(Who { name, key: Some(key.clone()), origin, role: Some(Role::Site), own });
        }
    }
    all
}

#[tokio::test]
async fn every_door_lets_in_whom_it_should_and_nobody_else() {
    let server = Server::start(Setup { config: Some(neighbour::webhooks), channels: neighbour::bots(), ..Setup::default() }).await;
    let other = TenantId::parse("other").unwrap();
    server.tenants.add(&other, "Other").await.unwrap();
    let third = Neighbour::move_in(&server).await;
    let turn = server.session(&server.member).await.ask("普通店保证金要交多少？", json!({})).await;
    let own = |path: &str| path.replace("{c}", turn.conversation()).replace("{r}", turn.response()).replace("{e}", "deposit");
    let place = |path: &str| third.place(&own(path));
    let everybody = everybody(&server, &other).await;
    let mut wrong = Vec::new();
    for (method, _, path, door) in ROUTES {
        for who in &everybody {
            let answer = knock(&server, method, &place(path), who, turn.response()).await;
            let (status, expected) = (answer.status().as_u16(), who.expected(*door));
            let text = answer.text().await.unwrap();
            let fine = match door {
                // Pages may not be in this build, and the body of the sign-in is none.
                Door::Public => !matches!(status, 401 | 403 | 429 | 500),
                _ => status == expected || (expected == 200 && status == 204),
            };
            let leaks = text.contains(MARK) || !who.own && who.name != "the asker" && text.contains("10,000") && *door != Door::Anyone;
            if !fine || leaks {
                wrong.push(format!("{method} {path} for {} (own: {}): {status}, expected {expected}: {text:.200}", who.name, who.own));
            }
            if matches!(status, 401 | 403 | 404) {
                let body: Value = serde_json::from_str(&text).unwrap_or_default();
                if *door != Door::Public && (!body["error"]["code"].is_string() || !body["error"]["message"].is_string()) {
                    wrong.push(format!("{method} {path} for {}: not the error object: {text:.200}", who.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), ROUTES.len() * everybody.len(), wrong.join("\n"));
    what_was_refused_is_there(&server, &third).await;
}

/// The neighbour's own admin is told of none of it that it does not exist, after everybody else has tried: what is
/// deleted comes last.
async fn what_was_refused_is_there(server: &Server, third: &Neighbour) {
    let (conversation, response) = (&third.conversation, &third.response);
    let sources = format!("/api/v1/responses/{response}/sources/1");
    for path in [format!("/api/v1/conversations/{conversation}"), format!("/api/v1/responses/{response}/trace"), sources] {
        // Traces are for admins, whosever they are.
        let member = if path.ends_with("/trace") { 403 } else { 404 };
        for (key, status) in [(&server.admin, 404), (&server.member, member), (&third.admin, 200)] {
            let answer = server.get(&path).bearer_auth(key).send().await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
            assert_eq!(answer.text().await.unwrap().contains(MARK), status == 200, "{path}");
        }
    }
    for body in [json!({"text": "a", "replaces": response}), json!({"text": "a", "conversation_id": conversation})] {
        let answer = server.request(Method::POST, "/api/v1/chat").bearer_auth(&server.admin).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{body}");
    }
    let rated = json!({"response_id": response, "rating": "up"});
    assert_eq!(
        server.request(Method::POST, "/api/v1/feedback").bearer_auth(&server.admin).json(&rated).send().await.unwrap().status(),
        404
    );

    let mut theirs: Vec<_> = ROUTES.iter().filter(|(_, _, path, _)| path.contains("third")).collect();
    assert!(theirs.len() > 12, "{theirs:?}");
    theirs.sort_by_key(|(method, ..)| *method == "DELETE");
    let who = Who { name: "admin", key: Some(third.admin.clone()), origin: None, role: Some(Role::Admin), own: true };
    for (method, _, path, _) in theirs {
        let answer = knock(server, method, &third.place(path), &who, response).await;
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status != 404 && status != 401 && status != 403, "{method} {path}: {status} {text}");
    }
}

async fn knock(server: &Server, method: &str, path: &str, who: &Who, response: &str) -> Response {
    let mut request = server.request(method.parse::<Method>().unwrap(), path);
    if let Some(key) = &who.key {
        request = request.bearer_auth(key);
    }
    if let Some(origin) = who.origin {
        request = request.header("origin", origin);
    }
    request = match path {
        "/api/v1/chat" => request.json(&json!({"text": "面单在哪里"})),
        "/v1/chat/completions" => request.json(&json!({"messages": [{"role": "user", "content": "面单在哪里"}]})),
        "/api/v1/feedback" if method == "POST" => request.json(&json!({"response_id": response, "rating": "up"})),
        "/mcp" => request.header("accept", "application/json, text/event-stream").json(&super::mcp::call(1, "tools/list", json!({}))),
        "/api/v1/session" if method == "POST" => request.json(&json!({})),
        path if path.starts_with("/api/v1/knowledge/entries") && matches!(method, "POST" | "PUT") => request.json(&json!({})),
        _ => request,
    };
    request.send().await.unwrap()
}

#[tokio::test]
async fn another_visitors_and_another_tenants_things_do_not_exist() {
    let server = Server::small().await;
    let other = TenantId::parse("other").unwrap();
    server.tenants.add(&other, "Other").await.unwrap();
    let (other_admin, _) = issue(&server.tenants, &other, Role::Admin).await;

    let mut socket = server.socket(Some(PAGE)).await.unwrap();
    let ready = socket.open(json!({"token": server.site})).await;
    let mine = ready["visitor_token"].as_str().unwrap();
    let turn = socket.ask("普通店保证金要交多少？", json!({})).await;
    let stranger = server.socket(Some(PAGE)).await.unwrap().open(json!({"token": server.site})).await["visitor_token"].clone();

    let visit = async |path: String, visitor: &str| {
        let request = server.get(&path).bearer_auth(&server.site).header("origin", PAGE).header("x-visitor-token", visitor);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let own = [format!("/api/v1/conversations/{}", turn.conversation()), format!("/api/v1/responses/{}/sources/1", turn.response())];
    for path in own {
        assert_eq!(visit(path.clone(), mine).await.0, 200, "{path}");
        let (status, theirs) = visit(path.clone(), stranger.as_str().unwrap()).await;
        assert_eq!(status, 404, "{path}: {theirs}");
        // As if it did not exist: the very words for one that does not.
        let unknown = path.replace(turn.conversation(), "c_none").replace(turn.response(), "r_none");
        let nothing = visit(unknown, mine).await.1.to_string().replace("c_none", turn.conversation()).replace("r_none", turn.response());
        assert_eq!(nothing, theirs.to_string());
        assert_eq!(server.get(&path).bearer_auth(&other_admin).send().await.unwrap().status(), 404, "{path}");
        assert_eq!(server.get(&path).bearer_auth(&server.member).send().await.unwrap().status(), 404, "{path}");
        assert_eq!(server.get(&path).bearer_auth(&server.admin).send().await.unwrap().status(), 200, "{path}");
    }
    let (_, list) = visit("/api/v1/conversations".into(), mine).await;
    assert_eq!(list["conversations"].as_array().unwrap().len(), 1);
    assert_eq!(visit("/api/v1/conversations".into(), stranger.as_str().unwrap()).await.1["conversations"], json!([]));
    assert_eq!(server.json("/api/v1/conversations", &other_admin).await["conversations"], json!([]));
    assert_eq!(server.json("/api/v1/knowledge/entries", &other_admin).await["entries"], json!([]));
    assert_eq!(server.json("/api/v1/knowledge/stats", &other_admin).await["entries"], 0);
    let found = server.json("/api/v1/knowledge/search?q=普通店保证金要交多少", &other_admin).await;
    assert_eq!(found["hits"], json!([]), "{found}");
    // A shop that was just added can be asked and does not know, and the server is as ready as before.
    let asked = server.session(&other_admin).await.ask("普通店保证金要交多少？", json!({})).await;
    assert_eq!(asked.decision(), "none");
    server.wait_until_ready().await;
}

/// Both shops have the same rows, so that nothing but the shop keeps their answers apart.
#[tokio::test]
async fn an_answer_given_before_stays_in_its_shop_and_what_a_visitor_told_with_the_visitor() {
    const ALONE: &str = "退货地址在哪里修改？";
    const LATER: &str = "跨境包裹的面单怎么打印？";
    let provider = Arc::new(FakeProvider::start());
    let config: fn(&mut Config) = |config| config.cache.enabled = true;
    let server = Server::start(Setup { provider: Some(provider), config: Some(config), ..Setup::default() }).await;
    let other = TenantId::parse("other").unwrap();
    server.tenants.add(&other, "Other").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("small.csv"), server.data_dir.clone());
    std::fs::write(&file, SMALL).unwrap();
    let ran = tokio::task::spawn_blocking(move || run(&data, ["kb", "import", file.to_str().unwrap(), "--tenant", "other"]));
    ran.await.unwrap().done();
    let (other_admin, _) = issue(&server.tenants, &other, Role::Admin).await;
    let (other_member, _) = issue(&server.tenants, &other, Role::Member).await;
    let (other_site, _) = issue(&server.tenants, &other, Role::Site).await;
    let search = format!("/api/v1/knowledge/search?q={ALONE}");
    let followed = async {
        while server.json(&search, &other_admin).await["hits"].as_array().is_none_or(Vec::is_empty) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(super::server::PATIENCE, followed).await.expect("the other shop has its rows");

    let again = |turn: &Turn| {
        turn.check();
        assert_eq!((turn.done()["status"].as_str(), turn.decision()), (Some("completed"), "grounded"));
        turn.done()["usage"]["cached"] == true
    };
    let ask = async |key: &str, text: &str| again(&server.session(key).await.ask(text, json!({"model": "normal"})).await);
    assert!(!ask(&server.member, ALONE).await);
    assert!(ask(&server.member, ALONE).await && ask(&server.site, ALONE).await, "a question that tells nothing of anybody");
    assert!(!ask(&other_site, ALONE).await, "another shop's visitor");
    assert!(ask(&other_member, ALONE).await && ask(&server.admin, ALONE).await, "each shop has its own");

    // What was said before, and who somebody is, is in the answer: it is nobody else's.
    let mut visitor = server.session(&server.site).await;
    let before = visitor.ask("我是新加坡站的卖家，退货地址在哪里修改？", json!({"model": "normal"})).await;
    let in_talk = json!({"model": "normal", "conversation_id": before.conversation()});
    assert!(!again(&visitor.ask(LATER, in_talk.clone()).await));
    assert!(!ask(&server.site, LATER).await, "asked in another's conversation before");
    assert!(!again(&visitor.ask(LATER, in_talk).await), "and what others were told is no answer in a conversation");
    let personal = format!("{ALONE}我的手机 138-0013-8000");
    assert!(!ask(&server.site, &personal).await);
    assert!(!ask(&server.site, &personal).await, "who names a telephone asks for one person");
}

#[tokio::test]
async fn metrics_are_open_on_this_machine_only() {
    let server = Server::small().await;
    let ask = async |key: Option<&str>| {
        let request = server.get("/metrics").header("x-forwarded-for", "9.9.9.9");
        let request = key.into_iter().fold(request, |request, key| request.bearer_auth(key));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((ask(None).await, ask(Some(&server.member)).await, ask(Some(&server.admin)).await), (401, 403, 200));
    assert!(server.get("/metrics").send().await.unwrap().text().await.unwrap().contains("# TYPE"));
}

#[tokio::test]
async fn a_scrape_has_the_names_and_labels_that_are_documented() {
    let provider = Arc::new(FakeProvider::start());
    let server = Server::start(Setup { provider: Some(Arc::clone(&provider)), ..Setup::default() }).await;
    let mut socket = server.session(&server.member).await;
    for model in ["normal", "silent", "unauthorized"] {
        socket.ask("退货地址在哪里修改？", json!({"model": model})).await;
    }
    let scraped = server.get("/metrics").send().await.unwrap().text().await.unwrap();
    let line = |name: &str, labels: &[&str]| {
        let fits = |line: &&str| line.starts_with(&format!("{name}{{")) && labels.iter().all(|label| line.contains(label));
        scraped.lines().find(fits).unwrap_or_else(|| panic!("{name} {labels:?}: {scraped}")).to_owned()
    };
    let demo = r#"tenant="demo""#;
    let expected: [(&str, &[&str]); 12] = [
        ("copilot_http_requests_total", &[r#"route=""#, r#"status="200""#]),
        ("copilot_turns_total", &[demo, r#"decision="grounded""#, r#"status="completed""#]),
        ("copilot_turns_total", &[demo, r#"status="failed""#]),
        ("copilot_first_token_seconds_count", &[demo]),
        ("copilot_turn_seconds_bucket", &[demo, r#"le=""#]),
        ("copilot_retrieval_seconds_count", &[demo]),
        ("copilot_retrieval_leg_seconds_count", &[demo, r#"leg="lexical""#]),
        ("copilot_model_tokens_total", &[demo, r#"model="normal""#, r#"direction="in""#]),
        ("copilot_model_cost_micros_total", &[demo, r#"model="normal""#, r#"currency="CNY""#]),
        ("copilot_model_attempts_total", &[r#"model="normal""#, r#"outcome="answered""#]),
        ("copilot_model_attempts_total", &[r#"model="unauthorized""#, r#"outcome="model_unauthorized""#]),
        ("copilot_model_errors_total", &[r#"model="silent""#, r#"code="model_stream_broken""#]),
    ];
    for (name, labels) in expected {
        line(name, labels);
    }
    for kind in ["# TYPE copilot_turns_total counter", "# TYPE copilot_turn_seconds histogram", "# TYPE copilot_sockets gauge"] {
        assert!(scraped.contains(kind), "{kind}");
    }
    // An end without a word is tried again, and counted each time.
    let silent = line("copilot_model_attempts_total", &[r#"model="silent""#, r#"outcome="model_stream_broken""#]);
    assert!(silent.rsplit(' ').next().unwrap().parse::<f64>().unwrap() >= 2.0, "{silent}");
    assert!(!scraped.contains("退货地址"), "no label holds a question");
}

#[tokio::test]
async fn a_console_session_works_from_its_own_pages_only() {
    let server = Server::small().await;
    let sign_in = async |token: &str| server.request(Method::POST, "/api/v1/session").json(&json!({"token": token})).send().await.unwrap();
    for (token, status) in [("mc_admin_wrong", 401), ("in_wrong", 401), (server.member.as_str(), 403)] {
        assert_eq!(sign_in(token).await.status(), status, "{token:.10}");
    }
    let link = server.tenants.issue_link(&TenantId::parse("demo").unwrap()).await.unwrap();
    let posted = server.request(Method::POST, "/api/v1/session").header("content-type", "text/plain").header("origin", FOREIGN);
    let posted = posted.body(json!({"token": link.reveal()}).to_string()).send().await.unwrap();
    assert_eq!((posted.status().as_u16(), posted.headers().contains_key("set-cookie")), (403, false), "a form of another page");
    let answer = sign_in(link.reveal()).await;
    assert_eq!(answer.status(), 200);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert_eq!(sign_in(link.reveal()).await.status(), 401, "a link works once");
    let cookie = cookie.split(';').next().unwrap();
    let shown: Value = server.get("/api/v1/session").header("cookie", cookie).send().await.unwrap().json().await.unwrap();
    assert!(shown["expires_at"].as_str().is_some_and(|at| at.ends_with('Z')) && shown["link_hosts"] == json!([]), "{shown}");
    let own = server.request(Method::POST, "/api/v1/session").header("origin", server.url("")).json(&json!({"token": server.admin}));
    assert_eq!(own.send().await.unwrap().status(), 200, "our own page");
    let leave = async |origin: Option<String>| {
        let request = server.request(Method::DELETE, "/api/v1/session").header("cookie", cookie);
        let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((leave(None).await, leave(Some(FOREIGN.into())).await), (403, 403));
    assert_eq!(leave(Some(server.url(""))).await, 204);
    assert_eq!(server.get("/api/v1/session").header("cookie", cookie).send().await.unwrap().status(), 401);
}

/// Asks until it is too often; the refusal.
async fn until_refused(server: &Server, key: &str, address: &str) -> Response {
    for _ in 0..100 {
        let answer = server.get("/api/v1/conversations").bearer_auth(key).header("x-forwarded-for", address).send().await.unwrap();
        if answer.status() != 200 {
            return answer;
        }
    }
    panic!("never too often");
}

async fn check_refusal(answer: Response, whose: &str) {
    assert_eq!(answer.status(), 429);
    assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["error"]["code"], "rate_limited");
    assert!(body["error"]["message"].as_str().unwrap().contains(whose), "{body}");
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_back() {
    let server = Server::start(Setup { config: Some(|config| config.limits.key_per_minute = 2), ..Setup::default() }).await;
    check_refusal(until_refused(&server, &server.member, "8.8.8.8").await, "key").await;
    let fresh = server.get("/api/v1/conversations").bearer_auth(&server.admin).header("x-forwarded-for", "8.8.8.8").send().await.unwrap();
    assert_eq!(fresh.status(), 200, "another key of the same address");
    let openai = server.get("/v1/models").bearer_auth(&server.member).send().await.unwrap();
    assert!(openai.status() == 429 && openai.headers().contains_key("retry-after"));
    assert_eq!(openai.json::<Value>().await.unwrap()["error"]["type"], "rate_limit_error");
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_told_when_to_come_back() {
    let server = Server::start(Setup { config: Some(|config| config.limits.address_per_minute = 2), ..Setup::default() }).await;
    check_refusal(until_refused(&server, &server.member, "8.8.8.8").await, "address").await;
    let answer = until_refused(&server, &server.admin, "8.8.8.8").await;
    check_refusal(answer, "address").await;
    let elsewhere =
        server.get("/api/v1/conversations").bearer_auth(&server.member).header("x-forwarded-for", "8.8.4.4").send().await.unwrap();
    assert_eq!(elsewhere.status(), 200);
}

#[tokio::test]
async fn wrong_keys_are_limited_by_address_and_lock_no_right_one_out() {
    const ADDRESS: &str = "8.8.8.8";
    let server = Server::start(Setup { config: Some(|config| config.limits.address_per_minute = 3), ..Setup::default() }).await;
    let show = async |path: &str, key: &str, address: &str| {
        server.get(path).bearer_auth(key).header("x-forwarded-for", address).send().await.unwrap()
    };
    for _ in 0..3 {
        assert_eq!(show("/api/v1/conversations", "mc_admin_wrong", ADDRESS).await.status(), 401);
    }
    check_refusal(show("/api/v1/conversations", "mc_admin_wrong", ADDRESS).await, "wrong keys from this address").await;
    let openai = show("/v1/models", "sk-wrong", ADDRESS).await;
    assert!(openai.status() == 429 && openai.headers().contains_key("retry-after"));
    assert_eq!(openai.json::<Value>().await.unwrap()["error"]["type"], "rate_limit_error");
    let cookie = server.get("/api/v1/session").header("cookie", "mc_session=in_wrong").header("x-forwarded-for", ADDRESS);
    assert_eq!(cookie.send().await.unwrap().status(), 429, "a session that is none");
    let link = server.request(Method::POST, "/api/v1/session").header("x-forwarded-for", ADDRESS).json(&json!({"token": "in_wrong"}));
    assert_eq!(link.send().await.unwrap().status(), 429, "a sign-in link that is none");
    assert_eq!(show("/api/v1/conversations", &server.member, ADDRESS).await.status(), 200, "a right key");
    assert_eq!(show("/api/v1/conversations", "mc_admin_wrong", "8.8.4.4").await.status(), 401, "another address");

    // Sockets come from this machine; the wrong keys of their first frames count like the others.
    let mut seen = Vec::new();
    for _ in 0..5 {
        let mut socket = server.socket(None).await.unwrap();
        let refused = socket.open(json!({"token": "mc_member_wrong"})).await;
        seen.push((refused["code"].as_str().unwrap().to_owned(), socket.closed().await));
        if seen.last().unwrap().0 == "rate_limited" {
            assert!(refused["retryable"] == true && refused["retry_after_ms"].as_u64() > Some(0), "{refused}");
        }
    }
    assert_eq!(seen[0], ("invalid_key".to_owned(), 4401));
    assert_eq!(seen[4], ("rate_limited".to_owned(), 4429));
    server.session(&server.member).await;
}

#[tokio::test]
async fn a_socket_that_does_not_stop_asking_is_closed() {
    let server = Server::start(Setup { config: Some(|config| config.limits.key_per_minute = 1), ..Setup::default() }).await;
    let mut socket = server.session(&server.member).await;
    socket.ask("普通店保证金要交多少？", json!({})).await.check();
    let id = socket.say("再问一次", json!({})).await;
    let refused = socket.frame().await;
    assert_eq!((&refused["type"], &refused["code"], &refused["ref"]), (&json!("error"), &json!("rate_limited"), &json!(id)));
    assert!(refused["retryable"] == true && refused["retry_after_ms"].as_u64() > Some(0), "{refused}");
    for _ in 0..100 {
        socket.say("再问一次", json!({})).await;
        match socket.came().await {
            Came::Frame(frame) => assert_eq!(frame["code"], "rate_limited"),
            Came::Close(code) => return assert_eq!(code, 4429),
        }
    }
    panic!("never closed");
}

#[tokio::test]
async fn an_address_has_only_so_many_sockets() {
    let server = Server::start(Setup { config: Some(|config| config.limits.sockets_per_address = 2), ..Setup::default() }).await;
    let (first, _second) = (server.socket(None).await.unwrap(), server.socket(None).await.unwrap());
    assert_eq!(server.socket(None).await.err(), Some(429));
    first.vanish().await;
    let freed = async {
        while server.socket(None).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(super::server::PATIENCE, freed).await.expect("the seat is free again");
}
