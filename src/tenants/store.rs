//! Tenants, keys and sign-ins in SQL. Secrets arrive here in the clear and are stored as hashes.

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

use super::identity;
use super::key::{Admission, ApiKey, Credentials, IDENTITY_PREFIX, NewKey, fingerprint, hex, new_secret, new_sign_in_secret};
use super::origin::{OriginPattern, is_listed};
use super::{CONSOLE, Caller, Role};
use crate::config::Secret;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::ids::{Clock, KeyId, OwnerId, TenantId, Timestamp, random_token};
use crate::on;

/// How long a printed sign-in link works.
pub const LINK_MS: i64 = 15 * 60 * 1000;
/// How long a console session lasts.
pub const SESSION_MS: i64 = 12 * 60 * 60 * 1000;
/// The site key of the demo page is always the same one.
const DEMO_KEY_ID: &str = "k_demo_page";

/// A shop or business line.
#[derive(Clone, Debug, PartialEq, Serialize, sqlx::FromRow)]
pub struct Tenant {
    /// Its name in commands.
    pub id: TenantId,
    /// What people call it.
    pub name: String,
    /// When it was added.
    #[serde(rename = "created_ms")]
    #[sqlx(rename = "created_ms")]
    pub created: Timestamp,
}

/// The room's door.
#[derive(Clone, Debug)]
pub struct Tenants {
    pub(super) db: Db,
    pub(super) clock: Clock,
}

