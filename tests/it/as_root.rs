//! Commands that root runs beside a service of another user: what they leave in the data directory belongs to that user.
//! Only root can show it, so elsewhere there is nothing to see.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use reqwest::{Client, Method};
use serde_json::Value;

use super::process::{BINARY, Serving, Shop, command};

/// `nobody`, who owns nothing.
const SERVICE: u32 = 65_534;
const ROWS: &str = "id,question,answer\na,保证金什么时候退？,关店后 45 天退还。\n";

/// Everything in a folder that is not the service's.
fn foreign(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|item| item.unwrap().path()) {
        if std::fs::symlink_metadata(&path).unwrap().uid() != SERVICE {
            found.push(path.clone());
        }
        if path.is_dir() {
            found.extend(foreign(&path));
        }
    }
    found
}

/// Plans an import and applies it, as the console does.
async fn import(serving: &Serving, key: &str, row: &str) -> (u16, Value) {
    let client = Client::new();
    let send = async |method: Method, path: String, body: String| {
        let request = client.request(method, format!("{}/api/v1/knowledge/imports{path}", serving.url)).bearer_auth(key);
        let answer = request.header("content-type", "multipart/form-data; boundary=b").body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let head = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"rows.csv\"\r\n\r\n";
    let (status, plan) = send(Method::POST, String::new(), format!("{head}id,question,answer\n{row}\n\r\n--b--\r\n")).await;
    assert_eq!(status, 201, "{plan}");
    let apply = format!("{}/api/v1/knowledge/imports/{}/apply", serving.url, plan["id"].as_str().unwrap());
    let answer = client.post(apply).bearer_auth(key).json(&serde_json::json!({})).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn what_root_does_beside_a_service_of_another_user_does_not_lock_it_out() {
    if !rustix::process::geteuid().is_root() {
        let _ = writeln!(std::io::stderr(), "skipped: only root can run commands beside another user's service");
        return;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let shop = Shop::new();
    let folder = shop.data.parent().unwrap().to_owned();
    std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(&shop.data).unwrap();
    std::fs::set_permissions(&shop.data, Permissions::from_mode(0o700)).unwrap();
    chown(&shop.data, Some(SERVICE), Some(SERVICE)).unwrap();
    // Where the service can reach it.
    let binary = folder.join("merchant-copilot");
    std::fs::copy(BINARY, &binary).unwrap();

    shop.import(&shop.file("rows.csv", ROWS)).done();
    assert_eq!(foreign(&shop.data), [] as [PathBuf; 0], "an import before the service's first start");
    let key = shop.run(["key", "issue", "--role", "admin"]).done().json["key"].as_str().unwrap().to_owned();

    let mut service = std::process::Command::new(&binary);
    let environment = command(&shop.data);
    service.args(environment.get_args()).env_clear().stdin(std::process::Stdio::null()).uid(SERVICE).gid(SERVICE).current_dir(&folder);
    let serving = Serving::by(service);
    serving.ready().await;
    let more = shop.file("more.csv", "id,question,answer\nb,怎么修改退货地址？,在店铺设置里修改。\n");
    shop.run([OsStr::new("kb"), OsStr::new("import"), more.as_os_str()]).done();
    shop.run(["kb", "reindex"]).done();
    assert_eq!(shop.search("怎么修改退货地址？")[0], "b");
    assert_eq!(foreign(&shop.data), [] as [PathBuf; 0], "beside the service");
    let (status, applied) = import(&serving, &key, "c,面单怎么打印？,在发货中心打印。").await;
    assert_eq!((status, &applied["state"]), (200, &"applied".into()), "{applied}");

    // As a version that did not give it away left it: who may read it may lock it.
    let lock = shop.data.join("index/demo.import.lock");
    chown(&lock, Some(0), Some(0)).unwrap();
    let (status, applied) = import(&serving, &key, "d,几点截单？,下午四点截单。").await;
    assert_eq!((status, &applied["state"]), (200, &"applied".into()), "{applied}");
    std::fs::set_permissions(&lock, Permissions::from_mode(0o600)).unwrap();
    let (status, refused) = import(&serving, &key, "e,仓库在哪里？,在广州和宁波。").await;
    assert_eq!((status, &refused["error"]["code"]), (503, &"lock_unusable".into()), "{refused}");
    let said = refused["error"]["message"].as_str().unwrap();
    assert!(said.contains("demo.import.lock") && said.contains("chown"), "{said}");
    // Whatever root runs next puts it right.
    shop.run(["kb", "stats"]).done();
    let (status, applied) = import(&serving, &key, "f,仓库几点关门？,十八点。").await;
    assert_eq!((status, &applied["state"]), (200, &"applied".into()), "{applied}");
}
