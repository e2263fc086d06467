//! The doors: every route in one list, and the server that stands behind them. Handlers extract, make
//! one call, and wrap; what went wrong becomes a status in `problem.rs` and nowhere else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::HeaderValue;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{delete, get, post};
use axum::serve::{ListenerExt, TapIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use self::state::{HttpState, Shared};
use crate::app::{App, DEMO, health, heap};
use crate::compute;
use crate::config::Secret;
use crate::error::Result;
use crate::ids::{TenantId, random_token};
use crate::knowledge::text;
use crate::models::tokens;
use crate::telemetry::{self, traces};

mod assets;
mod auth;
mod bots;
mod cases;
mod chat;
mod conversations;
mod entries;
mod feedback;
mod imports;
mod keys;
mod knowledge;
pub mod local_dingtalk;
mod mcp;
mod message;
mod openai;
mod ops;
mod origin;
mod outgoing;
mod overview;
mod problem;
mod prompts;
mod retention;
mod rows;
mod safety;
mod session;
mod state;
mod trials;
mod usage;
mod webhooks;
mod ws;

pub use ws::SUBPROTOCOL;
pub use ws::frames::understood;

/// How long connections may take to say goodbye after the turns have ended.
const GOODBYES: Duration = Duration::from_secs(5);
/// Largest body that holds a row with all its phrasings, or decisions on a plan.
const ROW_BYTES: usize = 1024 * 1024;
/// Largest body of a client that sends the whole conversation; of its history what fits goes to the model.
const HISTORY_BYTES: usize = 1024 * 1024;
/// Names a request in logs and answers.
const REQUEST_ID: &str = "x-request-id";

/// Every route.
fn router(state: Shared) -> Router {
    let largest_body = state.app.config.limits.frame_bytes;
    let rows = DefaultBodyLimit::max(ROW_BYTES);
    Router::new()
        // pages
        .route("/", get(assets::demo_page))
        .route("/widget.js", get(assets::launcher))
        .route("/widget/{*path}", get(assets::widget))
        .route("/console", get(assets::to_console))
        .route("/console/", get(assets::console))
        .route("/console/{*path}", get(assets::console_file))
        // the conversation
        .route("/ws", get(ws::upgrade).post(ws::why))
        .route("/api/v1/chat", post(chat::answer))
        .route("/api/v1/conversations", get(conversations::list))
        .route("/api/v1/conversations/export", get(conversations::export))
        .route("/api/v1/conversations/{id}", get(conversations::one).delete(conversations::delete))
        .route("/api/v1/feedback", get(feedback::list).post(feedback::create))
        .route("/api/v1/responses/{id}/trace", get(conversations::trace))
        .route("/api/v1/responses/{id}/sources/{n}", get(conversations::source))
        // the OpenAI-compatible API
        .route("/v1/models", get(openai::models))
        .route("/v1/models/{*id}", get(openai::model))
        .route("/v1/chat/completions", post(openai::complete).layer(DefaultBodyLimit::max(largest_body.max(HISTORY_BYTES))))
        // the console
        .route("/api/v1/session", get(session::show).post(session::open).delete(session::end))
        .route("/api/v1/models", get(ops::models))
        .route("/api/v1/keys", get(keys::list).post(keys::issue))
        .route("/api/v1/keys/{id}", delete(keys::revoke))
        .route("/api/v1/usage", get(usage::month))
        .route("/api/v1/overview", get(overview::show))
        .route("/api/v1/safety/verdicts", get(safety::verdicts))
        .route("/api/v1/retention", get(retention::show).put(retention::set))
        .route("/api/v1/prompts", get(prompts::list))
        .route("/api/v1/prompts/{name}", get(prompts::show))
        .route("/api/v1/prompts/{name}/versions", get(prompts::versions).post(prompts::save).layer(rows))
        .route("/api/v1/prompts/{name}/versions/{version}", get(prompts::version))
        .route("/api/v1/prompts/{name}/publish", post(prompts::publish))
        .route("/api/v1/prompts/{name}/lint", post(prompts::lint).layer(rows))
        .route("/api/v1/prompts/{name}/preview", post(prompts::preview).layer(rows))
        .route("/api/v1/knowledge/search", get(knowledge::search))
        .route("/api/v1/knowledge/stats", get(knowledge::stats))
        .route("/api/v1/knowledge/cases", get(cases::list).post(cases::keep).layer(rows))
        .route("/api/v1/knowledge/cases/{id}", delete(cases::forget))
        .route("/api/v1/knowledge/evaluate", post(cases::evaluate))
        .route("/api/v1/trials", post(trials::answer).layer(rows))
        .route("/api/v1/trials/preview", post(trials::preview).layer(rows))
        .route("/api/v1/knowledge/words", get(knowledge::words).put(knowledge::set_words).layer(rows))
        .route("/api/v1/knowledge/entries", get(knowledge::entries).post(entries::add).layer(rows))
        .route("/api/v1/knowledge/entries/{id}", get(knowledge::entry).put(entries::change).delete(entries::remove).layer(rows))
        .route("/api/v1/knowledge/entries/{id}/versions", get(entries::versions))
        .route("/api/v1/knowledge/entries/{id}/undo", post(entries::undo))
        .route("/api/v1/knowledge/imports", get(imports::list).post(imports::upload).layer(DefaultBodyLimit::disable()))
        .route("/api/v1/knowledge/imports/{id}", get(imports::show).delete(imports::forget))
        .route("/api/v1/knowledge/imports/{id}/apply", post(imports::apply).layer(rows))
        .route("/api/v1/knowledge/imports/{id}/undo", post(imports::undo))
        .route("/api/v1/knowledge/export", get(imports::export))
        .route("/api/v1/bots", get(bots::list))
        .route("/api/v1/bots/{platform}/{bot}/test", post(bots::test))
        .route("/api/v1/webhooks", get(outgoing::endpoints))
        .route("/api/v1/webhooks/deliveries", get(outgoing::log))
        .route("/api/v1/webhooks/deliveries/{id}/resend", post(outgoing::send_again))
        // chat platforms
        .route("/webhooks/dingtalk/{bot}", post(webhooks::dingtalk))
        .route("/webhooks/dingtalk/{bot}/cards", post(webhooks::dingtalk_card))
        .route("/webhooks/feishu/{bot}", post(webhooks::feishu))
        .route("/webhooks/slack/{bot}", post(webhooks::slack))
        .route("/webhooks/wecom/{bot}", get(webhooks::wecom_asks).post(webhooks::wecom))
        // tools of other programs
        .route("/mcp", post(mcp::serve))
        // operations
        .route("/healthz", get(ops::healthz))
        .route("/readyz", get(ops::readyz))
        .route("/openapi.json", get(ops::openapi))
        .route("/metrics", get(ops::metrics))
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        .layer(from_fn(measure))
        .layer(DefaultBodyLimit::max(largest_body))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn_with_state(Arc::clone(&state), origin::cors))
        .layer(from_fn(problem::shape))
        .layer(from_fn(name_request))
        .with_state(state)
}

