//! `/mcp`: the knowledge and the copilot as tools of other programs, by the Model Context Protocol over
//! streamable HTTP, both eras, without sessions: every request shows its key.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures::StreamExt;
use http::request::Parts;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::tool::Extension;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, Implementation, ServerCapabilities, ServerConfig};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, schemars, tool, tool_handler, tool_router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Program;
use super::message::events;
use super::origin::own_origins;
use super::problem::report;
use super::rows::row;
use super::state::Shared;
use crate::app::App;
use crate::chat::replay::TooSlow;
use crate::chat::resume::too_slow;
use crate::chat::{ChatRequest, EventKind, Status};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ids::{ConversationId, EntryId};
use crate::knowledge;
use crate::tenants::Caller;

/// Most hits of a search.
const MOST: usize = 50;

/// The protocol's part of the door.
pub type Service = StreamableHttpService<Tools, LocalSessionManager>;

/// `POST /mcp`: the key says who asks, the protocol library does the rest.
pub async fn serve(State(state): State<Shared>, Program(caller): Program, mut request: Request) -> Response {
    request.extensions_mut().insert(caller);
    state.mcp.handle(request).await.map(Body::new)
}

/// The service of a server that listens there.
pub fn service(app: App, listen: SocketAddr) -> Service {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_allowed_hosts(hosts(listen, &app.config))
        .with_allowed_origins(origins(listen, &app.config))
        .enforce_origin_validation()
        .with_max_request_body_bytes(app.config.limits.frame_bytes);
    StreamableHttpService::new(move || Ok(Tools::new(app.clone())), Arc::default(), config)
}

/// Our names: this machine's, the public one's, and those of the configuration.
fn hosts(listen: SocketAddr, config: &Config) -> Vec<String> {
    let mut hosts = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    if !listen.ip().is_unspecified() {
        hosts.push(listen.ip().to_string());
    }
    let public = reqwest::Url::parse(&config.public_url).ok();
    hosts.extend(public.as_ref().and_then(|url| url.host_str()).map(str::to_owned));
    hosts.extend(config.mcp.hosts.iter().cloned());
    hosts
}

/// Pages that may call: our own, and those of the configuration.
fn origins(listen: SocketAddr, config: &Config) -> Vec<String> {
    let own = own_origins(listen, config).into_iter().filter(|origin| !origin.contains('*'));
    own.chain(config.mcp.origins.iter().cloned()).collect()
}

/// The tools.
#[derive(Clone)]
pub struct Tools {
    app: App,
    tool_router: ToolRouter<Self>,
}

/// What `search_knowledge` takes.
#[derive(Deserialize, schemars::JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Search {
    /// A question or key words, in the merchants' language.
    query: String,
    /// How many rows to return, 1 to 50; 5 when left out.
    top: Option<usize>,
    /// Only rows of this market and of none.
    market: Option<String>,
}

/// What `get_entry` takes.
#[derive(Deserialize, schemars::JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct GetEntry {
    /// An id that `search_knowledge` returned.
    id: String,
}

/// What `ask` takes.
#[derive(Deserialize, schemars::JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Ask {
    /// The merchant's question.
    question: String,
    /// The conversation to go on with, from an earlier answer.
    conversation_id: Option<String>,
    /// Which configured model answers.
    model: Option<String>,
    /// Only rows of this market and of none.
    market: Option<String>,
}

#[tool_router]
impl Tools {
    fn new(app: App) -> Self {
        Self { app, tool_router: Self::tool_router() }
    }

