//! The real binary: commands beside a running server, torn files, full disks, backups, and what each
//! failure says.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::server::PATIENCE;

pub const BINARY: &str = env!("CARGO_BIN_EXE_merchant-copilot");
const CSV: &str = "编号,标准问题,答案\n\
    a,保证金什么时候退？,关店后 45 天退还。\n\
    b,怎么修改退货地址？,在店铺设置里修改。\n\
    c,面单怎么打印？,在发货中心打印。\n";

/// A data directory and a place for files.
pub struct Shop {
    folder: TempDir,
    pub data: PathBuf,
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub json: Value,
    pub out: String,
}

impl Ran {
    #[track_caller]
    pub fn failed_with(&self, code: &str) -> &str {
        assert_eq!((self.code, self.json["error"]["code"].as_str()), (Some(2), Some(code)), "{self:?}");
        self.json["error"]["message"].as_str().unwrap()
    }

    /// The six counts, in the contract's order.
    #[track_caller]
    pub fn counts(&self) -> [u64; 6] {
        ["added", "changed", "unchanged", "duplicates", "conflicts", "failed"]
            .map(|name| self.json[name].as_u64().unwrap_or_else(|| panic!("{self:?}")))
    }

    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

impl Shop {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { data: folder.path().join("data"), folder }
    }

    fn at(data: &Path) -> Self {
        Self { data: data.to_owned(), ..Self::new() }
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        run(&self.data, arguments)
    }

    pub fn import(&self, path: &Path) -> Ran {
        self.run([OsStr::new("kb"), OsStr::new("import"), path.as_os_str()])
    }

    fn entries(&self) -> u64 {
        self.run(["kb", "stats"]).done().json["entries"].as_u64().unwrap()
    }

    /// Every row as exported, sorted.
    pub fn export(&self) -> Vec<String> {
        let ran = self.run(["kb", "export"]).done();
        let mut rows: Vec<String> = ran.out.lines().map(str::to_owned).collect();
        rows.sort();
        rows
    }

    /// The ids that a search finds, best first.
    pub fn search(&self, query: &str) -> Vec<String> {
        let ran = self.run(["kb", "search", query]).done();
        ran.json["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_str().unwrap().to_owned()).collect()
    }
}

/// The binary as programs run it.
pub fn command(data: &Path) -> Command {
    let mut command = as_people_run_it(data);
    command.arg("--json");
    command
}

/// The binary with nothing of the caller's own environment that it would listen to.
pub fn as_people_run_it(data: &Path) -> Command {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("COPILOT_") || text.ends_with("_API_KEY") {
            command.env_remove(&name);
        }
    }
    command.arg("--data-dir").arg(data).stdin(Stdio::null());
    command
}

/// Runs one command with `--json`.
pub fn run<S: AsRef<OsStr>>(data: &Path, arguments: impl IntoIterator<Item = S>) -> Ran {
    finish(command(data).args(arguments))
}

pub fn finish(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(!err.contains("panicked"), "{err}");
    Ran { code: output.status.code(), json: serde_json::from_str(&out).unwrap_or_default(), out }
}

/// `serve` as a process; killed when dropped.
pub struct Serving {
    child: Child,
    pub url: String,
}

impl Serving {
    fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// With these variables in its environment.
    pub fn start_with(data: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = command(data);
        command.envs(environment.iter().copied());
        Self::by(command)
    }

    /// By this command line, which lacks only what to do.
    pub fn by(mut command: Command) -> Self {
        let mut child = command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let serving = Self { child, url: format!("http://{}", said["listen"].as_str().unwrap()) };
        assert!(said["console"].as_str().unwrap().contains("#signin="), "{said}");
        serving
    }

