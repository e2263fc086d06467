//! The server under test, in this process on a free port with a data directory of its own, and the
//! clients that talk to it: HTTP and copilot.v1 over a WebSocket.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use merchant_copilot::app::{self, App, DEMO, Ground, ServerLock};
use merchant_copilot::config::{ChannelsConfig, Config, Overrides};
use merchant_copilot::http::{self, SUBPROTOCOL};
use merchant_copilot::ids::{KeyId, TenantId};
use merchant_copilot::knowledge::ingest::{ImportOptions, import_sources};
use merchant_copilot::knowledge::read::Source;
use merchant_copilot::tenants::{NewKey, Role, Tenants};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;

use super::fake_provider::{FakeProvider, nobody};

/// The longest that anything may take; only a hanging server gets there.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// The page that the site keys are good for.
pub const PAGE: &str = "https://shop.example.com";

/// The knowledge of a server that does not need the starter pack.
pub const SMALL: &str = r#"id,question,answer,direct,category
deposit,普通店保证金要交多少？,"中国站本地店的保证金是 10,000 元。",yes,入驻
address,退货地址在哪里修改？,在 店铺设置 > 退货地址 里修改，保存后立即生效。,no,退货
label,跨境包裹的面单怎么打印？,在 发货中心 > 打印面单 里选择承运商后打印。,no,物流
"#;

/// Changes a configuration.
pub type Change = Box<dyn FnOnce(&mut Config) + Send>;

/// How a server is started.
#[derive(Default)]
pub struct Setup {
    /// Goes on with the data of an earlier server.
    pub data_dir: Option<PathBuf>,
    /// The starter pack instead of [`SMALL`].
    pub starter: bool,
    /// Answers every model name but `builtin` and `unreachable`.
    pub provider: Option<Arc<FakeProvider>>,
    /// Other values in the configuration.
    pub config: Option<fn(&mut Config)>,
    /// The same for what has to be carried along.
    pub change: Option<Change>,
    /// Bots.
    pub channels: ChannelsConfig,
}

/// A running server; it stops cleanly when dropped.
pub struct Server {
    pub address: SocketAddr,
    pub tenants: Tenants,
    pub admin: String,
    pub member: String,
    pub site: String,
    pub client: Client,
    pub data_dir: PathBuf,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
    /// It ends with whoever asks it.
    _provider: Option<Arc<FakeProvider>>,
    _temporary: Option<TempDir>,
}

impl Server {
    /// A server of its own with the small knowledge.
    pub async fn small() -> Self {
        Self::start(Setup::default()).await
    }

    /// One of several nodes on this Postgres.
    pub async fn on_postgres(url: &str, setup: Setup) -> Self {
        let url = url.to_owned();
        Self::start(Setup { change: Some(Box::new(move |config| config.database = url)), ..setup }).await
    }

