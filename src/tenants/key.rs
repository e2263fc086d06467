//! Keys and who stands behind them (pure): how a secret looks, how it is kept, and when showing it
//! makes a [`Caller`].

use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::origin::is_listed;
use super::{Caller, Role};
use crate::error::{Error, Result};
use crate::ids::{KeyId, OwnerId, TenantId, Timestamp, random_token};

/// Random letters and digits in every secret: about 190 bits.
const SECRET_LEN: usize = 32;
const VISITOR_PREFIX: &str = "vt_";
pub(super) const IDENTITY_PREFIX: &str = "mc_identity_";

/// A stored key, without its secret.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ApiKey {
    /// Its public name.
    #[cfg_attr(test, ts(as = "String"))]
    pub id: KeyId,
    /// Whose it is.
    #[cfg_attr(test, ts(as = "String"))]
    pub tenant: TenantId,
    /// What it may do.
    pub role: Role,
    /// What it is for, in the words of whoever issued it.
    pub label: String,
    /// Where a site key may be used from.
    pub origins: Vec<String>,
    /// When it was issued.
    #[serde(rename = "created_ms")]
    #[cfg_attr(test, ts(as = "i64"))]
    pub created: Timestamp,
    /// From when on it is refused.
    #[serde(rename = "expires_ms")]
    #[cfg_attr(test, ts(as = "Option<i64>"))]
    pub expires: Option<Timestamp>,
    /// Since when it is refused.
    #[serde(rename = "revoked_ms")]
    #[cfg_attr(test, ts(as = "Option<i64>"))]
    pub revoked: Option<Timestamp>,
}

/// The label of keys that a chat in the terminal issues for itself.
pub const TERMINAL_CHAT: &str = "terminal chat";

/// What [`Tenants::issue`](super::Tenants::issue) is asked for.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What it may do.
    pub role: Role,
    /// Where a site key may be used from; empty for the other roles.
    pub origins: Vec<String>,
    /// What it is for.
    pub label: String,
    /// From when on it is refused.
    pub expires: Option<Timestamp>,
}

/// What somebody shows to be let in.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The key.
    pub key: &'a str,
    /// The page it is used from, as the browser says.
    pub origin: Option<&'a str>,
    /// The visitor token of an earlier visit.
    pub visitor: Option<&'a str>,
    /// A token of the shop's backend that says who the visitor is.
    pub identity: Option<&'a str>,
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Somebody let in.
#[derive(Clone)]
pub struct Admission {
    /// Who it is.
    pub caller: Caller,
    /// For a site key: what this visitor shows next time to be the same visitor.
    pub visitor_token: Option<String>,
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("caller", &self.caller).finish_non_exhaustive()
    }
}

impl ApiKey {
    /// Whether it is neither revoked nor expired.
    pub fn is_active_at(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|end| now < end)
    }

    /// Lets its holder in; a site key only from a listed page.
    pub(super) fn admit(self, origin: Option<&str>, visitor: Option<&str>) -> Result<Admission> {
        let (owner, visitor_token) = match self.role {
            Role::Identity => return Err(signs_only()),
            Role::Admin | Role::Member => (OwnerId::from_text(self.id.as_str()), None),
            Role::Site if !origin.is_some_and(|origin| is_listed(&self.origins, origin)) => {
                return Err(origin_not_allowed(origin));
            }
            Role::Site => {
                let token = visitor.filter(|token| is_visitor_token(token)).map_or_else(new_visitor_token, str::to_owned);
                (visitor_owner(&self.tenant, &token), Some(token))
            }
        };
        Ok(Admission { caller: Caller { tenant: self.tenant, role: self.role, key: self.id, owner }, visitor_token })
    }
}

/// The refusal of a page that is on no list.
pub fn origin_not_allowed(origin: Option<&str>) -> Error {
    let from = origin.map_or("without an Origin".to_owned(), |origin| format!("from {origin}"));
    Error::forbidden(
        "origin_not_allowed",
        format!("The chat may not be used {from}. Issue a key for this page with `merchant-copilot key issue --role site --origin …`."),
    )
}

fn signs_only() -> Error {
    Error::unauthenticated("invalid_key", "An identity secret signs who a visitor is; it opens nothing and never leaves your backend.")
}

/// A fresh secret of a role.
pub(super) fn new_secret(role: Role) -> String {
    let prefix = match role {
        Role::Admin => "mc_admin_",
        Role::Member => "mc_member_",
        Role::Site => "site_",
        Role::Identity => IDENTITY_PREFIX,
    };
    random_token(prefix, SECRET_LEN)
}

/// A fresh one-time or session secret.
pub(super) fn new_sign_in_secret() -> String {
    random_token("in_", SECRET_LEN)
}

/// What is stored of a secret. Secrets are long and random, so one round of SHA-256 is enough.
pub(super) fn fingerprint(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn new_visitor_token() -> String {
    random_token(VISITOR_PREFIX, SECRET_LEN)
}

/// Only what we could have handed out counts: nobody becomes the visitor "1" by asking for it.
fn is_visitor_token(token: &str) -> bool {
    token.strip_prefix(VISITOR_PREFIX).is_some_and(|rest| rest.len() == SECRET_LEN && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// A visitor needs no table: the owner's id follows from the token, and not the other way round.
fn visitor_owner(tenant: &TenantId, token: &str) -> OwnerId {
    let digest = fingerprint(&format!("{tenant}\0{token}"));
    OwnerId::from_text(format!("v_{}", &digest[..32]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site_key() -> ApiKey {
        ApiKey {
            id: KeyId::random(),
            tenant: TenantId::from_text("demo"),
            role: Role::Site,
            label: String::new(),
            origins: vec!["https://*.example.com".into()],
            created: Timestamp(0),
            expires: None,
            revoked: None,
        }
    }

    #[test]
    fn a_secret_is_stored_as_its_hash_and_tells_its_role() {
        assert_eq!(fingerprint("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let secret = new_secret(Role::Member);
        assert!(secret.starts_with("mc_member_") && secret.len() == 10 + SECRET_LEN, "{secret}");
        assert_ne!(secret, new_secret(Role::Member));
    }

    #[test]
    fn a_site_key_stands_for_one_visitor_per_token_and_tenant() {
        let from = Some("https://a.example.com");
        let first = site_key().admit(from, None).unwrap();
        let token = first.visitor_token.unwrap();
        let again = site_key().admit(from, Some(&token)).unwrap();
        assert_eq!(again.caller.owner, first.caller.owner);
        assert_eq!(again.visitor_token.as_deref(), Some(token.as_str()));
        assert_ne!(visitor_owner(&TenantId::from_text("other"), &token), first.caller.owner);
        for forged in ["1", "vt_1", &format!("vt_{}", "*".repeat(32))] {
            assert_ne!(site_key().admit(from, Some(forged)).unwrap().visitor_token.as_deref(), Some(forged));
        }
        assert!(!format!("{again:?}").contains(&token));
    }

    #[test]
    fn a_site_key_needs_a_listed_origin() {
        for origin in [None, Some("null"), Some("https://evil.net"), Some("https://example.com")] {
            assert_eq!(site_key().admit(origin, None).unwrap_err().code(), "origin_not_allowed", "{origin:?}");
        }
    }

    #[test]
    fn a_key_ends_when_it_expires_or_is_revoked() {
        let mut key = ApiKey { expires: Some(Timestamp(10)), ..site_key() };
        assert!(key.is_active_at(Timestamp(9)) && !key.is_active_at(Timestamp(10)));
        key.revoked = Some(Timestamp(1));
        assert!(!key.is_active_at(Timestamp(9)));
    }
}
