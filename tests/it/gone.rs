//! What is deleted is gone from the disk too: from the database's file and from its log.

use std::path::Path;

use merchant_copilot::config::Config;
use merchant_copilot::db::Db;
use merchant_copilot::ids::{Clock, OwnerId, TenantId, Timestamp};
use merchant_copilot::memory::{Memory, NewTurn};
use reqwest::Method;
use serde_json::json;

use super::server::{Server, Setup};

/// In a question, and nowhere else.
const SECRET: &str = "毛绒海马玩具可以寄到南极科考站吗";

/// The files of the database that have the secret.
fn holding(data: &Path) -> Vec<&'static str> {
    let has = |file: &&str| {
        let bytes = std::fs::read(data.join(file)).unwrap_or_default();
        bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
    };
    ["copilot.db", "copilot.db-wal"].into_iter().filter(has).collect()
}

async fn delete(server: &Server, conversation: &str) {
    let request = server.request(Method::DELETE, &format!("/api/v1/conversations/{conversation}"));
    assert_eq!(request.bearer_auth(&server.member).send().await.unwrap().status(), 204);
}

#[tokio::test]
async fn a_deleted_conversation_is_in_no_file() {
    let server = Server::small().await;
    let mut socket = server.session(&server.member).await;
    let turn = socket.ask(SECRET, json!({"model": "builtin"})).await;
    assert!(!holding(&server.data_dir).is_empty(), "it was stored");
    // Some of it in the file, some in the log.
    for _ in 0..3 {
        socket.ask(&format!("{SECRET}？请再说一次"), json!({"model": "builtin", "conversation_id": turn.conversation()})).await;
    }
    delete(&server, turn.conversation()).await;
    // Whoever read just then keeps the log from being emptied; the next deletion empties it.
    for _ in 0..20 {
        if holding(&server.data_dir).is_empty() {
            break;
        }
        let other = socket.ask("普通店保证金要交多少？", json!({})).await;
        delete(&server, other.conversation()).await;
    }
    assert_eq!(holding(&server.data_dir), [""; 0]);
    assert!(std::fs::read(server.data_dir.join("copilot.db")).unwrap().len() > 4096, "the file that was looked into is the database");
}

#[tokio::test]
async fn what_is_swept_is_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let setup = |config| Setup { data_dir: Some(folder.path().to_owned()), config, ..Setup::default() };
    let mut server = Server::start(setup(None)).await;
    let long_ago = Timestamp(Clock::system().now().0 - 3 * 24 * 60 * 60 * 1000);
    let db = Db::open("", folder.path()).await.unwrap();
    let memory = Memory::new(db.clone(), Clock::fixed(long_ago));
    let (demo, owner) = (TenantId::parse("demo").unwrap(), OwnerId::from_text("k_gone"));
    let old = NewTurn {
        owner: &owner,
        conversation: None,
        channel: "ws",
        client_msg_id: None,
        question: SECRET,
        model: "builtin",
        market: None,
        locale: None,
        instead: None,
    };
    memory.record_question(&demo, &old).await.unwrap();
    db.close().await;
    server.stop();
    assert!(!holding(folder.path()).is_empty(), "it was stored");
    let server = Server::start(setup(Some(|config: &mut Config| config.chat.retention_days = 2))).await;
    let gone = async {
        while !holding(&server.data_dir).is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(super::server::PATIENCE, gone).await.expect("it is still on the disk");
}
