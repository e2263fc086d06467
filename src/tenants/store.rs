//! (being built)
/// A stored key, without its secret.
pub struct ApiKey {}
/// A tenant.
pub struct Tenant {}
/// The room's door.
pub struct Tenants {}