    #[tool(
        description = "Searches the shop's knowledge base and returns rows with their confidence. `decision` says whether they answer the question: direct, grounded or none.",
        annotations(title = "Search the knowledge base", read_only_hint = true)
    )]
    async fn search_knowledge(&self, Parameters(search): Parameters<Search>, Extension(parts): Extension<Parts>) -> CallToolResult {
        shown(self.search(search, &parts).await)
    }

    #[tool(description = "Returns one row of the knowledge base as a whole.", annotations(title = "Read a row", read_only_hint = true))]
    async fn get_entry(&self, Parameters(get): Parameters<GetEntry>, Extension(parts): Extension<Parts>) -> CallToolResult {
        shown(self.entry(get, &parts).await)
    }

    #[tool(
        description = "Answers a merchant's question from the knowledge base, with numbered sources, or says that the base does not know.",
        annotations(title = "Ask the copilot", read_only_hint = false, destructive_hint = false)
    )]
    async fn ask(&self, Parameters(ask): Parameters<Ask>, Extension(parts): Extension<Parts>) -> CallToolResult {
        shown(self.answer(ask, &parts).await)
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("merchant-copilot", env!("CARGO_PKG_VERSION")))
            .with_instructions("Rules and answers for merchants of a shop platform. Search before you claim a rule, and name the row.")
    }
}

impl Tools {
    async fn search(&self, search: Search, parts: &Parts) -> Result<Value> {
        if search.query.trim().is_empty() {
            return Err(Error::invalid("empty_query", "`query` is empty: what should be searched for?"));
        }
        let top = search.top.unwrap_or(5).clamp(1, MOST);
        let query = knowledge::Query { text: search.query, market: search.market, top, ..knowledge::Query::default() };
        let found = self.app.knowledge.search(&caller(parts)?.tenant, &query).await?;
        let results = found.hits.iter().take(top).map(|hit| {
            let draft = &hit.entry.draft;
            json!({
                "id": hit.entry.id, "title": draft.question, "url": draft.url, "snippet": hit.passage, "answer": draft.answer,
                "score": hit.score, "passed": hit.passed,
            })
        });
        Ok(json!({"decision": found.decision, "results": results.collect::<Vec<_>>()}))
    }

    async fn entry(&self, get: GetEntry, parts: &Parts) -> Result<Value> {
        let entry = self.app.knowledge.entry(&caller(parts)?.tenant, &EntryId::from_text(get.id)).await?;
        Ok(row(entry, self.app.config.zone()))
    }

    async fn answer(&self, ask: Ask, parts: &Parts) -> Result<Value> {
        let request = ChatRequest {
            text: ask.question,
            conversation_id: ask.conversation_id.map(ConversationId::from_text),
            model: ask.model,
            market: ask.market,
            channel: "mcp",
            ..ChatRequest::default()
        };
        let accepted = self.app.engine.answer(caller(parts)?, request).await?;
        let mut answer = json!({"conversation_id": accepted.conversation_id, "response_id": accepted.response_id});
        let mut events = std::pin::pin!(events(accepted));
        while let Some(event) = events.next().await {
            match event?.kind {
                EventKind::ResponseSources { decision, sources, .. } => {
                    (answer["decision"], answer["sources"]) = (json!(decision), json!(sources));
                }
                EventKind::ResponseTextDone { text } => answer["text"] = json!(text),
                EventKind::ResponseDone(done) => {
                    (answer["status"], answer["suggestions"]) = (json!(done.status), json!(done.suggestions));
                    return match done.error.filter(|_| done.status == Status::Failed) {
                        Some(error) => Err(Error::unavailable("answer_failed", error.message)),
                        None => Ok(answer),
                    };
                }
                _ => {}
            }
        }
        Err(too_slow(TooSlow))
    }
}

/// Who was let in at the door.
fn caller(parts: &Parts) -> Result<&Caller> {
    parts.extensions.get::<Caller>().ok_or_else(|| Error::internal("no_caller", "A tool was called by nobody."))
}

/// What went wrong is a result that says so: the calling model can do something about it.
fn shown(outcome: Result<Value>) -> CallToolResult {
    match outcome {
        Ok(value) => CallToolResult::structured(value),
        Err(error) => CallToolResult::structured_error(json!({"error": report(&error)})),
    }
}
