//! `tenant add|list` and `key issue|list|revoke`: who may come in. Both work beside a running server
//! and take effect there at once.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{DONE, print};
use crate::app::Ground;
use crate::error::Result;
use crate::ids::{KeyId, TenantId, Timestamp};
use crate::tenants::{ApiKey, NewKey, Role, TERMINAL_CHAT};

/// `tenant …`
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Add a shop or business line
    Add {
        /// Lower-case letters, digits and hyphens
        name: String,
        /// What people call it
        #[arg(long)]
        title: Option<String>,
    },
    /// All shops
    List,
}

/// `key …`
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Issue a key; it is shown once
    Issue(Issue),
    /// Keys of the tenant, without their secrets
    List {
        /// Also those that are revoked or have expired
        #[arg(long)]
        all: bool,
    },
    /// End a key at once
    Revoke {
        /// As `key list` shows it
        id: String,
    },
}

#[derive(Debug, Args)]
pub struct Issue {
    /// admin: keeps the knowledge. member: asks from programs. site: asks from web pages. identity: a backend's secret, signs who a visitor is
    #[arg(long)]
    role: RoleName,
    /// A page that a site key may be used from, e.g. `https://shop.example.com` or `https://*.example.com`
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// What it is for
    #[arg(long, default_value = "")]
    label: String,
    /// Days until it expires
    #[arg(long, value_name = "DAYS")]
    days: Option<u32>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    Admin,
    Member,
    Site,
    Identity,
}

impl TenantCommand {
    /// Runs it.
    pub async fn run(self, ground: Ground, json: bool) -> Result<u8> {
        match self {
            Self::Add { name, title } => {
                let id = TenantId::parse(&name)?;
                let tenant = ground.tenants.add(&id, title.as_deref().unwrap_or(&name)).await?;
                tell(json, json!(tenant), || {
                    print::line(format!("Added tenant `{id}`. Give it knowledge: merchant-copilot kb import FILE --tenant {id}"))
                });
            }
            Self::List => {
                let tenants = ground.tenants.list().await?;
                tell(json, json!({"tenants": tenants}), || {
                    tenants.iter().for_each(|tenant| print::line(format!("{:20}  {}", tenant.id.as_str(), tenant.name)))
                });
            }
        }
        ground.db.close().await;
        Ok(DONE)
    }
}

impl KeyCommand {
    /// Runs it.
    pub async fn run(self, ground: Ground, tenant: &str, json: bool) -> Result<u8> {
        let tenant = ground.tenant(tenant).await?;
        match self {
            Self::Issue(issue) => {
                let (key, secret) = ground.tenants.issue(&tenant, issue.into_new_key(ground.clock.now())).await?;
                let mut object = json!(key);
                object["key"] = json!(secret.reveal());
                tell(json, object, || {
                    print::line(secret.reveal());
                    print::aside(format!(
                        "This {} key of tenant `{tenant}` is shown only now. Revoke it with `key revoke {}`.",
                        key.role.as_str(),
                        key.id
                    ));
                });
            }
            Self::List { all } => {
                let now = ground.clock.now();
                let keys = ground.tenants.keys(&tenant).await?;
                let (mut ended, mut shown): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| !all && is_over(key, now));
                // Nobody issued those of terminal chats, so nobody misses them.
                ended.retain(|key| key.label != TERMINAL_CHAT);
                shown.sort_by_key(|key| is_over(key, now));
                tell(json, json!({"keys": shown}), || {
                    shown.iter().for_each(|key| print::line(row(key, now)));
                    if !ended.is_empty() {
                        print::aside(format!("{} revoked or expired; --all lists them too.", print::count(ended.len(), "key")));
                    }
                });
            }
            Self::Revoke { id } => {
                let key = ground.tenants.revoke(&tenant, &KeyId::from_text(id)).await?;
                tell(json, json!(key), || print::line(format!("Key {} is revoked.", key.id)));
            }
        }
        ground.db.close().await;
        Ok(DONE)
    }
}

impl Issue {
    fn into_new_key(self, now: Timestamp) -> NewKey {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        let role = match self.role {
            RoleName::Admin => Role::Admin,
            RoleName::Member => Role::Member,
            RoleName::Site => Role::Site,
            RoleName::Identity => Role::Identity,
        };
        let expires = self.days.map(|days| Timestamp(now.0 + i64::from(days) * DAY_MS));
        NewKey { role, origins: self.origins, label: self.label, expires }
    }
}

fn tell(json: bool, object: serde_json::Value, people: impl FnOnce()) {
    if json { print::json(&object) } else { people() }
}

fn is_over(key: &ApiKey, now: Timestamp) -> bool {
    key.revoked.is_some() || key.expires.is_some_and(|at| at <= now)
}

fn row(key: &ApiKey, now: Timestamp) -> String {
    let state = match (key.revoked, key.expires) {
        (Some(at), _) => format!("revoked {}", at.rfc3339()),
        (None, Some(at)) if at <= now => format!("expired {}", at.rfc3339()),
        (None, Some(at)) => format!("until {}", at.rfc3339()),
        (None, None) => "active".to_owned(),
    };
    format!("{:14}  {:8}  {state:28}  {}  {}", key.id.as_str(), key.role.as_str(), key.label, key.origins.join(" ")).trim_end().to_owned()
}
