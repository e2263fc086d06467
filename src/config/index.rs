//! `index` and `[qdrant]`: where the indexes are.

use serde::Deserialize;
use url::Url;

use super::Secret;
use crate::error::{Error, Result};

/// The key of a Qdrant server. Nowhere but in the environment, so that no file has it.
const KEY: &str = "QDRANT_API_KEY";

/// `[qdrant]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct QdrantConfig {
    pub collection: String,
    pub replicas: u32,
    pub search_ms: u64,
    #[serde(skip)]
    pub api_key: Secret,
}

impl QdrantConfig {
    /// Takes the key from the environment.
    pub(super) fn take_key(&mut self, var: impl Fn(&str) -> Option<String>) {
        self.api_key = Secret::new(var(KEY).unwrap_or_default().trim());
    }
}

/// Where the indexes are.
#[derive(Clone, Debug)]
pub enum IndexPlace {
    /// In this process, with folders in the data directory.
    Embedded,
    /// On a Qdrant server.
    Qdrant {
        /// Its gRPC address.
        url: String,
        /// How it is used.
        config: QdrantConfig,
    },
}

/// What `index` says, once it is valid.
pub(super) fn place(index: &str, config: &QdrantConfig) -> IndexPlace {
    match index {
        "embedded:" => IndexPlace::Embedded,
        url => IndexPlace::Qdrant { url: url.trim_end_matches('/').to_owned(), config: config.clone() },
    }
}

/// # Errors
/// `bad_config`.
pub(super) fn validate(index: &str, config: &QdrantConfig) -> Result<()> {
    if index == "embedded:" {
        return Ok(());
    }
    let wrong = |message: String| Err(Error::invalid("bad_config", message));
    let url = Url::parse(index).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url.filter(|url| matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none()) else {
        return wrong("`index` must be embedded: or the gRPC address of a Qdrant server, such as http://host:6334.".to_owned());
    };
    if !url.username().is_empty() || url.password().is_some() {
        return wrong(format!("`index` must not have a name or a key in it; a Qdrant server's key is {KEY} in the environment."));
    }
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if config.collection.is_empty() || config.collection.len() > 100 || !config.collection.chars().all(named) {
        return wrong(format!("`qdrant.collection` is `{}`; expected up to 100 letters, digits, - and _.", config.collection));
    }
    if !(100..=60_000).contains(&config.search_ms) {
        return wrong(format!("`qdrant.search_ms` is {}; expected 100 to 60000.", config.search_ms));
    }
    if !config.api_key.reveal().chars().all(|c| c.is_ascii_graphic()) {
        return wrong(format!("{KEY} has a character that no key has; it may have been pasted with something around it."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(key: &str) -> QdrantConfig {
        QdrantConfig { collection: "copilot".into(), replicas: 0, search_ms: 3000, api_key: Secret::new(key) }
    }

    #[test]
    fn an_address_and_nothing_secret_in_it() {
        for good in ["embedded:", "http://127.0.0.1:6334", "https://qdrant.example.com:6334/", "http://[::1]:6334"] {
            validate(good, &config("")).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        for bad in ["", "qdrant", "ftp://host", "http://", "http://host:6334/collections", "http://host:6334?x=1"] {
            assert_eq!(validate(bad, &config("")).unwrap_err().code(), "bad_config", "{bad}");
        }
        let error = validate("http://user:very-secret@host:6334", &config("")).unwrap_err();
        assert!(!error.to_string().contains("very-secret"));
    }

    #[test]
    fn a_key_is_checked_and_never_told() {
        let error = validate("http://host:6334", &config("very secret\n")).unwrap_err();
        assert!(!error.to_string().contains("very") && error.code() == "bad_config");
        assert!(!format!("{:?}", config("very-secret")).contains("very-secret"));
        let mut taken = config("");
        taken.take_key(|name| (name == "QDRANT_API_KEY").then(|| " very-secret\n".to_owned()));
        assert_eq!(taken.api_key.reveal(), "very-secret");
    }
}