/// Serves until `stop`: then no new connection is taken, running turns get their time, and whoever is
/// still connected is told goodbye.
pub async fn serve(listener: TcpListener, app: App, stop: CancellationToken) -> Result<()> {
    let listen = listener.local_addr()?;
    let demo_key = demo_key(&app, listen).await?;
    let (engine, channels, outgoing) = (app.engine.clone(), app.channels.clone(), app.outgoing.clone());
    let traces = app.traces.clone();
    channels.start();
    outgoing.start().await?;
    let follower = tokio::spawn(follow(app.clone(), stop.clone()));
    // Running answers are noted down until the last one has ended, not only until we are asked to stop.
    let ended = CancellationToken::new();
    let keeper = tokio::spawn(housekeeping(app.clone(), ended.clone()));
    let state = Arc::new(HttpState::new(app, demo_key, listen));
    let (tasks, closing) = (state.tasks.clone(), state.closing.clone());
    let service = router(state).into_make_service_with_connect_info::<SocketAddr>();
    let stopped = stop.clone();
    let server = tokio::spawn(axum::serve(at_once(listener), service).with_graceful_shutdown(stopped.cancelled_owned()).into_future());

    stop.cancelled().await;
    channels.close();
    engine.shutdown().await;
    outgoing.close();
    ended.cancel();
    closing.cancel();
    tasks.close();
    let goodbyes = async {
        tasks.wait().await;
        let _ = server.await;
        channels.drained().await;
        outgoing.drained().await;
        let _ = keeper.await;
        follower.await
    };
    if timeout(GOODBYES, goodbyes).await.is_err() {
        tracing::warn!("some connections did not close in time");
    }
    traces.close().await;
    Ok(())
}

