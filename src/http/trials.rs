//! A question tried out under other settings than those in force: what a model would be asked, and what it
//! answers. For the shop's own people: the answer is a turn like any other, and costs like one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use futures::StreamExt;
use serde::Deserialize;

use super::auth::Admin;
use super::chat::{frame, sse};
use super::knowledge::Tried;
use super::message::events;
use super::problem::Body;
use super::state::Shared;
use crate::chat::preview::{Preview, Trying};
use crate::chat::{ChatRequest, Trial};
use crate::config::SearchConfig;
use crate::error::Result;
use crate::prompts::PromptTemplate;
use crate::tenants::Caller;

/// A question and what is tried out for it; what is left out is as in force.
#[derive(Deserialize)]
pub struct Asked {
    text: String,
    client_msg_id: Option<String>,
    model: Option<String>,
    market: Option<String>,
    #[serde(default)]
    settings: Tried,
    template: Option<Version>,
}

/// A saved version of a template; 0 is the file's.
#[derive(Deserialize)]
struct Version {
    name: String,
    version: i64,
}

/// An empty choice is none.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

impl Asked {
    async fn search(&self, state: &Shared, caller: &Caller) -> Result<Option<SearchConfig>> {
        if self.settings.is_empty() {
            return Ok(None);
        }
        self.settings.over(&state.app.knowledge.settings(&caller.tenant).await?).map(Some)
    }

    async fn template(&self, state: &Shared, caller: &Caller) -> Result<Option<Arc<PromptTemplate>>> {
        let Some(Version { name, version }) = &self.template else { return Ok(None) };
        state.app.prompts.version_of(&caller.tenant, name, *version).await.map(Some)
    }
}

/// Answers with the events of the turn, as `/api/v1/chat` does.
pub async fn answer(State(state): State<Shared>, Admin(caller): Admin, Body(asked): Body<Asked>) -> Result<Response> {
    let trial = Trial { search: asked.search(&state, &caller).await?, template: asked.template(&state, &caller).await? };
    let request = ChatRequest {
        text: asked.text,
        client_msg_id: asked.client_msg_id,
        model: given(asked.model),
        market: given(asked.market),
        channel: "console",
        trial: Some(trial),
        ..ChatRequest::default()
    };
    let accepted = state.app.engine.answer(&caller, request).await?;
    Ok(sse(events(accepted).map(|event| Ok(frame(event)))))
}

/// What a model would be asked, with its tokens and price; no model is.
pub async fn preview(State(state): State<Shared>, Admin(caller): Admin, Body(asked): Body<Asked>) -> Result<Json<Preview>> {
    let (search, template) = (asked.search(&state, &caller).await?, asked.template(&state, &caller).await?);
    let trying = Trying { question: asked.text, market: given(asked.market), model: given(asked.model), template, search };
    Ok(Json(state.app.engine.preview(&caller.tenant, trying).await?))
}
