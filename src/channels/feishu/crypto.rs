//! Feishu's way of saying that a callback is genuine: the body encrypted with a key that both know, its bytes
//! signed with it, and a token inside.

use aes::Aes256;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::Secret;

/// The block of AES.
const BLOCK: usize = 16;

/// What `encrypt` of a callback holds; none when it was not encrypted with this key.
pub fn decrypt(key: &Secret, text: &str) -> Option<Vec<u8>> {
    let mut raw = STANDARD.decode(text).ok()?;
    let (iv, body) = raw.split_at_mut_checked(BLOCK)?;
    let cipher = cbc::Decryptor::<Aes256>::new_from_slices(&Sha256::digest(key.reveal()), iv).ok()?;
    Some(cipher.decrypt_padded::<Pkcs7>(body).ok()?.to_vec())
}

/// What `X-Lark-Signature` has to be.
pub fn signature(timestamp: &str, nonce: &str, key: &Secret, body: &[u8]) -> String {
    let hash = Sha256::new().chain_update(timestamp).chain_update(nonce).chain_update(key.reveal()).chain_update(body);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares in a time that tells nothing.
pub fn same(shown: &str, expected: &str) -> bool {
    shown.as_bytes().ct_eq(expected.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENCRYPTED: &str = "AAECAwQFBgcICQoLDA0OD4AeTWwjU2ENx3Z59eD7hERk0t0QNtYDOQ4bZnoxfMas+GQOZTh9c1m9KnSMzTlm7yz/yWxQGQjFAI7GU/zHrV8=";

    fn key() -> Secret {
        Secret::new("test-encrypt-key")
    }

    #[test]
    fn what_the_platforms_own_library_encrypts_is_read() {
        let plain = decrypt(&key(), ENCRYPTED).unwrap();
        assert_eq!(plain, br#"{"challenge":"abc","token":"tok","type":"url_verification"}"#);
    }

    #[test]
    fn what_it_signs_is_signed_alike() {
        let body = format!("{{\"encrypt\":\"{ENCRYPTED}\"}}");
        let expected = "21e1434f2178516e4beab6db6ae1fe08c82bd5c79ba663943f281324625d4ba5";
        assert_eq!(signature("1700000000", "n1", &key(), body.as_bytes()), expected);
        assert!(same(expected, expected) && !same(expected, &expected[1..]) && !same("", expected));
    }

    #[test]
    fn what_is_not_encrypted_with_the_key_is_nothing() {
        let short = STANDARD.encode([0_u8; 15]);
        let odd = STANDARD.encode([0_u8; 31]);
        for text in ["", "no base64!", &short, &odd, &STANDARD.encode([0_u8; 16])] {
            assert_eq!(decrypt(&key(), text), None, "{text}");
        }
        assert_eq!(decrypt(&Secret::new("another"), ENCRYPTED), None);
    }
}