    /// Asks until the answer is as wanted.
    pub async fn until(&self, path: &str, key: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = client.get(format!("{}{path}", self.url)).bearer_auth(key).send().await.unwrap();
            let status = answer.status().as_u16();
            let body: Value = answer.json().await.unwrap_or_default();
            if wanted(status, &body) {
                return body;
            }
            assert!(Instant::now() < deadline, "{path}: {status} {body}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn ready(&self) {
        self.until("/readyz", "", |status, _| status == 200).await;
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; the exit code.
    fn stop(mut self) -> Option<i32> {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_format_comes_in_and_the_second_time_nothing_changes() {
    let shop = Shop::new();
    let (gbk, _, _) = encoding_rs::GBK.encode("问题,答案\n仓库在哪里？,在广州和宁波。\n几点截单？,下午四点截单。\n");
    let files = [
        (shop.file("utf8.csv", CSV), 3),
        (shop.file("gbk.csv", &gbk), 2),
        (shop.file("rows.jsonl", "{\"id\":\"j1\",\"question\":\"How are returns paid?\",\"answer\":\"By the buyer.\"}\n"), 1),
        (shop.file("rules.md", "# 清关规则\n\n## 身份证\n\n每人每年限额 26,000 元。\n\n## 申报\n\n按实际成交价申报。\n"), 2),
    ];
    for (path, rows) in &files {
        assert_eq!(shop.import(path).done().counts(), [*rows, 0, 0, 0, 0, 0], "{}", path.display());
    }
    for (path, rows) in &files {
        assert_eq!(shop.import(path).done().counts(), [0, 0, *rows, 0, 0, 0], "{}", path.display());
    }
    assert_eq!(shop.entries(), 8);
    assert!(shop.export().iter().any(|row| row.contains("在广州和宁波")), "GBK was read");
    assert_eq!(shop.search("保证金什么时候退")[0], "a");

    let changed = shop.file("utf8.csv", CSV.replace("45 天", "60 天"));
    let dry = shop.run([OsStr::new("kb"), OsStr::new("import"), changed.as_os_str(), OsStr::new("--dry-run")]).done();
    assert_eq!(dry.counts(), [0, 1, 2, 0, 0, 0]);
    let real = shop.import(&changed).done();
    assert_eq!(real.counts(), [0, 1, 2, 0, 0, 0], "a dry run writes nothing");
    assert!(real.json["revision"].as_i64() > dry.json["revision"].as_i64());
    assert!(shop.export().iter().any(|row| row.contains("60 天")));
}

#[test]
fn a_bad_file_says_what_is_wrong_with_it() {
    let shop = Shop::new();
    let noise: Vec<u8> = (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).chain([0; 64]).collect();
    let (gbk, _, _) = encoding_rs::GBK.encode("问题,答案\n仓库在哪里？,在广州。\n");
    let gbk = shop.file("gbk.csv", &gbk);
    assert!(shop.import(&shop.folder.path().join("none.csv")).failed_with("file_unreadable").contains("none.csv"));
    shop.import(&shop.file("empty.csv", "")).failed_with("file_empty");
    shop.import(&shop.file("noise.csv", noise)).failed_with("file_unreadable");
    shop.import(&shop.file("header.csv", "名称,价格\n苹果,3\n")).failed_with("no_question_or_answer_column");
    shop.import(&shop.file("rows.exe", "x")).failed_with("unknown_format");
    let with = |encoding: &str| {
        shop.run([OsStr::new("kb"), OsStr::new("import"), gbk.as_os_str(), OsStr::new("--encoding"), OsStr::new(encoding)])
    };
    with("utf-8").failed_with("bad_encoding");
    with("klingon").failed_with("unknown_encoding");
    assert_eq!(with("gbk").done().counts()[0], 1);

    let long = "长".repeat(100_000);
    let rows = format!("id,question,answer\nx,问题一,答案一\ny,=没有答案,\nz,太长,{long}\nx,问题二,答案二\nw,问题三,答案三\n");
    let report = shop.folder.path().join("report.csv");
    let mixed = shop.file("mixed.csv", rows);
    let ran = shop.run([OsStr::new("kb"), OsStr::new("import"), mixed.as_os_str(), OsStr::new("--report"), report.as_os_str()]);
    assert_eq!((ran.code, ran.counts()), (Some(1), [2, 0, 0, 0, 0, 3]));
    let errors: Vec<_> = ran.json["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["row"].as_u64().unwrap(), error["code"].as_str().unwrap()))
        .collect();
    assert_eq!(errors, [(3, "missing_answer"), (4, "cell_too_long"), (5, "duplicate_id")]);
    let told = std::fs::read_to_string(report).unwrap();
    assert_eq!(told.lines().count(), 4, "the report has a header and the failed rows");
    assert!(told.contains(",y,'=没有答案,"), "a spreadsheet would run it: {told}");
    // The good rows are in, and a conflicting one is held back.
    let conflict = shop.file("conflict.csv", "id,question,answer\nv,问题三,完全不同的答案 7 天\n");
    let ran = shop.import(&conflict);
    assert_eq!((ran.code, ran.counts()), (Some(1), [0, 0, 0, 0, 1, 0]));
    let ran = shop.run([OsStr::new("kb"), OsStr::new("import"), conflict.as_os_str(), OsStr::new("--accept-conflicts")]).done();
    assert_eq!(ran.counts(), [1, 0, 0, 0, 0, 0]);
}

#[test]
fn what_cannot_run_says_why_and_exits_with_two() {
    let shop = Shop::new();
    shop.import(&shop.file("a.csv", CSV)).done();
    assert!(shop.run(["kb", "stats", "--tenant", "nobody"]).failed_with("tenant_not_found").contains("tenant add nobody"));
    shop.run(["tenant", "add", "demo"]).failed_with("tenant_exists");
    shop.run(["key", "issue", "--role", "site"]).failed_with("origin_required");
    shop.run(["kb", "delete", "--all"]).failed_with("confirmation_needed");
    shop.run(["kb", "delete"]).failed_with("bad_selection");
    let eval = shop.file("eval.jsonl", "{\"query\":1}\n");
    shop.run([OsStr::new("kb"), OsStr::new("eval"), eval.as_os_str()]).failed_with("bad_eval_file");
    let config = shop.file("config.toml", "[models]\nconect_ms = 1\n");
    let ran = shop.run([OsStr::new("--config"), config.as_os_str(), OsStr::new("kb"), OsStr::new("stats")]);
    let said = ran.failed_with("bad_config");
    assert!(said.contains("`models.conect_ms` in line 2 of ") && said.contains("Did you mean `models.connect_ms`?"), "{said}");
    let ran = finish(command(&shop.data).env("COPILOT_LISTENN", "x").args(["kb", "stats"]));
    let said = ran.failed_with("bad_config");
    assert!(said.contains("`listenn` in `COPILOT_") && said.contains("Did you mean `listen`?"), "{said}");
    let ran = finish(command(&shop.data).env("COPILOT_LISTENN", "x").args(["doctor", "--defaults"])).done();
    assert!(ran.out.contains("first_token_ms"), "the keys are told where they are needed: {ran:?}");
    finish(command(&shop.data).env("COPILOT_INDEX", "other://x").args(["kb", "stats"])).failed_with("bad_config");
    assert!(shop.run(["kb", "imprt"]).failed_with("bad_usage").contains("imprt"));
    shop.run(["kb", "search"]).failed_with("bad_usage");
    let nothing = shop.file("nothing.jsonl", "\n");
    shop.run([OsStr::new("kb"), OsStr::new("eval"), nothing.as_os_str()]).failed_with("bad_eval_file");
    shop.run(["--database", "mysql://x", "kb", "stats"]).failed_with("bad_database_url");
    let file = shop.file("not-a-folder", "x");
    assert_eq!(run(&file, ["kb", "stats"]).code, Some(2));

    let torn = Shop::new();
    std::fs::create_dir(&torn.data).unwrap();
    std::fs::write(torn.data.join("copilot.db"), "no database at all ".repeat(99)).unwrap();
    assert!(torn.run(["kb", "stats"]).failed_with("not_a_database").contains("copilot.db"));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = shop.run(["serve", "--listen", &address]);
    let said = ran.failed_with("address_in_use");
    assert!(said.contains("another program") && said.contains("--listen") && said.contains("COPILOT_LISTEN"), "{said}");
    let fresh = Shop::new();
    fresh.run(["serve", "--listen", &address]).failed_with("address_in_use");
    assert!(!fresh.data.exists(), "who is refused leaves nothing behind");
    shop.run(["serve", "--listen", "nowhere"]).failed_with("bad_listen_address");
}

fn many(count: usize) -> String {
    let rows = (0..count).map(|i| format!("row-{i},第{i}号仓库由谁盘点？,第{i}号仓库由 {} 组在每月 {} 日盘点。\n", i % 17, i % 28 + 1));
    std::iter::once("id,question,answer\n".to_owned()).chain(rows).collect()
}

#[test]
fn a_torn_index_is_built_again_from_the_database() {
    let shop = Shop::new();
    shop.import(&shop.file("a.csv", CSV)).done();
    let files = || {
        let mut files = Vec::new();
        let mut folders = vec![shop.data.join("index")];
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|item| item.unwrap().path()) {
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files.retain(|file| file.metadata().is_ok_and(|data| data.len() > 0));
        files.sort();
        files
    };
    assert!(files().len() > 3, "{:?}", files());
    for at in 0..files().len() {
        let Some(file) = files().get(at).cloned() else { break };
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        assert_eq!(shop.search("怎么修改退货地址？")[0], "b", "after {} was torn", file.display());
    }
    std::fs::remove_dir_all(shop.data.join("index")).unwrap();
    assert_eq!(shop.search("怎么修改退货地址？")[0], "b", "without an index");
    for file in files() {
        std::fs::write(file, "garbage").unwrap();
    }
    assert_eq!(shop.search("怎么修改退货地址？")[0], "b", "with garbage for an index");
    shop.run(["kb", "reindex"]).done();
}

#[test]
fn a_chat_with_an_unknown_model_says_which_there_are_and_reads_nothing() {
    let shop = Shop::new();
    shop.import(&shop.file("a.csv", CSV)).done();
    // Standard input is empty: whoever read it first would be done with success.
    let ran = shop.run(["chat", "--model", "nope"]);
    let message = ran.failed_with("model_not_found");
    assert!(message.contains("`nope`") && message.contains("builtin"), "{message}");
    assert_eq!(ran.json["error"]["details"]["models"], json!(["builtin"]));
    assert_eq!(shop.run(["chat", "--model", "builtin"]).code, Some(0));
    let mut typing = Command::new("bash");
    typing.args(["-c", "printf '/model nope\\n你好\\n/quit\\n' | \"$@\"", "bash", BINARY, "--data-dir"]).arg(&shop.data).arg("chat");
    let output = typing.output().unwrap();
    let answered = String::from_utf8(output.stdout).unwrap();
    assert!(answered.ends_with("\n  AI 生成，请以出处为准\n"), "what AI made says so in a terminal too: {answered}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(["`nope`", "builtin", "model_not_found"].iter().all(|part| said.contains(part)), "{said}");
    // What a chat needed for itself is no key that anybody would look for.
    let listed = Command::new(BINARY).arg("--data-dir").arg(&shop.data).args(["key", "list"]).output().unwrap();
    let said = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(listed.status.success() && !said.contains("revoked or expired"), "{said}");
}

#[test]
fn a_chat_whose_model_cannot_be_reached_shows_the_error_and_nothing_of_an_answer() {
    let shop = Shop::new();
    shop.import(&shop.file("a.csv", CSV)).done();
    let mut typing = Command::new("bash");
    typing.args(["-c", "printf '怎么修改退货地址？\\n' | \"$@\"", "bash", BINARY, "--data-dir"]).arg(&shop.data).arg("chat");
    // Nobody listens on port 9.
    typing.envs([("OPENAI_API_KEY", "sk-fake-secret"), ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1"), ("OPENAI_MODEL", "nobody")]);
    let output = typing.output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(shown.trim().is_empty() && !said.trim().is_empty(), "{shown}\n{said}");
    assert!(!output.status.success(), "{said}");
}

#[tokio::test]
async fn a_chat_with_a_site_key_says_which_key_the_terminal_needs() {
    let shop = Shop::new();
    shop.import(&shop.file("a.csv", CSV)).done();
    let issued = shop.run(["key", "issue", "--role", "site", "--origin", "https://shop.example.com"]).done();
    let serving = Serving::start(&shop.data);
    serving.ready().await;
    let ran = shop.run(["chat", "--url", &serving.url, "--key", issued.json["key"].as_str().unwrap()]);
    let message = ran.failed_with("session_refused");
    assert!(message.contains("--role member"), "{message}");
}

#[test]
fn a_command_in_the_wrong_folder_says_where_it_began_a_shop() {
    let shop = Shop::new();
    let said = |arguments: &[&str]| {
        let output = as_people_run_it(&shop.data).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let place = shop.data.display().to_string();
    let named = shop.folder.path().join("named.db");
    let url = format!("sqlite://{}", named.display());
    let reading = ["key list", "key revoke k_1", "kb stats", "kb words", "kb words remove x", "tenant list", "prompt versions x", "usage"];
    for reads in reading {
        let mut arguments: Vec<&str> = reads.split(' ').collect();
        let (code, first) = said(&arguments);
        assert!(code == Some(2) && first.contains("There is no data in") && first.contains(&place), "{reads}: {first}");
        arguments.extend(["--database", &url]);
        let (code, second) = said(&arguments);
        assert!(code == Some(2) && second.contains("named.db") && second.contains("--database"), "{reads}: {second}");
    }
    assert!(!shop.data.exists() && !named.exists(), "what only reads made the directory");
    let listed = shop.run(["prompt", "list"]).done();
    assert!(listed.json["prompts"].as_array().is_some_and(|prompts| !prompts.is_empty()), "those of the build: {listed:?}");
    shop.run(["prompt", "show", listed.json["prompts"][0]["name"].as_str().unwrap()]).done();
    assert!(!shop.data.exists(), "they need no shop");
    let table = shop.file("a.csv", CSV);
    let planned = shop.run([OsStr::new("kb"), OsStr::new("import"), table.as_os_str(), OsStr::new("--dry-run")]).done();
    assert_eq!((planned.counts(), shop.data.exists()), ([3, 0, 0, 0, 0, 0], false), "nor does a plan");
    let table = table.to_str().unwrap();
    let planned = shop.run(["kb", "import", table, "--dry-run", "--database", &url]).done();
    assert_eq!((planned.counts(), shop.data.exists(), named.exists()), ([3, 0, 0, 0, 0, 0], false, false), "nor of a named database");
    let issue = ["key", "issue", "--role", "member"];
    let (code, first) = said(&issue);
    assert!(code == Some(0) && first.contains("this began a new one") && first.contains(&place) && first.contains("--data-dir"), "{first}");
    let (code, second) = said(&issue);
    assert!(code == Some(0) && !second.contains("began"), "{second}");
}

/// What `doctor` found of a thing.
#[track_caller]
fn finding(ran: &Ran, what: &str) -> Value {
    let findings = ran.json["findings"].as_array().unwrap_or_else(|| panic!("{ran:?}"));
    findings.iter().find(|finding| finding["what"] == what).unwrap_or_else(|| panic!("{ran:?}")).clone()
}

#[test]
fn doctor_says_that_nothing_is_there_and_makes_nothing() {
    let shop = Shop::new();
    let examined = || finish(command(&shop.data).env("COPILOT_LISTEN", "127.0.0.1:0").arg("doctor"));
    let ran = examined().done();
    let directory = finding(&ran, "data directory");
    let (found, advice) = (directory["found"].as_str().unwrap(), directory["advice"].as_str().unwrap());
    assert!(directory["state"] == "note" && found.contains(&shop.data.display().to_string()) && advice.contains("`serve`"), "{directory}");
    assert_eq!((&finding(&ran, "database")["found"], &ran.json["problems"]), (&json!("none yet"), &json!(0)));
    assert!(!shop.data.exists(), "a diagnosis makes no directory");
    std::fs::create_dir(&shop.data).unwrap();
    let ran = examined().done();
    assert_eq!((&finding(&ran, "data directory")["state"], &finding(&ran, "database")["state"]), (&json!("ok"), &json!("note")));
    assert_eq!(std::fs::read_dir(&shop.data).unwrap().count(), 0, "nor a database");
    // Below a file nothing can be made.
    let ran = run(&shop.file("file", "x").join("data"), ["doctor"]);
    assert_eq!((ran.code, &finding(&ran, "data directory")["state"]), (Some(1), &json!("problem")));

    shop.import(&shop.file("a.csv", CSV)).done();
    let ran = examined().done();
    assert_eq!((&finding(&ran, "tenants")["found"], &finding(&ran, "index")["state"]), (&json!("demo"), &json!("ok")));
}

#[tokio::test]
async fn an_address_that_another_copilot_has_is_told_as_its() {
    let shop = Shop::new();
    shop.import(&shop.file("a.csv", CSV)).done();
    let serving = Serving::start(&shop.data);
    serving.ready().await;
    let address = serving.url.trim_start_matches("http://").to_owned();
    let other = Shop::new();
    let ran = other.run(["serve", "--listen", &address]);
    let said = ran.failed_with("address_in_use");
    assert!(said.contains("another merchant-copilot") && said.contains(&serving.url) && said.contains("--listen"), "{said}");
    let ran = finish(command(&other.data).env("COPILOT_LISTEN", &address).arg("doctor"));
    assert!(finding(&ran, "server")["found"].as_str().unwrap().contains("another merchant-copilot"), "{ran:?}");
    assert!(!other.data.exists(), "neither made a directory");
    let ran = shop.run(["serve", "--listen", "127.0.0.1:0"]);
    assert!(ran.failed_with("data_dir_in_use").contains(&address), "{ran:?}");
    assert_eq!(serving.stop(), Some(0));
    // Bound and not listening, so that no other test gets the port.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap();
    let ran = shop.run(["chat", "--url", &format!("http://{address}"), "--key", "mc_member_x"]);
    let said = ran.failed_with("server_unreachable");
    assert!(said.contains(&format!("Nothing listens at {address} ")) && said.contains("`merchant-copilot serve`"), "{said}");
}

#[test]
fn a_disk_that_fills_up_is_reported_and_the_next_run_finishes() {
    /// Enough to go beyond the limit below.
    const ROWS: usize = 1_500;
    let shop = Shop::new();
    let file = shop.file("many.csv", many(ROWS));
    // A limit on file sizes stands in for the full disk; the signal is off, so that writes fail.
    let script = "trap '' XFSZ; ulimit -f 1500; exec \"$@\"";
    let mut limited = Command::new("bash");
    limited.args(["-c", script, "bash", BINARY, "--json", "--data-dir"]).arg(&shop.data).args(["kb", "import"]).arg(&file);
    let ran = finish(limited.stdin(Stdio::null()));
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.json["error"]["code"].is_string(), "{ran:?}");
    let counts = shop.import(&file).done().counts();
    assert_eq!(counts[0] + counts[2], ROWS as u64, "{counts:?}");
    assert_eq!(shop.entries(), ROWS as u64);
}

/// A file system of its own, small enough to fill; none where mounting is not allowed. Unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            Ok(output) => {
                println!("skipped: no file system can be mounted here: {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                println!("skipped: `mount` cannot be run: {error}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_server_whose_disk_was_full_answers_on_when_there_is_room_again() {
    /// Enough to fill what the database's log has left of its last pages, and for every connection to meet it.
    const QUESTIONS: usize = 250;
    let Some(disk) = SmallDisk::mount() else { return };
    let shop = Shop::at(&disk.0.path().join("data"));
    shop.import(&shop.file("a.csv", CSV)).done();
    let serving =
        Serving::start_with(&shop.data, &[("COPILOT_LIMITS__KEY_PER_MINUTE", "9999"), ("COPILOT_LIMITS__ADDRESS_PER_MINUTE", "9999")]);
    serving.ready().await;
    let key = shop.run(["key", "issue", "--role", "admin"]).done().json["key"].as_str().unwrap().to_owned();
    let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
    let ask = async |n: usize| {
        let body = json!({"text": format!("保证金什么时候退 {n} ").repeat(60), "model": "builtin"});
        let answer = client.post(format!("{}/api/v1/chat", serving.url)).bearer_auth(&key).json(&body).send().await;
        let Ok(answer) = answer else { return false };
        answer.text().await.unwrap_or_default().contains("\"status\":\"completed\"")
    };
    assert!(ask(0).await, "before");

    let fill = disk.0.path().join("fill");
    let full = Command::new("dd").arg("if=/dev/zero").arg(format!("of={}", fill.display())).arg("bs=64k").output().unwrap();
    assert!(!full.status.success(), "the disk is full");
    let mut refused = 0;
    for n in 1..QUESTIONS {
        refused += usize::from(!ask(n).await);
        if refused > 12 {
            break;
        }
    }
    assert!(refused > 12, "only {refused} questions met the full disk");

    std::fs::remove_file(&fill).unwrap();
    for n in 0..25 {
        assert!(ask(QUESTIONS + n).await, "question {n} after there is room");
    }
    assert_eq!(serving.stop(), Some(0));
}

#[tokio::test]
async fn commands_beside_a_running_server_take_effect_there() {
    let shop = Shop::new();
    shop.import(&shop.file("a.csv", CSV)).done();
    let serving = Serving::start(&shop.data);
    serving.ready().await;
    let admin = shop.run(["key", "issue", "--role", "admin"]).done().json;
    assert_eq!((&admin["role"], &admin["tenant"]), (&json!("admin"), &json!("demo")));
    let key = admin["key"].as_str().unwrap();
    let search = "/api/v1/knowledge/search?q=发票抬头怎么修改";
    serving.until(search, key, |status, _| status == 200).await;

    let more = shop.file("more.csv", "id,question,answer\nnew,发票抬头怎么修改？,在发票中心修改抬头。\n");
    assert_eq!(shop.import(&more).done().counts()[0], 1);
    let found = |body: &Value| body["hits"].as_array().is_some_and(|hits| hits.iter().any(|hit| hit["id"] == "new"));
    serving.until(search, key, |_, body| found(body)).await;
    assert_eq!(shop.search("发票抬头怎么修改？")[0], "new", "the command sees it too");
    shop.run(["kb", "delete", "--id", "new", "--yes"]).done();
    serving.until(search, key, |status, body| status == 200 && !found(body)).await;

    // Another shop is added; the server goes on being ready, and serves it once it has knowledge.
    shop.run(["tenant", "add", "second"]).done();
    serving.ready().await;
    let second = shop.run(["key", "issue", "--role", "admin", "--tenant", "second"]).done().json;
    let more = more.to_str().unwrap();
    assert_eq!(shop.run(["kb", "import", more, "--tenant", "second"]).done().counts()[0], 1);
    serving.until(search, second["key"].as_str().unwrap(), |_, body| found(body)).await;
    serving.until(search, key, |status, body| status == 200 && !found(body)).await;

    let ran = shop.run(["serve", "--listen", "127.0.0.1:0"]);
    assert!(ran.failed_with("data_dir_in_use").contains("--data-dir"));
    shop.run(["kb", "reindex"]).done();
    assert!(!shop.data.join("index/demo.rebuild").exists(), "the server has done it");
    serving.until(search, key, |status, body| status == 200 && !body["hits"].as_array().unwrap().is_empty()).await;

    shop.run(["key", "revoke", admin["id"].as_str().unwrap()]).done();
    serving.until(search, key, |status, _| status == 401).await;
    assert_eq!(serving.stop(), Some(0));
    assert!(!shop.data.join("serve.json").exists());
}

#[tokio::test]
async fn a_shop_without_rows_is_searched_beside_a_running_server() {
    let shop = Shop::new();
    shop.import(&shop.file("a.csv", CSV)).done();
    let serving = Serving::start(&shop.data);
    serving.ready().await;
    shop.run(["tenant", "add", "fresh"]).done();
    // At once, when the server may not have looked at it, and when it has.
    for _ in 0..2 {
        let found = shop.run(["kb", "search", "怎么修改退货地址？", "--tenant", "fresh"]).done();
        assert_eq!((&found.json["decision"], &found.json["hits"]), (&json!("none"), &json!([])));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(shop.search("怎么修改退货地址？")[0], "b");
}

#[tokio::test]
async fn a_first_start_has_the_starter_pack_and_can_be_backed_up_and_exported() {
    let shop = Shop::new();
    let serving = Serving::start(&shop.data);
    serving.ready().await;
    let entries = shop.entries();
    assert!(entries > 300, "{entries}");
    let key = shop.run(["key", "issue", "--role", "admin"]).done().json["key"].as_str().unwrap().to_owned();

    let copy = shop.folder.path().join("copy");
    let ran = shop.run([OsStr::new("backup"), copy.as_os_str()]).done();
    assert!(ran.json["start"].as_str().unwrap().contains("--data-dir"));
    shop.run([OsStr::new("backup"), copy.as_os_str()]).failed_with("backup_dir_not_empty");
    let rows = shop.export();
    assert_eq!(rows.len() as u64, entries);
    assert_eq!(serving.stop(), Some(0));

    let second = Serving::start(&copy);
    second.ready().await;
    let stats = second.until("/api/v1/knowledge/stats", &key, |status, _| status == 200).await;
    assert_eq!(stats["entries"].as_u64(), Some(entries), "the copy has everything, keys too");
    drop(second);
    assert_eq!(Shop::at(&copy).export(), rows);

    for format in ["jsonl", "csv"] {
        let file = shop.folder.path().join(format!("all.{format}"));
        shop.run([OsStr::new("kb"), OsStr::new("export"), OsStr::new("--format"), OsStr::new(format), OsStr::new("-o"), file.as_os_str()])
            .done();
        let as_is =
            |shop: &Shop| shop.run([OsStr::new("kb"), OsStr::new("import"), file.as_os_str(), OsStr::new("--as-is")]).done().counts();
        assert_eq!(as_is(&shop), [0, 0, entries, 0, 0, 0], "{format} into where it came from");
        let fresh = Shop::new();
        assert_eq!(as_is(&fresh), [entries, 0, 0, 0, 0, 0], "{format} into an empty place");
        assert_eq!(fresh.export(), rows, "{format}");
    }
}
