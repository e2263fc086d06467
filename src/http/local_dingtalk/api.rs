//! The local platform's API: tokens, messages, cards; as strict as the real one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Query, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Fault, Shown, State};
use crate::channels::dingtalk::sign::verify;

/// Largest body of a message to a webhook.
const LARGEST: usize = 20_000;
const TOO_FAST: &str = "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi";

/// `POST /v1.0/oauth2/accessToken`
pub async fn token(Shared(state): Shared<Arc<State>>, Json(body): Json<Value>) -> Response {
    state.change(|seen| seen.asked += 1);
    if let Some(answer) = faulty(&state, "/v1.0/oauth2/accessToken").await {
        return answer;
    }
    if body["appKey"] != json!(state.client_id) || body["appSecret"] != json!(state.secret.reveal()) {
        return refuse(400, "invalidClientIdOrSecret");
    }
    let number = state.change(|seen| {
        seen.tokens += 1;
        seen.tokens
    });
    Json(json!({"accessToken": format!("token-{number}"), "expireIn": 7200})).into_response()
}

#[derive(Deserialize)]
pub struct Session {
    session: String,
}

/// `POST /robot/sendBySession?session=…`
pub async fn by_session(Shared(state): Shared<Arc<State>>, Query(query): Query<Session>, Json(body): Json<Value>) -> Response {
    if let Some(answer) = faulty(&state, "/robot/sendBySession").await {
        return answer;
    }
    if body.to_string().len() > LARGEST {
        return Json(json!({"errcode": 460101, "errmsg": "keep within 20000 bytes"})).into_response();
    }
    if body["msgtype"] != "markdown" || body["markdown"]["text"].as_str().is_none_or(str::is_empty) {
        return Json(json!({"errcode": 40035, "errmsg": "missing json"})).into_response();
    }
    state.change(|seen| seen.shown.push(Shown::message(query.session, "session", &body)));
    Json(json!({"errcode": 0, "errmsg": "ok"})).into_response()
}

#[derive(Deserialize)]
pub struct Signed {
    timestamp: Option<String>,
    sign: Option<String>,
}

/// `POST /robot/send?access_token=…&timestamp=…&sign=…`
pub async fn custom_robot(Shared(state): Shared<Arc<State>>, Query(query): Query<Signed>, Json(body): Json<Value>) -> Response {
    if verify(query.timestamp.as_deref(), query.sign.as_deref(), &state.secret, state.clock.now()).is_err() {
        return Json(json!({"errcode": 310000, "errmsg": "sign not match"})).into_response();
    }
    state.change(|seen| seen.shown.push(Shown::message("custom robot".to_owned(), "robot", &body)));
    Json(json!({"errcode": 0, "errmsg": "ok"})).into_response()
}

