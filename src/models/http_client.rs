//! The HTTP client that every dialect uses, and how its errors are told.

use std::error::Error as StdError;
use std::time::Duration;

use reqwest::Url;

use super::ModelError;
use crate::error::{Error, Result};

/// A client for the provider at this address; `connect` limits the time to reach it.
///
/// # Errors
/// `http_client` when there can be none.
pub(super) fn client(url: &Url, connect: Duration) -> Result<reqwest::Client> {
    // A redirect would turn the POST into a GET: better say that the address is wrong.
    let mut builder = reqwest::Client::builder().connect_timeout(connect).redirect(reqwest::redirect::Policy::none());
    // A model server on this machine is never behind the proxy that the environment may name.
    if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| {
        let message = format!("The HTTP client for model providers cannot start: {}.", describe(&error));
        Error::internal("http_client", message).because(error)
    })
}

/// The provider was not reached, or not to the end.
pub(super) fn unreachable(error: reqwest::Error) -> ModelError {
    ModelError::Unavailable(describe(&error.without_url()))
}

/// An error and its causes in one line.
pub(super) fn describe(error: &dyn StdError) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    std::iter::once(error).chain(causes).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