    /// Starts one and waits until it can be searched.
    pub async fn start(setup: Setup) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let temporary = setup.data_dir.is_none().then(|| tempfile::tempdir().unwrap());
        let data_dir = setup.data_dir.clone().unwrap_or_else(|| temporary.as_ref().unwrap().path().join("data"));
        let stop = CancellationToken::new();
        let (send, ready) = tokio::sync::oneshot::channel();
        let (starter, stopped) = (setup.starter, stop.clone());
        let provider = setup.provider.clone();
        let config = config(&data_dir, setup);
        // A runtime of its own: the server goes on while a test waits, and may outlive the test's.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let lock = ServerLock::take(&config.data_dir).unwrap();
                if !starter {
                    fill(config.clone()).await;
                }
                let listener = app::listen(&config.listen).await.unwrap();
                let address = listener.local_addr().unwrap();
                let app = App::build(config).await.unwrap();
                lock.announce(address).unwrap();
                let (db, tenants) = (app.db.clone(), app.tenants.clone());
                // Here, as a connection of the pool lives on the runtime that opened it, and the test's may stand still.
                let demo = TenantId::parse(DEMO).unwrap();
                let mut keys = Vec::new();
                for role in [Role::Admin, Role::Member, Role::Site] {
                    keys.push(issue(&tenants, &demo, role).await.0);
                }
                let _ = send.send((address, tenants, keys));
                http::serve(listener, app, stopped).await.unwrap();
                db.close().await;
            });
        });
        let (address, tenants, keys) = ready.await.expect("the server starts");
        let [admin, member, site] = <[String; 3]>::try_from(keys).unwrap();
        // A connection lives on the runtime of the test that opened it, and other tests have theirs.
        let client = Client::builder().timeout(PATIENCE).pool_max_idle_per_host(0).build().unwrap();
        let server = Self {
            address,
            tenants,
            admin,
            member,
            site,
            client,
            data_dir,
            stop,
            thread: Some(thread),
            _provider: provider,
            _temporary: temporary,
        };
        server.wait_until_ready().await;
        server
    }

    /// Waits until `/readyz` says so.
    pub async fn wait_until_ready(&self) {
        let ready = async {
            while self.get("/readyz").send().await.is_ok_and(|answer| answer.status() != 200) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.expect("the server never became ready");
    }

    /// Stops it and waits until it is gone; its data directory stays as long as this value.
    pub fn stop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok(), "the server panicked");
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A GET with a key, as JSON.
    pub async fn json(&self, path: &str, key: &str) -> Value {
        self.get(path).bearer_auth(key).send().await.unwrap().json().await.unwrap()
    }

    /// A socket without a session.
    ///
    /// # Errors
    /// The status of a refused upgrade.
    pub async fn socket(&self, origin: Option<&str>) -> Result<Socket, u16> {
        Socket::connect(self.address, origin).await
    }

    /// A socket with a session of this key.
    pub async fn session(&self, key: &str) -> Socket {
        let origin = key.starts_with("site_").then_some(PAGE);
        let mut socket = self.socket(origin).await.unwrap();
        let ready = socket.open(json!({"token": key})).await;
        assert_eq!(ready["type"], "session.ready", "{ready}");
        socket
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().map(JoinHandle::join);
    }
}

/// A key of that role.
pub async fn issue(tenants: &Tenants, tenant: &TenantId, role: Role) -> (String, KeyId) {
    let origins = if role == Role::Site { vec![PAGE.to_owned()] } else { Vec::new() };
    let new = NewKey { role, origins, label: "a test".into(), expires: None };
    let (key, secret) = tenants.issue(tenant, new).await.unwrap();
    (secret.reveal().to_owned(), key.id)
}

fn config(data_dir: &Path, setup: Setup) -> Config {
    let flags = Overrides { data_dir: Some(data_dir.to_owned()), listen: Some("127.0.0.1:0".into()), ..Overrides::default() };
    let mut config = Config::load(None, &flags).unwrap();
    // Keys in the environment of whoever runs the tests are not ours to use.
    config.models.providers.clear();
    config.models.default = "builtin".into();
    config.models.providers.insert("nobody".into(), nobody());
    if let Some(provider) = &setup.provider {
        config.models.providers.insert("fake".into(), provider.config());
    }
    config.embedder.pool = 1;
    config.limits.key_per_minute = 1_000_000;
    config.limits.address_per_minute = 1_000_000;
    config.limits.sockets_per_address = 1_000;
    config.chat.drain_ms = 1_000;
    // Scripted models answer questions; what they say to a rewriting is tested by itself.
    config.chat.rewrite_model = "off".into();
    // Models that fail on purpose share a provider with those that do not.
    config.models.breaker_failures = 0;
    config.channels = setup.channels.clone();
    if let Some(change) = setup.config {
        change(&mut config);
    }
    if let Some(change) = setup.change {
        change(&mut config);
    }
    config
}

