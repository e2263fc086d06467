//! Names of things as types, so that a conversation's id is never passed where an entry's is meant;
//! and time, read only through [`Clock`], so that a test can hold it still.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes a stored or received text as it is; look-ups decide whether it exists.
            pub fn from_text(text: impl Into<String>) -> Self {
                Self(text.into())
            }
            /// The text form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// A shop or business line. Lower-case letters, digits and hyphens: it is also a folder's name.
    TenantId
);
id!(
    /// One thing the shop knows; unique within its tenant.
    EntryId
);
id!(
    /// A thread of turns.
    ConversationId
);
id!(
    /// One question with its answer; on the wire the `response_id`.
    TurnId
);
id!(
    /// A stored key's public name (never the secret itself).
    KeyId
);
id!(
    /// Who owns a conversation: an anonymous visitor of a site, or a key.
    OwnerId
);

impl TenantId {
    /// Longest allowed tenant name.
    pub const MAX: usize = 63;

    /// Checks a name that somebody typed.
    pub fn parse(text: &str) -> Result<Self> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > Self::MAX || !text.chars().all(legal) || text.starts_with('-') {
            return Err(Error::invalid(
                "bad_tenant_name",
                format!(
                    "`{text}` cannot be a tenant's name: use 1 to {} lower-case letters, digits and hyphens, not starting with a hyphen.",
                    Self::MAX
                ),
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl ConversationId {
    /// A fresh random id.
    pub fn random() -> Self {
        Self(random_token("c_", 20))
    }
}
impl TurnId {
    /// A fresh random id.
    pub fn random() -> Self {
        Self(random_token("r_", 20))
    }
}
impl KeyId {
    /// A fresh random id.
    pub fn random() -> Self {
        Self(random_token("k_", 10))
    }
}

/// `prefix` and `len` random letters and digits, drawn from the operating system's generator.
pub fn random_token(prefix: &str, len: usize) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rng = rand::rng();
    let mut token = String::with_capacity(prefix.len() + len);
    token.push_str(prefix);
    token.extend((0..len).map(|_| ALPHABET[rng.random_range(0..ALPHABET.len())] as char));
    token
}

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// RFC 3339 in UTC, with seconds.
    pub fn rfc3339(self) -> String {
        chrono::DateTime::from_timestamp_millis(self.0).unwrap_or_default().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    }
}

/// The only way to read the time.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(None)
    }
    /// A clock that stands still until [`Clock::set`].
    pub fn fixed(at: Timestamp) -> Self {
        Self(Some(Arc::new(AtomicI64::new(at.0))))
    }
    /// Moves a fixed clock; does nothing to the system's.
    pub fn set(&self, at: Timestamp) {
        if let Some(held) = &self.0 {
            held.store(at.0, Ordering::Relaxed);
        }
    }
    /// Now.
    #[expect(clippy::disallowed_methods, reason = "the one place where time is read")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Some(held) => Timestamp(held.load(Ordering::Relaxed)),
            None => Timestamp(chrono::Utc::now().timestamp_millis()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_name_is_safe_as_a_folder() {
        assert!(TenantId::parse("demo").is_ok());
        for bad in ["", "../x", "A", "a/b", "-a", "a.b", &"x".repeat(64)] {
            assert_eq!(TenantId::parse(bad).unwrap_err().code(), "bad_tenant_name", "{bad}");
        }
    }
}