/// `POST /v1.0/robot/oToMessages/batchSend`
pub async fn to_people(shared: Shared<Arc<State>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let people: Vec<String> = body["userIds"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    send(shared, headers, "/v1.0/robot/oToMessages/batchSend", people.join(","), &body).await
}

/// `POST /v1.0/robot/groupMessages/send`
pub async fn to_group(shared: Shared<Arc<State>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let group = body["openConversationId"].as_str().unwrap_or_default().to_owned();
    send(shared, headers, "/v1.0/robot/groupMessages/send", group, &body).await
}

async fn send(Shared(state): Shared<Arc<State>>, headers: HeaderMap, path: &'static str, place: String, body: &Value) -> Response {
    if let Err(answer) = called(&state, &headers, path).await {
        return answer;
    }
    let param: Value = body["msgParam"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    if body["msgKey"] != "sampleMarkdown" || place.is_empty() || param["text"].as_str().is_none_or(str::is_empty) {
        return refuse(400, "miss.param");
    }
    state.change(|seen| seen.shown.push(Shown::message(place, "api", &json!({"markdown": param}))));
    Json(json!({"processQueryKey": "key"})).into_response()
}

/// `POST /v1.0/card/instances/createAndDeliver`
pub async fn create_card(Shared(state): Shared<Arc<State>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if let Err(answer) = called(&state, &headers, "/v1.0/card/instances/createAndDeliver").await {
        return answer;
    }
    let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    let (id, space) = (text("outTrackId"), text("openSpaceId"));
    let place = space.split_once('.').and_then(|(_, rest)| rest.split_once('.')).map(|(_, place)| place.to_owned());
    let Some(place) = place.filter(|place| !place.is_empty() && !id.is_empty() && !text("cardTemplateId").is_empty()) else {
        return refuse(400, "param.error");
    };
    let told = if text("callbackType") == "HTTP" { !text("callbackRouteKey").is_empty() } else { text("callbackType") == "STREAM" };
    if !told {
        return refuse(400, "param.callbackRouteKeyEmpty");
    }
    let at = body.pointer("/imGroupOpenDeliverModel/atUserIds").and_then(Value::as_object);
    let at = at.into_iter().flat_map(|at| at.keys().cloned()).collect();
    let (title, text, times) = (id.clone(), String::new(), vec![Instant::now()]);
    state.change(|seen| {
        seen.shown.push(Shown { kind: "card", place: place.clone(), via: "api", title, text, at, state: "processing", updates: 0, times })
    });
    let delivered = json!([{"spaceId": place, "spaceType": "IM_GROUP", "success": true}]);
    Json(json!({"success": true, "result": {"outTrackId": id, "deliverResults": delivered}})).into_response()
}

/// `PUT /v1.0/card/streaming`
pub async fn stream_card(Shared(state): Shared<Arc<State>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if let Err(answer) = called(&state, &headers, "/v1.0/card/streaming").await {
        return answer;
    }
    let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    for (field, code) in [("guid", "param.stream.guidEmpty"), ("key", "param.stream.keyEmpty"), ("content", "param.stream.contentEmpty")] {
        if text(field).is_empty() {
            return refuse(400, code);
        }
    }
    if body["isFull"] != json!(true) {
        return refuse(400, "param.stream.isFull");
    }
    let known = state.change(|seen| {
        let card = seen.shown.iter_mut().find(|shown| shown.kind == "card" && shown.title == text("outTrackId"))?;
        card.text = text("content");
        card.updates += 1;
        card.times.push(Instant::now());
        card.state = match (body["isFinalize"] == json!(true), body["isError"] == json!(true)) {
            (_, true) => "failed",
            (true, false) => "done",
            (false, false) => "inputting",
        };
        Some(())
    });
    match known {
        Some(()) => Json(json!({"success": true, "result": true})).into_response(),
        None => refuse(400, "param.stream.outTrackId"),
    }
}

/// Token, quota, planned faults.
async fn called(state: &State, headers: &HeaderMap, path: &'static str) -> Result<(), Response> {
    state.change(|seen| seen.asked += 1);
    if let Some(answer) = faulty(state, path).await {
        return Err(answer);
    }
    let token = headers.get("x-acs-dingtalk-access-token").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let number: usize = token.strip_prefix("token-").and_then(|number| number.parse().ok()).unwrap_or_default();
    let now = Instant::now();
    let refused = state.change(|seen| {
        if number == 0 || number > seen.tokens || number < seen.good_from {
            return Some(refuse(401, "InvalidAuthentication"));
        }
        let recent = seen.calls.iter().rev().take_while(|(_, at)| now.duration_since(*at) < Duration::from_secs(1)).count();
        if seen.per_second.is_some_and(|most| recent >= most) {
            seen.refused += 1;
            return Some(refuse(403, TOO_FAST));
        }
        seen.calls.push((path.to_owned(), now));
        None
    });
    refused.map_or(Ok(()), Err)
}

async fn faulty(state: &State, path: &'static str) -> Option<Response> {
    let fault = state.change(|seen| {
        let at = seen.faults.iter().position(|fault| fault.path == path)?;
        seen.faults.remove(at)
    })?;
    let Fault { status, body, delay, .. } = fault;
    tokio::time::sleep(delay).await;
    if status == 0 {
        return None;
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Some(match body.as_str() {
        Some(address) if status.is_redirection() => (status, [(header::LOCATION, address.to_owned())]).into_response(),
        _ => (status, Json(body)).into_response(),
    })
}

fn refuse(status: u16, code: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, Json(json!({"code": code, "message": code, "requestid": "local"}))).into_response()
}