/// Puts [`SMALL`] into tenant `demo`, unless it has something already.
async fn fill(config: Config) {
    let zone = config.zone();
    let ground = Ground::open(config).await.unwrap();
    let demo = ground.tenant(DEMO).await.unwrap();
    let knowledge = ground.knowledge().await.unwrap();
    if knowledge.store().revision().await.unwrap() == 0 {
        let source = Source::memory("small.csv", SMALL, None).unwrap();
        let report = import_sources(&knowledge, &demo, vec![source], ImportOptions::default(), zone, |_| {}).await.unwrap();
        assert_eq!(report.added, 3, "{report:?}");
    }
    drop(knowledge);
    ground.db.close().await;
}

/// One server with the starter pack for every test that leaves no trace in it, and its provider.
pub async fn shared() -> &'static (Server, Arc<FakeProvider>) {
    static SHARED: OnceCell<(Server, Arc<FakeProvider>)> = OnceCell::const_new();
    SHARED
        .get_or_init(|| async {
            let provider = Arc::new(FakeProvider::start());
            let provided = Some(Arc::clone(&provider));
            let setup = Setup { data_dir: Some(shared_dir()), starter: true, provider: provided, ..Setup::default() };
            (Server::start(setup).await, provider)
        })
        .await
}

/// A static is never dropped, so its directory is in cargo's, and the next run clears it away.
fn shared_dir() -> PathBuf {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for old in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = old.file_name().into_string().unwrap_or_default();
        let gone = name.strip_prefix("shared-").is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        if gone {
            let _ = std::fs::remove_dir_all(old.path());
        }
    }
    parent.join(format!("shared-{}", std::process::id()))
}

/// A copilot.v1 client.
pub struct Socket {
    socket: WebSocketStream<TcpStream>,
    count: usize,
}

/// What came in.
#[derive(Debug, PartialEq)]
pub enum Came {
    Frame(Value),
    Close(u16),
}