impl Tenants {
    /// The room over an open database.
    pub fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }

    // ── tenants ──

    /// Adds a tenant.
    ///
    /// # Errors
    /// `tenant_exists`.
    pub async fn add(&self, id: &TenantId, name: &str) -> Result<Tenant> {
        let added = on!(&self.db, pool => {
            sqlx::query_as("insert into tenants (id, name, created_ms) values ($1, $2, $3) on conflict (id) do nothing returning id, name, created_ms")
                .bind(id).bind(name).bind(self.clock.now())
                .fetch_optional(pool).await
        })?;
        added.ok_or_else(|| Error::conflict("tenant_exists", format!("There is a tenant `{id}` already.")))
    }

    /// All tenants by name.
    pub async fn list(&self) -> Result<Vec<Tenant>> {
        Ok(on!(&self.db, pool => sqlx::query_as("select id, name, created_ms from tenants order by id").fetch_all(pool).await)?)
    }

    /// One tenant.
    ///
    /// # Errors
    /// `tenant_not_found`, which says how to add it.
    pub async fn get(&self, id: &TenantId) -> Result<Tenant> {
        let found = on!(&self.db, pool => {
            sqlx::query_as("select id, name, created_ms from tenants where id = $1").bind(id).fetch_optional(pool).await
        })?;
        found.ok_or_else(|| {
            Error::not_found("tenant_not_found", format!("There is no tenant `{id}`. Add it with `merchant-copilot tenant add {id}`."))
        })
    }

    // ── keys ──

    /// Issues a key. The secret is returned here and never again.
    ///
    /// # Errors
    /// `tenant_not_found`, `origin_required`, `origins_only_for_site`, `bad_origin`.
    pub async fn issue(&self, tenant: &TenantId, new: NewKey) -> Result<(ApiKey, Secret)> {
        self.get(tenant).await?;
        let origins = checked_origins(new.role, &new.origins)?;
        let id = KeyId::random();
        let secret = match new.role {
            Role::Identity => self.identity_secret(tenant, &id).await?,
            role => new_secret(role),
        };
        let key = ApiKey {
            id,
            tenant: tenant.clone(),
            role: new.role,
            label: new.label,
            origins,
            created: self.clock.now(),
            expires: new.expires,
            revoked: None,
        };
        self.insert_key(&key, &secret).await?;
        Ok((key, Secret::new(secret)))
    }

    /// A tenant's keys, oldest first.
    pub async fn keys(&self, tenant: &TenantId) -> Result<Vec<ApiKey>> {
        let rows: Vec<KeyRow> = on!(&self.db, pool => {
            sqlx::query_as("select * from api_keys where tenant_id = $1 order by created_ms, id").bind(tenant).fetch_all(pool).await
        })?;
        rows.into_iter().map(KeyRow::into_key).collect()
    }

    /// Ends a key at once, on every server of this database. Ending it again changes nothing.
    ///
    /// # Errors
    /// `key_not_found`, also for another tenant's.
    pub async fn revoke(&self, tenant: &TenantId, id: &KeyId) -> Result<ApiKey> {
        let row: Option<KeyRow> = on!(&self.db, pool => {
            sqlx::query_as("update api_keys set revoked_ms = coalesce(revoked_ms, $3) where tenant_id = $1 and id = $2 returning *")
                .bind(tenant).bind(id).bind(self.clock.now())
                .fetch_optional(pool).await
        })?;
        let unknown =
            || Error::not_found("key_not_found", format!("Tenant `{tenant}` has no key `{id}`. `merchant-copilot key list` shows them."));
        row.ok_or_else(unknown)?.into_key()
    }

    /// Lets the holder of a key in. One indexed look-up, so nothing is remembered and a revoked key
    /// ends at once.
    ///
    /// # Errors
    /// `invalid_key` for an unknown, revoked or expired one alike; `origin_not_allowed`;
    /// `invalid_identity` and `identity_expired` for what the shop's backend did not sign.
    pub async fn verify(&self, shown: Credentials<'_>) -> Result<Admission> {
        let row: Option<KeyRow> = on!(&self.db, pool => {
            sqlx::query_as("select * from api_keys where hash = $1").bind(fingerprint(shown.key)).fetch_optional(pool).await
        })?;
        let key = row.map(KeyRow::into_key).transpose()?.filter(|key| key.is_active_at(self.clock.now()));
        let admission = key.ok_or_else(invalid_key)?.admit(shown.origin, shown.visitor)?;
        match shown.identity {
            Some(token) => self.identified(admission, token).await,
            None => Ok(admission),
        }
    }

    /// From now on the visitor is the user that the token names, and no anonymous one.
    async fn identified(&self, admission: Admission, token: &str) -> Result<Admission> {
        let mut caller = admission.caller;
        if caller.role != Role::Site {
            return Err(Error::invalid(
                "identity_only_for_site",
                "An identity token goes with a site key; other keys are somebody already.",
            ));
        }
        let user = identity::user(token, &self.identity_secrets(&caller.tenant).await?, self.clock.now())?;
        caller.owner = identity::user_owner(&caller.tenant, &user);
        Ok(Admission { caller, visitor_token: None })
    }

    /// The secrets that a tenant's backend may sign with today.
    async fn identity_secrets(&self, tenant: &TenantId) -> Result<Vec<String>> {
        let ids: Vec<KeyId> = on!(&self.db, pool => {
            sqlx::query_scalar("select id from api_keys where tenant_id = $1 and role = 'identity' and revoked_ms is null and (expires_ms is null or expires_ms > $2)")
                .bind(tenant).bind(self.clock.now())
                .fetch_all(pool).await
        })?;
        let mut secrets = Vec::with_capacity(ids.len());
        for id in &ids {
            secrets.push(self.identity_secret(tenant, id).await?);
        }
        Ok(secrets)
    }

    /// Checking a signature needs the secret itself, so it follows from the server's instead of being stored.
    async fn identity_secret(&self, tenant: &TenantId, id: &KeyId) -> Result<String> {
        Ok(format!("{IDENTITY_PREFIX}{}", self.derived(&format!("identity\0{tenant}\0{id}")).await?))
    }

    /// Whether any active site key of any tenant may be used from `origin`: what can be said before
    /// a key was shown.
    pub async fn is_known_origin(&self, origin: &str) -> Result<bool> {
        let lists: Vec<String> = on!(&self.db, pool => {
            sqlx::query_scalar("select distinct origins from api_keys where role = 'site' and revoked_ms is null and (expires_ms is null or expires_ms > $1)")
                .bind(self.clock.now())
                .fetch_all(pool).await
        })?;
        Ok(lists.iter().any(|list| serde_json::from_str::<Vec<String>>(list).is_ok_and(|origins| is_listed(&origins, origin))))
    }

    /// The demo page's own site key. It follows from the server's secret, so that the page can be
    /// written again after a restart although only the key's hash is stored.
    pub async fn ensure_demo_site_key(&self, tenant: &TenantId, origins: &[String]) -> Result<Secret> {
        self.get(tenant).await?;
        let secret = self.demo_secret().await?;
        let key = ApiKey {
            id: KeyId::from_text(DEMO_KEY_ID),
            tenant: tenant.clone(),
            role: Role::Site,
            label: "demo page".to_owned(),
            origins: checked_origins(Role::Site, origins)?,
            created: self.clock.now(),
            expires: None,
            revoked: None,
        };
        self.insert_key(&key, &secret).await?;
        Ok(Secret::new(secret))
    }

    /// Only the demo page's key can be there already: then its origins follow the address of today.
    async fn insert_key(&self, key: &ApiKey, secret: &str) -> Result<()> {
        let origins = serde_json::to_string(&key.origins)?;
        on!(&self.db, pool => {
            sqlx::query(
                "insert into api_keys (id, tenant_id, role, label, hash, origins, created_ms, expires_ms) values ($1, $2, $3, $4, $5, $6, $7, $8)
                 on conflict (id) do update set origins = excluded.origins",
            )
            .bind(&key.id).bind(&key.tenant).bind(key.role.as_str()).bind(&key.label)
            .bind(fingerprint(secret)).bind(&origins).bind(key.created).bind(key.expires)
            .execute(pool).await.map(drop)
        })?;
        Ok(())
    }

    async fn demo_secret(&self) -> Result<String> {
        Ok(format!("site_{}", &self.derived("demo-site-key").await?[..32]))
    }

    /// What only this server's database can say for `purpose`, 64 hexadecimal digits.
    async fn derived(&self, purpose: &str) -> Result<String> {
        let server = self.server_secret().await?;
        let mut mac = Hmac::<Sha256>::new_from_slice(server.as_bytes())
            .map_err(|error| Error::internal("hmac_failed", "A secret could not be derived from the server's.").because(error))?;
        mac.update(purpose.as_bytes());
        Ok(hex(&mac.finalize().into_bytes()))
    }

    async fn server_secret(&self) -> Result<String> {
        self.note_once("server_secret", &random_token("", 43)).await?;
        self.note("server_secret")
            .await?
            .ok_or_else(|| Error::internal("no_server_secret", "The server's secret is missing from the database."))
    }

    // ── signing in to the console ──

    /// A one-time link's secret for a tenant's console.
    pub async fn issue_link(&self, tenant: &TenantId) -> Result<Secret> {
        self.insert_sign_in(tenant, "link", LINK_MS).await
    }

    /// Uses a link up. Of two at the same time one succeeds.
    ///
    /// # Errors
    /// `invalid_link` when it is unknown, used or too old.
    pub async fn redeem_link(&self, secret: &str) -> Result<TenantId> {
        let tenant: Option<TenantId> = on!(&self.db, pool => {
            sqlx::query_scalar(
                "update sign_ins set used_ms = $2 where hash = $1 and kind = 'link' and used_ms is null and expires_ms > $2 returning tenant_id",
            )
            .bind(fingerprint(secret)).bind(self.clock.now())
            .fetch_optional(pool).await
        })?;
        tenant.ok_or_else(|| {
            Error::unauthenticated(
                "invalid_link",
                "This sign-in link is used up or too old. Start the server again for a new one, or sign in with an admin key (`merchant-copilot key issue --role admin`).",
            )
        })
    }

    /// Opens a console session and returns its secret.
    pub async fn open_session(&self, tenant: &TenantId) -> Result<Secret> {
        self.insert_sign_in(tenant, "session", SESSION_MS).await
    }

    /// Who is signed in with a session's secret.
    ///
    /// # Errors
    /// `invalid_session` when it is unknown, ended or too old.
    pub async fn session(&self, secret: &str) -> Result<Caller> {
        let hash = fingerprint(secret);
        let tenant: Option<TenantId> = on!(&self.db, pool => {
            sqlx::query_scalar("select tenant_id from sign_ins where hash = $1 and kind = 'session' and used_ms is null and expires_ms > $2")
                .bind(&hash).bind(self.clock.now())
                .fetch_optional(pool).await
        })?;
        let tenant = tenant.ok_or_else(|| Error::unauthenticated("invalid_session", "You are signed out. Sign in again."))?;
        let key = KeyId::from_text(format!("session_{}", &hash[..12]));
        Ok(Caller { tenant, role: Role::Admin, key, owner: OwnerId::from_text(CONSOLE) })
    }

    /// Until when a session lasts; none when there is no such session.
    pub async fn session_expires(&self, secret: &str) -> Result<Option<Timestamp>> {
        Ok(on!(&self.db, pool => {
            sqlx::query_scalar("select expires_ms from sign_ins where hash = $1 and kind = 'session' and used_ms is null")
                .bind(fingerprint(secret))
                .fetch_optional(pool).await
        })?)
    }

    /// Ends a session.
    pub async fn end_session(&self, secret: &str) -> Result<()> {
        on!(&self.db, pool => {
            sqlx::query("update sign_ins set used_ms = $2 where hash = $1 and kind = 'session' and used_ms is null")
                .bind(fingerprint(secret)).bind(self.clock.now())
                .execute(pool).await.map(drop)
        })?;
        Ok(())
    }

    async fn insert_sign_in(&self, tenant: &TenantId, kind: &str, lasts_ms: i64) -> Result<Secret> {
        self.get(tenant).await?;
        let now = self.clock.now();
        let secret = new_sign_in_secret();
        on!(&self.db, pool => {
            sqlx::query("delete from sign_ins where expires_ms <= $1").bind(now).execute(pool).await?;
            sqlx::query("insert into sign_ins (hash, tenant_id, kind, expires_ms) values ($1, $2, $3, $4)")
                .bind(fingerprint(&secret)).bind(tenant).bind(kind).bind(now.0 + lasts_ms)
                .execute(pool).await.map(drop)
        })?;
        Ok(Secret::new(secret))
    }

    // ── the server's own notes ──

    /// What was noted under `key`.
    pub async fn note(&self, key: &str) -> Result<Option<String>> {
        Ok(on!(&self.db, pool => sqlx::query_scalar("select value from meta where key = $1").bind(key).fetch_optional(pool).await)?)
    }

    /// Notes `value` under `key` unless something is there already.
    pub async fn note_once(&self, key: &str, value: &str) -> Result<()> {
        on!(&self.db, pool => {
            sqlx::query("insert into meta (key, value) values ($1, $2) on conflict (key) do nothing").bind(key).bind(value).execute(pool).await.map(drop)
        })?;
        Ok(())
    }

    /// Notes `value` under `key` instead of what was there.
    pub async fn note_over(&self, key: &str, value: &str) -> Result<()> {
        on!(&self.db, pool => {
            sqlx::query("insert into meta (key, value) values ($1, $2) on conflict (key) do update set value = excluded.value")
                .bind(key).bind(value)
                .execute(pool).await.map(drop)
        })?;
        Ok(())
    }
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: KeyId,
    tenant_id: TenantId,
    role: String,
    label: String,
    origins: String,
    created_ms: Timestamp,
    expires_ms: Option<Timestamp>,
    revoked_ms: Option<Timestamp>,
}

impl KeyRow {
    fn into_key(self) -> Result<ApiKey> {
        Ok(ApiKey {
            role: self.role.parse()?,
            origins: serde_json::from_str(&self.origins)?,
            id: self.id,
            tenant: self.tenant_id,
            label: self.label,
            created: self.created_ms,
            expires: self.expires_ms,
            revoked: self.revoked_ms,
        })
    }
}

fn checked_origins(role: Role, origins: &[String]) -> Result<Vec<String>> {
    match (role, origins.is_empty()) {
        (Role::Site, true) => Err(Error::invalid(
            "origin_required",
            "A site key is public: name the pages it may be used from, e.g. --origin https://shop.example.com.",
        )),
        (Role::Admin | Role::Member | Role::Identity, false) => {
            Err(Error::invalid("origins_only_for_site", "Origins belong to site keys; the others stay on servers."))
        }
        _ => origins.iter().map(|origin| OriginPattern::parse(origin).map(|pattern| pattern.to_string())).collect(),
    }
}

fn invalid_key() -> Error {
    Error::unauthenticated("invalid_key", "This key is unknown, expired or revoked. Issue one with `merchant-copilot key issue`.")
}
