//! DingTalk's signatures: HMAC-SHA256 over the time (and for messages the secret), not over the body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::Secret;
use crate::error::{Error, Result};
use crate::ids::Timestamp;

/// A callback's time may differ from ours by less than this.
const WINDOW_MS: i64 = 60 * 60 * 1000;

/// What a callback or a custom robot's address carries as `sign`.
pub fn sign(timestamp: &str, secret: &Secret) -> String {
    STANDARD.encode(mac(&with_secret(timestamp, secret), secret).finalize().into_bytes())
}

/// What the callback of a card's button carries as `x-ddpaas-signature`.
pub fn sign_card(timestamp: &str, secret: &Secret) -> String {
    STANDARD.encode(mac(timestamp, secret).finalize().into_bytes())
}

/// Checks a callback's `timestamp` and `sign` headers; the signature in constant time.
///
/// # Errors
/// `bad_signature`, `stale_callback`.
pub fn verify(timestamp: Option<&str>, sign: Option<&str>, secret: &Secret, now: Timestamp) -> Result<()> {
    check(timestamp, sign, |timestamp| mac(&with_secret(timestamp, secret), secret), now)
}

/// The same for `x-ddpaas-signature-timestamp` and `x-ddpaas-signature` of a card's button.
///
/// # Errors
/// `bad_signature`, `stale_callback`.
pub fn verify_card(timestamp: Option<&str>, sign: Option<&str>, secret: &Secret, now: Timestamp) -> Result<()> {
    check(timestamp, sign, |timestamp| mac(timestamp, secret), now)
}

/// The error for every callback that is not the platform's.
pub fn forged() -> Error {
    Error::unauthenticated("bad_signature", "The callback's time and signature are not this bot's. Check its secret.")
}

fn check(timestamp: Option<&str>, sign: Option<&str>, mac: impl FnOnce(&str) -> Hmac<Sha256>, now: Timestamp) -> Result<()> {
    let (timestamp, sign) = timestamp.zip(sign).ok_or_else(forged)?;
    let shown = STANDARD.decode(sign.trim()).map_err(|_| forged())?;
    mac(timestamp).verify_slice(&shown).map_err(|_| forged())?;
    // Only digits: "+1" and " 1" would be other texts with the same number.
    let digits = !timestamp.is_empty() && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let at: i64 = timestamp.parse().ok().filter(|_| digits).ok_or_else(forged)?;
    if now.0.abs_diff(at) >= WINDOW_MS.unsigned_abs() {
        return Err(Error::unauthenticated(
            "stale_callback",
            "The callback's `timestamp` is an hour or more from our time. Check both clocks.",
        ));
    }
    Ok(())
}

fn with_secret(timestamp: &str, secret: &Secret) -> String {
    format!("{timestamp}\n{}", secret.reveal())
}

fn mac(text: &str, secret: &Secret) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).expect("any key");
    mac.update(text.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "1577262236757";
    const SIGN: &str = "DJrE6qdyVGCQz9z5r2MDuNcNAhwYnuAkyj13cx169CA=";

    fn secret() -> Secret {
        Secret::new("this is a secret")
    }

    #[test]
    fn the_platforms_own_example_is_signed_alike() {
        assert_eq!(sign(AT, &secret()), SIGN);
    }

    #[test]
    fn a_cards_button_is_signed_alike_and_over_the_time_alone() {
        let (secret, now) = (Secret::new("card-api-secret"), Timestamp(1_577_262_236_757));
        let signature = "TOFFwFe7czr6LD4OXehZfjsEM3pPTKzrneCxkhg0luw=";
        assert_eq!(sign_card(AT, &secret), signature);
        let check = |sign: &str, now| verify_card(Some(AT), Some(sign), &secret, now).map_err(|error| error.code());
        assert_eq!(check(signature, now), Ok(()));
        assert_eq!(check(&sign(AT, &secret), now), Err("bad_signature"), "that of a message");
        assert_eq!(check(signature, Timestamp(now.0 + 3_600_000)), Err("stale_callback"));
    }

    #[test]
    fn only_a_fresh_genuine_signature_passes() {
        let at = |ms: i64| Timestamp(1_577_262_236_757 + ms);
        let check = |time: Option<&str>, sign: Option<&str>, now| verify(time, sign, &secret(), now).map_err(|error| error.code());
        assert_eq!(check(Some(AT), Some(SIGN), at(3_599_999)), Ok(()));
        assert_eq!(check(Some(AT), Some(SIGN), at(-3_599_999)), Ok(()));
        assert_eq!(check(Some(AT), Some(SIGN), at(3_600_000)), Err("stale_callback"));
        assert_eq!(check(Some(AT), Some(SIGN), at(-3_600_000)), Err("stale_callback"));
        for (time, sign) in [
            (None, Some(SIGN)),
            (Some(AT), None),
            (Some(AT), Some("")),
            (Some(AT), Some("not base64!")),
            (Some("1577262236758"), Some(SIGN)),
            (Some(AT), Some("DJrE6qdyVGCQz9z5r2MDuNcNAhwYnuAkyj13cx169CE=")),
        ] {
            assert_eq!(check(time, sign, at(0)), Err("bad_signature"), "{time:?} {sign:?}");
        }
        for odd in ["", "+1", "-5", "99999999999999999999999"] {
            let signed = super::sign(odd, &secret());
            assert_eq!(check(Some(odd), Some(&signed), at(0)), Err("bad_signature"), "{odd}");
        }
    }
}
