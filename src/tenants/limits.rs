//! (being built)
/// How often each key and address may ask.
pub struct RateLimits {}
