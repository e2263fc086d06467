//! The way out to a platform: addresses that may be called, one kind of HTTP client, and what a call that got
//! no answer comes down to.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};

use super::host::is_loopback;
use crate::error::{Error, Kind, Result};

/// A platform answers in well under a second; a call that takes this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
/// What a platform says is a few kilobytes; nobody reads more than this of it.
const LARGEST_ANSWER: usize = 1 << 20;
/// The code of a call that was certainly never made.
pub const UNREACHABLE: &str = "platform_unreachable";

/// An encrypted address, or one on this machine: what `secure` and `plain` are called there (`https`, `http`).
pub fn address(text: &str, secure: &str, plain: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (url.scheme() == secure || (url.scheme() == plain && is_local(&url))).then_some(url)
}

/// The address of a platform's API, from the configuration's key of that name.
///
/// # Errors
/// `bad_config`.
pub fn base(text: &str, key: &str) -> Result<Url> {
    let wrong = || Error::invalid("bad_config", format!("`{key}` must be an https address (http only on this machine)."));
    address(text, "https", "http").ok_or_else(wrong)
}

/// Whether an address is on this machine.
pub fn is_local(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback)
}

/// A client that follows no redirect. A proxy for the way out knows nothing of a platform on this machine.
///
/// # Errors
/// `http_client`.
pub fn client(local: bool) -> Result<Client> {
    let builder = Client::builder().redirect(Policy::none()).connect_timeout(CONNECT).timeout(PATIENCE);
    let builder = if local { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| Error::internal("http_client", "The HTTP client could not be built.").because(error))
}

/// What a call comes down to that was only to prepare another one, such as for a token: without an answer nothing has been
/// said to anybody yet, so that it may be made again.
pub fn unanswered(error: Error) -> Error {
    match error.kind() {
        Kind::Timeout => {
            Error::unavailable("platform_unavailable", "The platform did not answer when it was asked for a token.").because(error)
        }
        _ => error,
    }
}

/// What the platform said, up to a bound: an address that answers without an end must not fill the memory.
///
/// # Errors
/// `platform_answer_too_large` beyond it, of which nobody knows what it means; what [`lost`] says when it broke off.
pub async fn body(mut answer: Response) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(lost)? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            let message = "The platform's answer is larger than a megabyte and was not read; the call may have worked.";
            return Err(Error::timeout("platform_answer_too_large", message));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// No answer. Only a connection that never stood is certain to have done nothing. An address may be a secret: it
/// stays out of the error.
pub fn lost(error: reqwest::Error) -> Error {
    let error = error.without_url();
    if error.is_connect() || error.is_builder() {
        return Error::unavailable(UNREACHABLE, "The platform cannot be reached.").because(error);
    }
    if error.is_timeout() {
        return Error::timeout("platform_timeout", "The platform did not answer in time; the call may have worked.").because(error);
    }
    Error::timeout("platform_unsure", "The connection broke after the call had gone out; it may have worked.").because(error)
}
