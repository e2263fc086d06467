//! Imports over HTTP: files come in and a plan goes out; applied is what somebody has looked at.

use axum::Json;
use axum::body::Body;
use axum::body::Bytes;
use axum::extract::{Multipart, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::auth::Admin;
use super::knowledge::Wanted;
use super::state::Shared;
use crate::error::{Error, Result};
use crate::ids::TenantId;
use crate::knowledge::export::{self, ExportFormat};
use crate::knowledge::imports::{Decided, Import, Imports, PastPage, Upload, Wish};

/// Rows of a plan, or imports, in one answer.
const ROWS: usize = 50;
/// Most rows in one answer.
const MOST: usize = 500;
/// Most characters of an option.
const OPTION_BYTES: usize = 1_000;

fn imports(state: &Shared) -> Imports {
    Imports::new(&state.app.config.data_dir, state.app.knowledge.clone(), state.app.config.zone())
}

/// `?after=&limit=`
#[derive(Deserialize)]
pub struct Paging {
    /// The `next` of the page before.
    after: Option<String>,
    limit: Option<usize>,
}

/// A page of the imports that are kept, the newest first.
pub async fn list(State(state): State<Shared>, Admin(caller): Admin, Query(paging): Query<Paging>) -> Result<Json<PastPage>> {
    let limit = paging.limit.unwrap_or(ROWS).clamp(1, MOST);
    imports(&state).list(&caller.tenant, paging.after.as_deref(), limit).await.map(Json)
}

/// Takes files and answers with the plan.
pub async fn upload(State(state): State<Shared>, Admin(caller): Admin, form: Multipart) -> Result<Response> {
    let imports = imports(&state);
    let mut upload = imports.begin(&caller.tenant).await?;
    let wish = receive(form, &mut upload, state.app.config.limits.upload_bytes).await?;
    let import = imports.plan(&caller.tenant, upload, wish, caller.key.as_str()).await?;
    let answer = with_rows(&imports, &caller.tenant, import, Rows::default()).await?;
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Files go to disk as they come; fields are options.
async fn receive(mut form: Multipart, upload: &mut Upload, most: u64) -> Result<Wish> {
    let mut wish = Wish::default();
    let mut left = most;
    while let Some(mut field) = form.next_field().await.map_err(broken_form)? {
        let Some(name) = field.file_name().map(str::to_owned) else {
            let name = field.name().unwrap_or_default().to_owned();
            let mut value = Vec::new();
            while let Some(bytes) = field.chunk().await.map_err(broken_form)? {
                value.extend_from_slice(&bytes);
                if value.len() > OPTION_BYTES {
                    return Err(Error::invalid("bad_option", format!("The option `{name}` is too long. A file needs a filename.")));
                }
            }
            set(&mut wish, &name, String::from_utf8_lossy(&value).trim())?;
            continue;
        };
        let mut file = tokio::fs::File::create(upload.next(&name)).await?;
        while let Some(bytes) = field.chunk().await.map_err(broken_form)? {
            left = left.checked_sub(bytes.len() as u64).ok_or_else(|| too_large(most))?;
            file.write_all(&bytes).await?;
        }
        file.flush().await?;
    }
    Ok(wish)
}

fn too_large(most: u64) -> Error {
    let message = format!("The files are larger than {} MB. Split them, or use `merchant-copilot kb import` on the server.", most >> 20);
    Error::invalid("body_too_large", message)
}

fn broken_form(error: axum::extract::multipart::MultipartError) -> Error {
    Error::invalid("bad_form", "The body is no complete multipart/form-data.").because(error)
}

fn set(wish: &mut Wish, name: &str, value: &str) -> Result<()> {
    let text = (!value.is_empty()).then(|| value.to_owned());
    match name {
        "format" => wish.format = text,
        "encoding" => wish.encoding = text,
        "source" => wish.source = text,
        "accept_conflicts" => wish.accept_conflicts = yes(name, value)?,
        "as_is" => wish.as_is = yes(name, value)?,
        "replace_source" => wish.replace_source = yes(name, value)?,
        _ => return Err(Error::invalid("bad_option", format!("`{name}` is no option of an import."))),
    }
    Ok(())
}

fn yes(name: &str, value: &str) -> Result<bool> {
    match value {
        "true" | "1" | "on" | "yes" => Ok(true),
        "" | "false" | "0" | "off" | "no" => Ok(false),
        _ => Err(Error::invalid("bad_option", format!("`{name}` is true or false."))),
    }
}

/// `?fate=&after=&limit=`
#[derive(Default, Deserialize)]
pub struct Rows {
    fate: Option<String>,
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

async fn with_rows(imports: &Imports, tenant: &TenantId, import: Import, rows: Rows) -> Result<Value> {
    let limit = rows.limit.unwrap_or(ROWS).clamp(1, MOST);
    let page = imports.rows(tenant, &import.id, rows.fate, rows.after, limit).await?;
    let mut answer = serde_json::to_value(&import)?;
    answer["rows"] = serde_json::to_value(&page.rows)?;
    answer["next"] = json!(page.next);
    Ok(answer)
}

/// An import with a page of its plan.
pub async fn show(
    State(state): State<Shared>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    Query(rows): Query<Rows>,
) -> Result<Json<Value>> {
    let imports = imports(&state);
    let import = imports.get(&caller.tenant, &id).await?;
    Ok(Json(with_rows(&imports, &caller.tenant, import, rows).await?))
}

/// Writes it.
pub async fn apply(State(state): State<Shared>, Admin(caller): Admin, Path(id): Path<String>, body: Bytes) -> Result<Json<Import>> {
    let decided = if body.is_empty() { Ok(Decided::default()) } else { serde_json::from_slice(&body) };
    let decided = decided.map_err(|error| {
        Error::invalid("invalid_request", format!("The body is not {{\"accept\": [n…], \"replace\": [n…], \"skip\": [n…]}}: {error}."))
    })?;
    let import = imports(&state).apply(&caller.tenant, &id, decided, caller.key.as_str()).await?;
    if let Some(revision) = import.applied.as_ref().and_then(|report| report["revision"].as_i64()) {
        state.app.knowledge.settle(revision).await;
    }
    Ok(Json(import))
}

/// Takes back what applying it did.
pub async fn undo(State(state): State<Shared>, Admin(caller): Admin, Path(id): Path<String>) -> Result<Json<Import>> {
    let import = imports(&state).undo(&caller.tenant, &id, caller.key.as_str()).await?;
    if let Some(undone) = &import.undone {
        state.app.knowledge.settle(undone.revision).await;
    }
    Ok(Json(import))
}

/// Forgets it.
pub async fn forget(State(state): State<Shared>, Admin(caller): Admin, Path(id): Path<String>) -> Result<StatusCode> {
    imports(&state).delete(&caller.tenant, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `?format=`
#[derive(Deserialize)]
pub struct Export {
    format: Option<String>,
}

/// Every row, or those that the table's filters leave, as a file that imports again.
pub async fn export(
    State(state): State<Shared>,
    Admin(caller): Admin,
    Query(wanted): Query<Export>,
    Query(narrowed): Query<Wanted>,
) -> Result<Response> {
    let format = ExportFormat::from_word(wanted.format.as_deref().unwrap_or("jsonl"))?;
    let (ending, kind) = format.ending_and_type();
    let name = format!("attachment; filename=\"{}.{ending}\"", caller.tenant);
    let pages = export::export(state.app.knowledge.store().clone(), caller.tenant, narrowed.listing(), format, state.app.config.zone());
    let body = Body::from_stream(pages.map_ok(|page| page.bytes));
    Ok(([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, name)], body).into_response())
}
