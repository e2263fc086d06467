//! A shop's prompt templates: what is in force, versions, publishing and rolling back, lint and preview.
//! For admins: a prompt has rules that guardrails keep out of answers.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Admin;
use super::problem::Body;
use super::state::Shared;
use crate::chat::preview::{Preview, Trying};
use crate::error::{Error, Result};
use crate::prompts::{Level, LintFinding, Origin, PromptTemplate};

/// A template and why it is so.
#[derive(Deserialize)]
pub struct Draft {
    text: String,
    #[serde(default)]
    note: String,
    /// Puts it in force at once.
    #[serde(default)]
    publish: bool,
}

/// A version to put in force and why.
#[derive(Deserialize)]
pub struct Publishing {
    version: i64,
    #[serde(default)]
    note: String,
}

/// A text to look at.
#[derive(Deserialize)]
pub struct Text {
    text: String,
}

/// A question to try a template on: a text that nobody saved, a version, or what is in force.
#[derive(Deserialize)]
pub struct Trial {
    question: String,
    market: Option<String>,
    model: Option<String>,
    text: Option<String>,
    version: Option<i64>,
}

/// Every template in force, and what is wrong or odd in one.
pub async fn list(State(state): State<Shared>, Admin(caller): Admin) -> Result<Json<Value>> {
    let set = state.app.prompts.of(&caller.tenant).await?;
    let prompts: Vec<Value> = set.templates().map(|template| head(template)).collect();
    Ok(Json(json!({"prompts": prompts, "findings": set.lint()})))
}

/// The template in force, with its text.
pub async fn show(State(state): State<Shared>, Admin(caller): Admin, Path(name): Path<String>) -> Result<Json<Value>> {
    let set = state.app.prompts.of(&caller.tenant).await?;
    Ok(Json(whole(set.get(&name)?)))
}

/// What was saved and what was in force when, the newest first.
pub async fn versions(State(state): State<Shared>, Admin(caller): Admin, Path(name): Path<String>) -> Result<Json<Value>> {
    let prompts = &state.app.prompts;
    let versions = prompts.versions(&caller.tenant, &name).await?;
    let publications = prompts.publications(&caller.tenant, &name).await?;
    let in_force = publications.first().map_or(0, |newest| newest.version);
    Ok(Json(json!({"in_force": in_force, "versions": versions, "publications": publications})))
}

/// One version with its text; 0 is the file's.
pub async fn version(State(state): State<Shared>, Admin(caller): Admin, Path((name, version)): Path<(String, i64)>) -> Result<Json<Value>> {
    let prompts = &state.app.prompts;
    Ok(Json(match prompts.version(&caller.tenant, &name, version).await? {
        Some(saved) => json!(saved),
        None => json!({"version": 0, "text": prompts.version_of(&caller.tenant, &name, 0).await?.text}),
    }))
}

/// Saves a version, and with `publish` puts it in force.
pub async fn save(
    State(state): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<String>,
    Body(draft): Body<Draft>,
) -> Result<Response> {
    let (prompts, author) = (&state.app.prompts, caller.key.as_str());
    let saved = prompts.save(&caller.tenant, &name, &draft.text, author, &draft.note).await?;
    let revision = match draft.publish {
        true => Some(prompts.publish(&caller.tenant, &name, saved.version, author, &draft.note).await?),
        false => None,
    };
    let body =
        json!({"name": name, "version": saved.version, "published": draft.publish, "revision": revision, "findings": saved.findings});
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// Puts a version in force from the next question on: a new one, an earlier one, or 0, the file's.
pub async fn publish(
    State(state): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<String>,
    Body(publishing): Body<Publishing>,
) -> Result<Json<Value>> {
    let Publishing { version, note } = publishing;
    let revision = state.app.prompts.publish(&caller.tenant, &name, version, caller.key.as_str(), &note).await?;
    Ok(Json(json!({"name": name, "version": version, "revision": revision})))
}

/// Everything wrong or odd in a text.
pub async fn lint(
    State(state): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<String>,
    Body(Text { text }): Body<Text>,
) -> Result<Json<Value>> {
    let findings: Vec<LintFinding> = state.app.prompts.lint(&caller.tenant, &name, &text).await?;
    let errors = findings.iter().filter(|finding| finding.level == Level::Error).count();
    Ok(Json(json!({"findings": findings, "errors": errors})))
}

/// What a model would be asked, with its tokens and price; no model is.
pub async fn preview(
    State(state): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<String>,
    Body(trial): Body<Trial>,
) -> Result<Json<Preview>> {
    let (prompts, tenant) = (&state.app.prompts, &caller.tenant);
    let template = match (trial.text, trial.version) {
        (Some(_), Some(_)) => return Err(Error::invalid("text_or_version", "Give `text` or `version`, not both.")),
        (Some(text), None) => Arc::new(prompts.draft(tenant, &name, &text).await?),
        (None, Some(version)) => prompts.version_of(tenant, &name, version).await?,
        (None, None) => Arc::clone(prompts.of(tenant).await?.get(&name)?),
    };
    let Trial { question, market, model, .. } = trial;
    Ok(Json(state.app.engine.preview(tenant, Trying { question, market, model, template: Some(template), search: None }).await?))
}

fn head(template: &PromptTemplate) -> Value {
    let published = if let Origin::Shop(version) = template.origin { Some(version) } else { None };
    json!({
        "name": template.name, "version": template.version, "description": template.description, "reasoning": template.reasoning,
        "origin": template.origin.word(), "published": published, "digest": template.digest, "label": template.label(),
    })
}

fn whole(template: &PromptTemplate) -> Value {
    let mut object = head(template);
    let variables = template.variables.iter().map(
        |(name, variable)| json!({"name": name, "kind": format!("{:?}", variable.kind).to_lowercase(), "optional": variable.optional}),
    );
    object["variables"] = variables.collect();
    object["demos"] = json!(template.demos);
    object["text"] = json!(template.text);
    object
}