impl Socket {
    /// A socket without a session.
    ///
    /// # Errors
    /// The status of a refused upgrade.
    pub async fn connect(address: SocketAddr, origin: Option<&str>) -> Result<Self, u16> {
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        match client_async(request, stream).await {
            Ok((socket, answer)) => {
                assert_eq!(answer.headers()["sec-websocket-protocol"], SUBPROTOCOL);
                Ok(Self { socket, count: 0 })
            }
            Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// `session.open` with these fields; what came back.
    pub async fn open(&mut self, mut fields: Value) -> Value {
        fields["type"] = json!("session.open");
        self.send(fields).await;
        self.frame().await
    }

    /// Sends a frame with an `id` of its own, which is returned.
    pub async fn send(&mut self, mut frame: Value) -> String {
        self.count += 1;
        let id = format!("f{}", self.count);
        frame["id"] = json!(id);
        self.raw(Message::text(frame.to_string())).await;
        id
    }

    pub async fn raw(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The next frame or the goodbye.
    pub async fn came(&mut self) -> Came {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("nothing came");
            match message {
                Some(Ok(Message::Text(text))) => return Came::Frame(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Came::Close(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn frame(&mut self) -> Value {
        match self.came().await {
            Came::Frame(frame) => frame,
            Came::Close(code) => panic!("closed with {code}"),
        }
    }

    /// Reads until the socket is closed; the code.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Came::Close(code) = self.came().await {
                return code;
            }
        }
    }

    /// Asks; `fields` are those of `message.create` beside `text`.
    pub async fn say(&mut self, text: &str, mut fields: Value) -> String {
        fields["type"] = json!("message.create");
        fields["text"] = json!(text);
        if fields["client_msg_id"].is_null() {
            fields["client_msg_id"] = json!(merchant_copilot::ids::random_token("m", 12));
        }
        self.send(fields).await
    }

    /// Asks and reads to the end of the answer.
    pub async fn ask(&mut self, text: &str, fields: Value) -> Turn {
        self.say(text, fields).await;
        self.turn().await
    }

    /// The frames up to the next `response.done`.
    pub async fn turn(&mut self) -> Turn {
        let mut frames = Vec::new();
        loop {
            let frame = self.frame().await;
            let done = frame["type"] == "response.done";
            assert_ne!(frame["type"], "error", "{frame}");
            frames.push(frame);
            if done {
                return Turn(frames);
            }
        }
    }

    /// Reads up to the first frame of a type, which is returned.
    pub async fn until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.frame().await;
            if frame["type"] == kind {
                return frame;
            }
            assert_ne!(frame["type"], "error", "{frame}");
        }
    }

    /// Goes away without a word.
    pub async fn vanish(self) {
        drop(self.socket.into_inner());
    }

    /// A ping that is answered next: nothing else is on its way.
    pub async fn is_quiet(&mut self) {
        let id = self.send(json!({"type": "ping"})).await;
        assert_eq!(self.frame().await, json!({"type": "pong", "ref": id}));
    }
}

/// The frames of one answer.
#[derive(Debug)]
pub struct Turn(pub Vec<Value>);

impl Turn {
    pub fn first(&self, kind: &str) -> &Value {
        self.0.iter().find(|frame| frame["type"] == kind).unwrap_or_else(|| panic!("no {kind} in {:#?}", self.0))
    }

    pub fn all(&self, kind: &str) -> Vec<&Value> {
        self.0.iter().filter(|frame| frame["type"] == kind).collect()
    }

    pub fn done(&self) -> &Value {
        self.first("response.done")
    }

    pub fn text(&self) -> &str {
        self.first("response.text.done")["text"].as_str().unwrap()
    }

    pub fn decision(&self) -> &str {
        self.first("response.sources")["decision"].as_str().unwrap()
    }

    pub fn conversation(&self) -> &str {
        self.done()["conversation_id"].as_str().unwrap()
    }

    pub fn response(&self) -> &str {
        self.done()["response_id"].as_str().unwrap()
    }

    /// Everything the contract says about the order and numbering of a turn.
    pub fn check(&self) {
        let kinds: Vec<&str> = self.0.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
        let order = [
            "message.accepted",
            "response.created",
            "response.status",
            "response.sources",
            "response.status",
            "response.reasoning.delta",
            "response.text.delta",
            "response.text.done",
            "response.done",
        ];
        let mut at = 0;
        for kind in &kinds {
            at += order[at..].iter().position(|step| step == kind).unwrap_or_else(|| panic!("{kind} is out of order in {kinds:?}"));
        }
        for kind in ["message.accepted", "response.created", "response.sources", "response.text.done", "response.done"] {
            assert_eq!(self.all(kind).len(), 1, "{kind} in {kinds:?}");
        }
        let numbers: Vec<u64> = self.0.iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        assert!(self.0.iter().all(|frame| frame["conversation_id"] == self.conversation() && frame["response_id"] == self.response()));
        let mut said = String::new();
        for delta in self.all("response.text.delta") {
            assert_eq!(delta["offset"], said.chars().count(), "{kinds:?}");
            said.push_str(delta["delta"].as_str().unwrap());
        }
        assert_eq!(said, self.text());
        let numbers: Vec<u64> =
            self.first("response.sources")["sources"].as_array().unwrap().iter().map(|s| s["n"].as_u64().unwrap()).collect();
        assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{numbers:?}");
        let chars: Vec<char> = self.text().chars().collect();
        for citation in self.done()["citations"].as_array().unwrap() {
            let place = |end: &str| citation[end].as_u64().unwrap() as usize;
            assert!(numbers.contains(&citation["n"].as_u64().unwrap()), "{citation}");
            let marked: String = chars[place("start")..place("end")].iter().collect();
            assert_eq!(marked, format!("[{}]", citation["n"]), "a citation's place is its marker");
        }
    }
}
