//! Who is asking: tenants, their keys and roles, the origins a site key is good for, and how often
//! each may ask. A [`Caller`] is proof that a key was checked; everything behind it takes the tenant
//! from there and from nowhere else.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::ids::{KeyId, OwnerId, TenantId};

mod identity;
mod key;
mod limits;
mod origin;
mod retention;
mod retention_store;
mod store;

pub use key::{Admission, ApiKey, Credentials, NewKey, TERMINAL_CHAT, origin_not_allowed};
pub use limits::RateLimits;
pub use origin::OriginPattern;
pub use retention::Retention;
pub use store::{LINK_MS, SESSION_MS, Tenant, Tenants};

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Keeps the knowledge base and sees everything of its tenant.
    Admin,
    /// Asks from programs; sees its own conversations.
    Member,
    /// Asks from a web page, as an anonymous visitor, from listed origins only.
    Site,
    /// Opens nothing: a shop's backend signs with it who a visitor is.
    Identity,
}

impl Role {
    /// The word in commands and storage.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Site => "site",
            Self::Identity => "identity",
        }
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        [Self::Admin, Self::Member, Self::Site, Self::Identity]
            .into_iter()
            .find(|role| role.as_str() == word)
            .ok_or_else(|| Error::invalid("bad_role", format!("`{word}` is not a role: admin, member, site or identity.")))
    }
}

/// Who owns what the console's sessions of a shop open.
const CONSOLE: &str = "console";

/// Somebody whose key was checked.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The tenant the key belongs to.
    pub tenant: TenantId,
    /// What the key may do.
    pub role: Role,
    /// The key.
    pub key: KeyId,
    /// Who owns the conversations it opens: the key, or for a site key the visitor or verified user.
    pub owner: OwnerId,
}

impl Caller {
    /// Whether somebody signed in to the console is asking.
    pub fn is_console(&self) -> bool {
        self.owner.as_str() == CONSOLE
    }

    /// Whose conversations it may see: its own, or as an admin everybody's (`None`).
    pub fn sees(&self) -> Option<&OwnerId> {
        (self.role != Role::Admin).then_some(&self.owner)
    }
}
