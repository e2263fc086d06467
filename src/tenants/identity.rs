//! Verified visitors (pure): the short-lived token in which a shop's own backend says who is in front of
//! the page, and what follows from it. A token is a JWT signed with HS256 and one of the tenant's identity
//! secrets, so any JWT library makes one; another algorithm is never accepted.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use super::key::fingerprint;
use crate::error::{Error, Result};
use crate::ids::{OwnerId, TenantId, Timestamp};

/// The longest life of a token: whoever lifts one has it for no longer.
const LONGEST_S: f64 = 60.0 * 60.0;
/// How far the clocks of two servers may be apart.
const CLOCKS_APART_S: f64 = 30.0;
/// Longest name of a user.
const USER_CHARS: usize = 200;
/// Longest token that is looked at.
const TOKEN_BYTES: usize = 4096;

#[derive(Deserialize)]
struct Header {
    alg: String,
}

/// What a token says; further claims are the backend's own affair.
#[derive(Deserialize)]
struct Claims {
    /// The user, by the backend's own name for it.
    sub: String,
    /// Until when it counts, in seconds since 1970.
    exp: f64,
    /// From when on.
    nbf: Option<f64>,
}

/// The user that a token names, when one of the tenant's secrets signed it and it is still good.
///
/// # Errors
/// `invalid_identity` for whatever is wrong with it, forged and another tenant's alike; `identity_expired`
/// when only its time is over.
pub(super) fn user(token: &str, secrets: &[String], now: Timestamp) -> Result<String> {
    let (signed, signature) = token.rsplit_once('.').filter(|_| token.len() <= TOKEN_BYTES).ok_or_else(no_token)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| no_token())?;
    if !secrets.iter().any(|secret| is_signed(signed, &signature, secret)) {
        return Err(invalid("It is not signed with an active identity secret of this shop"));
    }
    let (header, claims) = signed.split_once('.').ok_or_else(no_token)?;
    if part::<Header>(header)?.alg != "HS256" {
        return Err(invalid("Its algorithm is not HS256"));
    }
    let claims: Claims = part(claims)?;
    #[expect(clippy::cast_precision_loss, reason = "the seconds of today are far below 2^52")]
    let now = now.0 as f64 / 1000.0;
    if claims.exp + CLOCKS_APART_S <= now {
        return Err(Error::unauthenticated("identity_expired", "The identity token is too old. Fetch a new one from your backend."));
    }
    if claims.exp - CLOCKS_APART_S - LONGEST_S > now {
        return Err(invalid("Its `exp` is more than an hour away"));
    }
    if claims.nbf.is_some_and(|from| from - CLOCKS_APART_S > now) {
        return Err(invalid("Its `nbf` has not come yet"));
    }
    if claims.sub.trim().is_empty() || claims.sub.chars().count() > USER_CHARS {
        return Err(invalid("Its `sub` must name the user, in 200 characters at most"));
    }
    Ok(claims.sub)
}

/// Who owns what a user opens, on whatever device.
pub(super) fn user_owner(tenant: &TenantId, user: &str) -> OwnerId {
    let digest = fingerprint(&format!("user\0{tenant}\0{user}"));
    OwnerId::from_text(format!("u_{}", &digest[..32]))
}

/// Compares in constant time.
fn is_signed(signed: &str, signature: &[u8], secret: &str) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
    mac.update(signed.as_bytes());
    mac.verify_slice(signature).is_ok()
}

fn part<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| no_token())?;
    serde_json::from_slice(&json).map_err(|error| invalid(&format!("It cannot be read ({error})")))
}

fn no_token() -> Error {
    invalid("It is not a signed JWT")
}

