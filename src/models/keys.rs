//! The key that a provider is shown: one of the configuration, or what a file holds at the moment, because somebody else
//! renews it (tokens of Vertex AI last an hour; whoever has `gcloud` writes the next one).

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use http::header::{AUTHORIZATION, HeaderName, InvalidHeaderValue};
use http::{HeaderValue, StatusCode};
use reqwest::{Client, Request, Response};

use super::ModelError;
use super::http_client::unreachable;
use crate::config::Secret;

/// How a key is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyHeader {
    Bearer,
    Named(&'static str),
}

/// Where a provider's key comes from.
#[derive(Debug)]
pub(super) struct Keys {
    how: KeyHeader,
    /// Read for every call: that is little beside a call, and no renewal is missed.
    file: Option<PathBuf>,
    /// What was shown last.
    last: Mutex<Shown>,
}

/// A key, and the header that carries it; neither where there is none.
#[derive(Clone, Debug, Default)]
struct Shown {
    key: Secret,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Keys {
    /// A key that stays.
    ///
    /// # Errors
    /// A character that no key has.
    pub(super) fn fixed(how: KeyHeader, key: &Secret) -> Result<Self, InvalidHeaderValue> {
        Ok(Self { how, file: None, last: Mutex::new(Shown::of(how, key.clone())?) })
    }

    /// A key that a file holds. The file need not be there yet.
    pub(super) fn file(how: KeyHeader, file: &Path) -> Self {
        Self { how, file: Some(file.to_owned()), last: Mutex::default() }
    }

    /// The key that was shown last, to be taken out of whatever a provider says.
    pub(super) fn last(&self) -> Secret {
        self.shown().key
    }

    /// The name of the header with the key, unless none was shown.
    #[cfg(test)]
    pub(super) fn header(&self) -> Option<String> {
        self.shown().header.map(|(name, _)| name.to_string())
    }

    /// Sends a request with the key; once more when it is refused while the file has another by now.
    pub(super) async fn send(&self, http: &Client, mut request: Request) -> Result<Response, ModelError> {
        let again = self.file.as_ref().and_then(|_| request.try_clone());
        let shown = self.now().await?;
        shown.put_on(&mut request);
        let response = http.execute(request).await.map_err(unreachable)?;
        let Some(mut request) = again.filter(|_| response.status() == StatusCode::UNAUTHORIZED) else { return Ok(response) };
        let renewed = self.now().await?;
        if renewed.key.reveal() == shown.key.reveal() {
            return Ok(response);
        }
        renewed.put_on(&mut request);
        http.execute(request).await.map_err(unreachable)
    }

    async fn now(&self) -> Result<Shown, ModelError> {
        let Some(file) = &self.file else { return Ok(self.shown()) };
        let wrong = |what: &str| ModelError::Unauthorized(format!("the key file {} {what}", file.display()));
        let text = tokio::fs::read_to_string(file).await.map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        let key = text.trim();
        if key.is_empty() {
            return Err(wrong("is empty"));
        }
        let shown = Shown::of(self.how, Secret::new(key)).map_err(|_| wrong("has a character no key has"))?;
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&shown);
        Ok(shown)
    }

    fn shown(&self) -> Shown {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shown {
    fn of(how: KeyHeader, key: Secret) -> Result<Self, InvalidHeaderValue> {
        if key.is_empty() {
            return Ok(Self::default());
        }
        let (name, text) = match how {
            KeyHeader::Bearer => (AUTHORIZATION, format!("Bearer {}", key.reveal())),
            KeyHeader::Named(name) => (HeaderName::from_static(name), key.reveal().to_owned()),
        };
        let mut value = HeaderValue::from_str(&text)?;
        value.set_sensitive(true);
        Ok(Self { key, header: Some((name, value)) })
    }

    fn put_on(&self, request: &mut Request) {
        if let Some((name, value)) = self.header.clone() {
            request.headers_mut().insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::super::fake::{Fake, answer, reply};
    use super::super::{CompletionRequest, Delta};
    use super::*;
    use crate::config::{ProviderConfig, ProviderKind};

    /// What each request of the fake carried as its key.
    fn carried(fake: &Fake, header: &str) -> Vec<String> {
        let of = |head: String| {
            let line = head.lines().find_map(|line| line.to_lowercase().strip_prefix(&format!("{header}: ")).map(str::to_owned));
            line.unwrap_or_default()
        };
        fake.seen().into_iter().map(|seen| of(seen.head)).collect()
    }

    async fn said(fake: &Fake, provider: &ProviderConfig) -> Result<String, ModelError> {
        let mut deltas = fake.model_of(provider, "m").stream(CompletionRequest::default()).await?;
        let mut text = String::new();
        while let Some(delta) = deltas.next().await {
            if let Delta::Text(part) = delta? {
                text.push_str(&part);
            }
        }
        Ok(text)
    }

    fn of_file(fake: &Fake, file: &Path) -> ProviderConfig {
        ProviderConfig { api_key: Secret::default(), key_file: file.to_owned(), ..fake.provider() }
    }

    #[tokio::test]
    async fn a_key_file_that_was_renewed_counts_from_the_next_call_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let fake = Fake::start(|_| answer(&["x"])).await;
        let provider = of_file(&fake, &file);
        let missing = said(&fake, &provider).await.unwrap_err();
        assert!(matches!(&missing, ModelError::Unauthorized(what) if what.contains("cannot be read")), "{missing}");
        let model = fake.model_of(&provider, "m");
        for token in ["ya29.One\n", "ya29.Two"] {
            std::fs::write(&file, token).unwrap();
            let _whole = model.stream(CompletionRequest::default()).await.unwrap().collect::<Vec<_>>().await;
        }
        assert_eq!(carried(&fake, "authorization"), ["bearer ya29.one", "bearer ya29.two"]);
        std::fs::write(&file, " \n").unwrap();
        assert!(matches!(said(&fake, &provider).await, Err(ModelError::Unauthorized(what)) if what.contains("empty")));
        assert_eq!(fake.seen().len(), 2, "nothing is sent without a key");
    }

    #[tokio::test]
    async fn a_key_that_expired_on_the_way_is_read_again_once_and_only_if_there_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "token-old-1").unwrap();
        let renewing = file.clone();
        let fake = Fake::start(move |nth| match nth {
            0 => {
                std::fs::write(&renewing, "token-new-2").unwrap();
                reply(401, "", r#"{"error":{"message":"expired token-old-1"}}"#)
            }
            1 => answer(&["x"]),
            _ => reply(401, "", r#"{"error":{"message":"expired token-new-2"}}"#),
        })
        .await;
        let provider = of_file(&fake, &file);
        assert_eq!(said(&fake, &provider).await.unwrap(), "x");
        assert_eq!(carried(&fake, "authorization"), ["bearer token-old-1", "bearer token-new-2"]);
        let error = said(&fake, &provider).await.unwrap_err();
        assert!(matches!(error, ModelError::Unauthorized(_)) && !error.to_string().contains("expired token-new-2"), "{error}");
        assert_eq!(fake.seen().len(), 3, "the same key is not tried twice");
        // A key of the configuration is sent once, and Anthropic's dialect has files as well.
        let _refused = said(&fake, &fake.provider()).await.unwrap_err();
        assert_eq!(fake.seen().len(), 4);
        let anthropic = ProviderConfig { kind: ProviderKind::Anthropic, ..of_file(&fake, &file) };
        let _refused = said(&fake, &anthropic).await.unwrap_err();
        assert_eq!(carried(&fake, "x-api-key")[4], "token-new-2");
    }
}
