//! WeCom's way of saying that a callback is genuine: the message encrypted with a key that both know, and
//! signed together with a token. Answers go back the same way.

use aes::Aes256;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use crate::config::Secret;

/// The block of AES, which is also the length of what is random before a message.
const BLOCK: usize = 16;
/// Padding fills up to this, twice the block.
const PADDED_TO: usize = 32;
/// What is random, and the message's length.
const HEAD: usize = BLOCK + 4;

/// What both sides know.
pub struct Keys {
    token: Secret,
    key: [u8; 32],
}

impl Keys {
    /// From the two texts of the bot's page; none when the second is not 43 characters of base64.
    pub fn new(token: &Secret, aes_key: &Secret) -> Option<Self> {
        // 43 characters have two bits more than the key; the platform leaves them as they come.
        let lenient = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
        let bytes = GeneralPurpose::new(&alphabet::STANDARD, lenient).decode(format!("{}=", aes_key.reveal())).ok()?;
        Some(Self { token: token.clone(), key: bytes.try_into().ok()? })
    }

    /// What `msg_signature` has to be.
    pub fn signature(&self, timestamp: &str, nonce: &str, sealed: &str) -> String {
        let mut parts = [self.token.reveal(), timestamp, nonce, sealed];
        parts.sort_unstable();
        Sha1::digest(parts.concat()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether the platform signed it; compares in a time that tells nothing.
    pub fn is_signed(&self, shown: &str, timestamp: &str, nonce: &str, sealed: &str) -> bool {
        shown.as_bytes().ct_eq(self.signature(timestamp, nonce, sealed).as_bytes()).into()
    }

    /// The message inside; none when it was not encrypted with this key.
    pub fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        let mut raw = STANDARD.decode(sealed).ok()?;
        let cipher = cbc::Decryptor::<Aes256>::new_from_slices(&self.key, &self.key[..BLOCK]).ok()?;
        let plain = cipher.decrypt_padded::<NoPadding>(&mut raw).ok()?;
        let padding = usize::from(*plain.last()?);
        let body = plain.get(..plain.len().checked_sub(padding)?).filter(|_| (1..=PADDED_TO).contains(&padding))?;
        let (head, rest) = body.split_at_checked(HEAD)?;
        let length = u32::from_be_bytes(head[BLOCK..].try_into().ok()?);
        // Behind the message stands whose it is; a company's own bot has nobody there.
        rest.get(..usize::try_from(length).ok()?).map(<[u8]>::to_vec)
    }

    /// A message encrypted for the platform.
    pub fn seal(&self, message: &[u8], random: [u8; BLOCK]) -> Option<String> {
        let length = u32::try_from(message.len()).ok()?.to_be_bytes();
        let mut body = [&random[..], &length, message].concat();
        let padding = PADDED_TO - body.len() % PADDED_TO;
        body.resize(body.len() + padding, u8::try_from(padding).ok()?);
        let cipher = cbc::Encryptor::<Aes256>::new_from_slices(&self.key, &self.key[..BLOCK]).ok()?;
        let filled = body.len();
        Some(STANDARD.encode(cipher.encrypt_padded::<NoPadding>(&mut body, filled).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEALED: &str = "Q3stYC6hdFzMh9T8HCvyDD712uX8onmHUva9KNYQqhHhJQeojMWP+B2d9+v8WlysuzAHHrvUZ9vvpslnY8rN/A==";
    const SIGNATURE: &str = "543554f73abb00645d123237f0666069c4f35baa";

    fn keys(aes_key: &str) -> Option<Keys> {
        Keys::new(&Secret::new("tok"), &Secret::new(aes_key))
    }

    fn ours() -> Keys {
        keys("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG").unwrap()
    }

    #[test]
    fn the_platforms_own_vector_is_sealed_signed_and_opened_alike() {
        assert_eq!(ours().seal(br#"{"msgtype":"text"}"#, *b"0123456789abcdef").unwrap(), SEALED);
        assert_eq!(ours().signature("1700000000", "n1", SEALED), SIGNATURE);
        assert!(ours().is_signed(SIGNATURE, "1700000000", "n1", SEALED));
        assert_eq!(ours().open(SEALED).unwrap(), br#"{"msgtype":"text"}"#);
    }

    #[test]
    fn what_is_not_the_platforms_is_nothing() {
        for (shown, timestamp, nonce) in [("", "1700000000", "n1"), (SIGNATURE, "1700000001", "n1"), (SIGNATURE, "1700000000", "n2")] {
            assert!(!ours().is_signed(shown, timestamp, nonce, SEALED));
        }
        let other = keys("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefg").unwrap();
        assert_eq!(other.open(SEALED), None);
        for text in ["", "no base64!", &STANDARD.encode([0_u8; 15]), &STANDARD.encode([0_u8; 48]), &SEALED[..44]] {
            assert_eq!(ours().open(text), None, "{text}");
        }
        for bad in ["", "short", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH", "abcdefghijklmnopqrstuvwxyz0123456789ABCDE!G"] {
            assert!(keys(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_message_comes_back(message in proptest::collection::vec(any::<u8>(), 0..200), random in any::<[u8; BLOCK]>()) {
            let sealed = ours().seal(&message, random).unwrap();
            prop_assert_eq!(STANDARD.decode(&sealed).unwrap().len() % PADDED_TO, 0);
            prop_assert_eq!(ours().open(&sealed).unwrap(), message);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[A-Za-z0-9+/]{0,200}") {
            let padded = format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4));
            let _ = ours().open(&padded);
        }
    }
}
