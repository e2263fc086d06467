//! A shop with one of everything that has an id, for the test that walks every door with other shops' keys: what is
//! refused there has to be there.

use merchant_copilot::config::{ChannelsConfig, Config, Secret, WebhookConfig};
use merchant_copilot::ids::TenantId;
use merchant_copilot::tenants::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::imports::upload;
use super::server::{PATIENCE, Server, issue};

const NAME: &str = "third";
/// In everything of this shop, and nowhere else.
pub const MARK: &str = "三号仓的秘密";
/// Nobody listens there; what cannot be delivered waits, which is all that is wanted of it.
const NOWHERE: &str = "127.0.0.1:9";

/// The shop, with the ids of what it has.
pub struct Neighbour {
    pub admin: String,
    pub response: String,
    pub conversation: String,
    ids: [(&'static str, String); 8],
}

/// Who is told of what happens in it.
pub fn webhooks(config: &mut Config) {
    let webhook = WebhookConfig {
        tenant: NAME.to_owned(),
        url: Secret::new(format!("http://{NOWHERE}/hooks")),
        secret: Secret::new("whsec_dHdlbnR5LWZvdXIgcmFuZG9tIGJ5dGVz"),
        events: Vec::new(),
        private_hosts: vec![NOWHERE.to_owned()],
    };
    config.webhooks.insert(NAME.to_owned(), webhook);
}

/// Its bot.
pub fn bots() -> ChannelsConfig {
    let table = format!("tenant = \"{NAME}\"\nclient_id = \"third\"\nclient_secret = \"s\"\napi_base = \"http://{NOWHERE}\"");
    toml::from_str(&format!("[dingtalk.{NAME}]\n{table}\nduty_group = \"cid_duty\"\nduty_user = \"boss\"\n")).unwrap()
}

impl Neighbour {
    /// Opens the shop and fills it.
    pub async fn move_in(server: &Server) -> Self {
        let shop = TenantId::parse(NAME).unwrap();
        server.tenants.add(&shop, "Third").await.unwrap();
        let (admin, _) = issue(&server.tenants, &shop, Role::Admin).await;
        let (_, key) = issue(&server.tenants, &shop, Role::Admin).await;
        let send = async |method: Method, path: &str, body: Value| {
            let answer = server.request(method, path).bearer_auth(&admin).json(&body).send().await.unwrap();
            let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
            assert!(status.is_success(), "{path}: {status} {body}");
            body
        };
        let row = |text: &str| json!({"question": format!("{MARK}在哪里？"), "answer": format!("{MARK}：{text}")});
        let entry = send(Method::POST, "/api/v1/knowledge/entries", row("在后院。")).await["id"].as_str().unwrap().to_owned();
        send(Method::PUT, &format!("/api/v1/knowledge/entries/{entry}"), row("在地下室。")).await;
        let case = send(Method::POST, "/api/v1/knowledge/cases", json!({"cases": [{"query": MARK, "relevant": [entry]}]})).await;
        let template = include_str!("../../prompts/answer.en.md").replacen("## Instruction\n", &format!("## Instruction\n\n{MARK}\n"), 1);
        let version = send(Method::POST, "/api/v1/prompts/answer.en/versions", json!({"text": template})).await;
        let plan = async |question: &str| {
            let file = format!("question,answer\n{MARK}{question}？,{MARK}没有说。\n");
            let planned = upload(server, &admin, &[("rows.csv", file.as_bytes())], &[]).await.json::<Value>().await.unwrap();
            planned["id"].as_str().unwrap_or_else(|| panic!("{planned}")).to_owned()
        };
        let (planned, applied) = (plan("几点开门").await, plan("谁来打扫").await);
        send(Method::POST, &format!("/api/v1/knowledge/imports/{applied}/apply"), json!({})).await;
        let turn = server.session(&admin).await.ask(&format!("{MARK}在哪里？"), json!({})).await;
        let told = async {
            loop {
                let log = server.json("/api/v1/webhooks/deliveries", &admin).await;
                if let Some(id) = log["deliveries"][0]["id"].as_str() {
                    return id.to_owned();
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let delivery = tokio::time::timeout(PATIENCE, told).await.expect("something is told of this shop");
        let ids = [
            ("{third_conversation}", turn.conversation().to_owned()),
            ("{third_key}", key.to_string()),
            ("{third_version}", version["version"].to_string()),
            ("{third_case}", case["cases"][0]["id"].as_str().unwrap().to_owned()),
            ("{third_entry}", entry),
            ("{third_import}", planned),
            ("{third_applied}", applied),
            ("{third_delivery}", delivery),
        ];
        Self { response: turn.response().to_owned(), conversation: turn.conversation().to_owned(), admin, ids }
    }

    /// A path with this shop's ids in it.
    pub fn place(&self, path: &str) -> String {
        self.ids.iter().fold(path.to_owned(), |path, (name, id)| path.replace(name, id))
    }
}
