//! Models by their name, from a hub that is played here: fetched once, read from the data directory ever after, and
//! clearly told when they cannot be fetched.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path as Asked, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::fake_server::FakeServer;
use super::process::{Ran, Shop, command, finish};

const CSV: &str = "id,question,answer\na,保证金什么时候退？,关店后 45 天退还。\nb,怎么修改退货地址？,在店铺设置里修改。\n";
const EMBEDDER: &str = "BAAI/bge-small-zh-v1.5";
const RERANKER: &str = "BAAI/bge-reranker-base";
/// What the hub says that its files are of.
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Every file that was asked for, with its owner and model.
type Seen = Arc<Mutex<Vec<String>>>;

/// A hub that has the model compiled in and the tests' cross-encoder, under the names of others.
fn hub() -> (FakeServer, Seen) {
    let seen = Seen::default();
    let app = Router::new().route("/{owner}/{model}/resolve/main/{*file}", get(answer)).with_state(Arc::clone(&seen));
    (FakeServer::start(app, CancellationToken::new()), seen)
}

async fn answer(State(seen): State<Seen>, Asked((owner, model, file)): Asked<(String, String, String)>, headers: HeaderMap) -> Response {
    let folder = match format!("{owner}/{model}").as_str() {
        "Xenova/bge-small-zh-v1.5" => "knowledge/embedder",
        RERANKER => "tests/it/cross_encoder",
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    seen.lock().unwrap().push(format!("{owner}/{model}/{file}"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(file.trim_start_matches("onnx/"));
    let Ok(bytes) = std::fs::read(path) else { return StatusCode::NOT_FOUND.into_response() };
    let etag: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let range = headers[header::RANGE].to_str().unwrap().trim_start_matches("bytes=").to_owned();
    let (from, to) = range.split_once('-').unwrap();
    let from: usize = from.parse().unwrap();
    let to = to.parse().map_or(bytes.len(), |to: usize| to + 1);
    let told = [
        (header::CONTENT_RANGE, format!("bytes {from}-{}/{}", to - 1, bytes.len())),
        (header::ETAG, format!("\"{etag}\"")),
        (header::HeaderName::from_static("x-repo-commit"), COMMIT.to_owned()),
    ];
    (StatusCode::PARTIAL_CONTENT, told, bytes[from..to].to_vec()).into_response()
}

/// The program with models by name, from this hub.
fn with_hub(shop: &Shop, hub: &str) -> Command {
    let mut command = command(&shop.data);
    for name in ["HF_HOME", "HF_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    command.env("HF_ENDPOINT", hub).env("COPILOT_EMBEDDER__SOURCE", EMBEDDER);
    command
}

fn error(ran: &Ran, code: &str) -> String {
    assert_eq!((ran.code, ran.json["error"]["code"].as_str()), (Some(2), Some(code)), "{ran:?}");
    ran.json["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_model_by_its_name_is_fetched_once_and_then_needs_no_network() {
    let (server, seen) = hub();
    let address = format!("http://{}", server.address);
    let shop = Shop::new();
    let file = shop.file("rows.csv", CSV);
    finish(with_hub(&shop, &address).args(["kb", "import"]).arg(&file)).done();
    let asked = seen.lock().unwrap().len();
    assert!(seen.lock().unwrap().iter().any(|file| file == "Xenova/bge-small-zh-v1.5/onnx/model.onnx"));
    let stats = finish(with_hub(&shop, &address).args(["kb", "stats"])).done().json;
    assert_eq!(stats["embedder"], format!("hub:BGESmallZHV15:{}:256", &COMMIT[..12]), "{stats}");
    assert!(shop.data.join("models/models--Xenova--bge-small-zh-v1.5").is_dir());
    assert_eq!(seen.lock().unwrap().len(), asked, "what was fetched is not fetched again");

    // The hub goes away, and a reranker is wanted beside the embedder.
    let rerank = |command: &mut Command| finish(command.env("COPILOT_RERANK__SOURCE", RERANKER).args(["kb", "search", "退货地址怎么改"]));
    let ran = rerank(&mut with_hub(&shop, &address)).done();
    assert_eq!((&ran.json["rerank"]["model"], &ran.json["rerank"]["error"]), (&RERANKER.into(), &Value::Null), "{ran:?}");
    drop(server);
    let ran = rerank(&mut with_hub(&shop, &address)).done();
    assert_eq!(ran.json["hits"][0]["id"], "b", "{ran:?}");
    assert!(ran.json["hits"][0]["semantic"]["rank"].is_u64(), "found by its meaning too: {ran:?}");
}

#[tokio::test]
async fn a_model_that_cannot_be_fetched_says_from_where_and_what_to_do() {
    let (server, _) = hub();
    let address = format!("http://{}", server.address);
    let shop = Shop::new();
    let file = shop.file("rows.csv", CSV);
    let import = |command: &mut Command| finish(command.args(["kb", "import"]).arg(&file));
    // What the hub does not have, or has with a file missing.
    let ran = import(with_hub(&shop, &address).env("COPILOT_EMBEDDER__SOURCE", "BGEM3"));
    let said = error(&ran, "embedder_missing");
    assert!(["BAAI/bge-m3", &address, "404", "HF_ENDPOINT", "embedder.source"].iter().all(|part| said.contains(part)), "{said}");
    drop(server);
    // What nobody answers for.
    let said = error(&import(&mut with_hub(&shop, &address)), "embedder_missing");
    let models = shop.data.join("models").display().to_string();
    assert!([address.as_str(), &models, "HF_ENDPOINT"].iter().all(|part| said.contains(part)), "{said}");
    let ran = import(command(&shop.data).env("HF_ENDPOINT", &address).env("COPILOT_RERANK__SOURCE", RERANKER));
    assert!(error(&ran, "reranker_missing").contains("rerank.source"));
    // And a name that nobody has.
    let ran = import(with_hub(&shop, &address).env("COPILOT_EMBEDDER__SOURCE", "nobody/nothing"));
    let said = error(&ran, "embedder_missing");
    assert!(said.contains("nobody/nothing") && said.contains("BGESmallZHV15"), "{said}");
}
