//! The server as a process of its own, so that its memory is its own, and what the machine allows.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_merchant-copilot");

/// `serve`; ended when dropped.
pub struct Serving {
    child: Child,
    pub address: SocketAddr,
}

impl Serving {
    /// Starts it and waits until it can be searched.
    pub async fn start(data: &Path, config: &Path) -> Self {
        let mut command = Command::new(BINARY);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("COPILOT_") || text.ends_with("_API_KEY") {
                command.env_remove(&name);
            }
        }
        command.env("COPILOT_LOG__FILTER", "error").arg("--data-dir").arg(data).arg("--config").arg(config);
        command.args(["--json", "serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the server");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let said: Value = serde_json::from_str(&line).expect("JSON");
        let address = said["listen"].as_str().and_then(|text| text.parse().ok()).expect("an address");
        let serving = Self { child, address };
        let client = reqwest::Client::new();
        while client.get(format!("http://{address}/readyz")).send().await.is_ok_and(|answer| answer.status() != 200) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        serving
    }

    /// Memory of the process that is in the machine's, in bytes.
    pub fn resident(&self) -> u64 {
        resident(&self.status())
    }

    fn status(&self) -> PathBuf {
        format!("/proc/{}/status", self.child.id()).into()
    }

    /// Watches the memory until it is asked for the most there was.
    pub fn watch(&self) -> Watch {
        let (path, most) = (self.status(), Arc::new(AtomicU64::new(self.resident())));
        let kept = Arc::clone(&most);
        let task = tokio::spawn(async move {
            loop {
                kept.fetch_max(resident(&path), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Watch { most, task }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _code = self.child.wait();
    }
}

/// The most memory so far.
pub struct Watch {
    most: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Watch {
    pub fn most(self) -> u64 {
        self.task.abort();
        self.most.load(Ordering::Relaxed)
    }
}

fn resident(status: &Path) -> u64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// As many files at once as this machine allows, for this process and the ones it starts.
pub fn open_files() -> u64 {
    let now = getrlimit(Resource::Nofile);
    let most = now.maximum.or(now.current).unwrap_or(u64::MAX);
    let _refused = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: now.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