fn invalid(why: &str) -> Error {
    let message = format!("The identity token is not good: {why}. Sign it in your backend with the secret of `key issue --role identity`.");
    Error::unauthenticated("invalid_identity", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const SECRET: &str = "mc_identity_a";
    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn signed(header: &Value, claims: &Value, secret: &str) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(header), part(claims));
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    fn token(claims: &Value) -> String {
        signed(&json!({"alg": "HS256", "typ": "JWT"}), claims, SECRET)
    }

    fn read(token: &str) -> Result<String> {
        user(token, &["mc_identity_old".to_owned(), SECRET.to_owned()], NOW)
    }

    fn code(token: &str) -> &'static str {
        read(token).unwrap_err().code()
    }

    #[test]
    fn a_good_token_names_its_user() {
        assert_eq!(read(&token(&json!({"sub": "商家-7", "exp": 1_800_000_600, "name": "x"}))).unwrap(), "商家-7");
        assert_eq!(read(&token(&json!({"sub": "a", "exp": 1_800_000_600.5, "nbf": 1_800_000_010}))).unwrap(), "a");
        // The example of RFC 7519's best known debugger, so that the format is not only our own.
        let (text, tag) = (
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ",
            "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
        );
        assert!(is_signed(text, &URL_SAFE_NO_PAD.decode(tag).unwrap(), "your-256-bit-secret"));
    }

    #[test]
    fn a_token_ends_and_may_not_live_for_long() {
        let until = |exp: i64| token(&json!({"sub": "a", "exp": exp}));
        let now = NOW.0 / 1000;
        assert_eq!(code(&until(now - 31)), "identity_expired");
        assert!(read(&until(now - 29)).is_ok() && read(&until(now + 3600)).is_ok());
        assert_eq!(code(&until(now + 3700)), "invalid_identity");
        assert_eq!(code(&token(&json!({"sub": "a", "exp": now + 60, "nbf": now + 31}))), "invalid_identity");
    }

    #[test]
    fn what_the_secret_did_not_sign_is_refused() {
        let claims = json!({"sub": "a", "exp": 1_800_000_600});
        let good = token(&claims);
        let mut forged: Vec<&str> = good.split('.').collect();
        let other = URL_SAFE_NO_PAD.encode(json!({"sub": "b", "exp": 1_800_000_600}).to_string());
        forged[1] = &other;
        let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let foreign = signed(&json!({"alg": "HS256"}), &claims, "mc_identity_other");
        let wrong_algorithm = signed(&json!({"alg": "HS512"}), &claims, SECRET);
        for bad in [forged.join("."), none, foreign, wrong_algorithm, String::new(), "a.b".into(), "..".into(), "x".repeat(5000)] {
            assert_eq!(code(&bad), "invalid_identity", "{bad}");
        }
        assert_eq!(user(&good, &[], NOW).unwrap_err().code(), "invalid_identity");
    }

    #[test]
    fn claims_have_to_be_there() {
        for claims in [
            json!({}),
            json!({"sub": "a"}),
            json!({"exp": 1_800_000_600}),
            json!({"sub": 7, "exp": 1_800_000_600}),
            json!({"sub": " ", "exp": 1_800_000_600}),
            json!({"sub": "x".repeat(201), "exp": 1_800_000_600}),
        ] {
            assert_eq!(code(&token(&claims)), "invalid_identity", "{claims}");
        }
    }

    #[test]
    fn a_user_is_one_owner_per_tenant_and_no_visitor() {
        let (demo, other) = (TenantId::from_text("demo"), TenantId::from_text("other"));
        assert_eq!(user_owner(&demo, "7"), user_owner(&demo, "7"));
        assert_ne!(user_owner(&demo, "7"), user_owner(&other, "7"));
        assert!(user_owner(&demo, "7").as_str().starts_with("u_"));
    }

    proptest! {
        #[test]
        fn nothing_but_a_signed_token_is_taken_and_nothing_panics(text in ".{0,200}", at in 0usize..400, with in any::<u8>()) {
            prop_assert!(read(&text).is_err());
            let mut bytes = token(&json!({"sub": "a", "exp": 1_800_000_600})).into_bytes();
            let at = at % bytes.len();
            if bytes[at] != with && let Ok(changed) = { bytes[at] = with; String::from_utf8(bytes) } {
                // The last character's low bits carry nothing, so a change there is refused as no base64.
                prop_assert!(read(&changed).is_err(), "{}", changed);
            }
        }
    }
}