/// Connections that send what they are given at once: a token must not wait for the one before to be
/// acknowledged, which a far reader's system does up to 40 ms later.
fn at_once(listener: TcpListener) -> TapIo<TcpListener, impl FnMut(&mut TcpStream) + Send + 'static> {
    listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps small packets back");
        }
    })
}

/// Serves only the doors of chat platforms, beside a running server.
pub async fn serve_webhooks(listener: TcpListener, app: App, stop: CancellationToken) -> Result<()> {
    let (engine, channels, traces) = (app.engine.clone(), app.channels.clone(), app.traces.clone());
    channels.start();
    let state = Arc::new(HttpState::new(app, None, listener.local_addr()?));
    let service = Router::new().route("/webhooks/dingtalk/{bot}", post(webhooks::dingtalk)).with_state(state);
    axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).await?;
    channels.close();
    // What was taken is answered first: here nobody hurries.
    channels.drained().await;
    engine.shutdown().await;
    traces.close().await;
    Ok(())
}

/// Loads the dictionaries that the first question would otherwise wait for, behind whoever asks meanwhile; that of tokens
/// is large, and only models that are called need it.
async fn warm(app: &App) {
    let called = (!app.config.models.providers.is_empty()).then_some(tokens::warm as fn());
    for load in [Some(text::warm as fn()), called].into_iter().flatten() {
        if let Err(error) = compute::behind(compute::run(load)).await {
            tracing::warn!("the first question loads its dictionaries itself: {error}");
        }
    }
}

/// Brings the indexes up and keeps them there.
async fn follow(app: App, stop: CancellationToken) {
    match app.knowledge.catch_up().await {
        Ok(revision) => tracing::info!(revision, "the knowledge can be searched"),
        Err(error) => tracing::error!(code = error.code(), causes = error.causes(), "catching up failed, trying on: {error}"),
    }
    app.knowledge.follow_forever(stop).await;
}

/// Loads dictionaries, notes down running answers and how providers are, forgets what is too old, and gives memory back.
async fn housekeeping(app: App, stop: CancellationToken) {
    let health = health::keep(app.clone(), stop.clone());
    let heap = heap::give_back_forever(&stop);
    tokio::join!(warm(&app), app.engine.note_forever(&stop), retention::forget_forever(&app, &stop), health, heap);
}

/// The demo page's site key, when there is a demo shop.
async fn demo_key(app: &App, listen: SocketAddr) -> Result<Option<Secret>> {
    let origins = origin::own_origins(listen, &app.config);
    match app.tenants.ensure_demo_site_key(&TenantId::from_text(DEMO), &origins).await {
        Ok(key) => Ok(Some(key)),
        Err(error) if error.code() == "tenant_not_found" => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives every request a name, or keeps the one it came with, and finds the trace it belongs to.
async fn name_request(request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).filter(|id| id.len() <= 128).cloned();
    let id = given.or_else(|| HeaderValue::from_str(&random_token("req_", 16)).ok());
    let span = tracing::info_span!("request", request_id = id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default());
    let [traceparent, tracestate] = ["traceparent", "tracestate"].map(|name| header_text(&request, name));
    let answering = traces::called_by(traceparent.as_deref(), tracestate.as_deref(), next.run(request));
    let mut response = answering.instrument(span).await;
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn header_text(request: &Request, name: &str) -> Option<String> {
    request.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// Counts and times requests by route, never by path: paths hold ids.
async fn measure(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("none".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::histogram!(telemetry::HTTP_SECONDS, "route" => route.clone()).record(started.elapsed().as_secs_f64());
    metrics::counter!(telemetry::HTTP_REQUESTS, "route" => route, "status" => status).increment(1);
    response
}
