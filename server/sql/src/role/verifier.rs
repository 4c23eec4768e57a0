//! What is kept of a password: enough to check that a client knows it, not enough to log in with.

#![allow(missing_docs, reason = "rkyv derives resolvers whose fields carry no documentation")]

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Result, SqlError};

/// What a verifier's text begins with.
const PREFIX: &str = "SCRAM-SHA-256$";
/// Rounds below this are too few for a verifier that is given as a text. RFC 7677 asks for so many.
pub const ITERATIONS_MIN: u32 = 4096;
/// Rounds above this would keep each client busy for seconds whenever it connects.
pub const ITERATIONS_MAX: u32 = 10_000_000;
/// Longest salt, in bytes; usual are 16.
const SALT_BYTES_MAX: usize = 64;

/// A password after SCRAM-SHA-256 (RFC 5802, RFC 7677).
#[derive(Clone, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Verifier {
    /// Rounds of hashing that a client has to do.
    pub iterations: u32,
    /// What was hashed with the password.
    pub salt: Vec<u8>,
    /// The hash of what a client shows that it has.
    pub stored_key: [u8; 32],
    /// What the server shows that it has.
    pub server_key: [u8; 32],
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Passwords can be guessed at with it, so it is not for logs.
        write!(f, "Verifier({} iterations)", self.iterations)
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|bytes| STANDARD.encode(bytes));
        write!(f, "{PREFIX}{}:{salt}${stored}:{server}", self.iterations)
    }
}

impl Verifier {
    /// The verifier whose text this is; none for any other text, which is a password.
    ///
    /// # Errors
    ///
    /// A text that begins as a verifier and does not go on as one, or one of another kind that PostgreSQL knows: neither is
    /// meant as a password.
    pub fn parse(text: &str) -> Result<Option<Verifier>> {
        let is_md5 = |rest: &str| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.strip_prefix("md5").is_some_and(is_md5) {
            return Err(SqlError::unsupported("a password that is hashed with MD5")
                .hint("Give the password itself, or its SCRAM-SHA-256 verifier."));
        }
        let Some(rest) = text.strip_prefix(PREFIX) else { return Ok(None) };
        match Verifier::parse_fields(rest) {
            Some(verifier) => Ok(Some(verifier)),
            None => Err(SqlError::new("22023", "invalid SCRAM-SHA-256 verifier").hint(format!(
                "It is {PREFIX}iterations:salt$StoredKey:ServerKey, with {ITERATIONS_MIN} iterations at least."
            ))),
        }
    }

    fn parse_fields(text: &str) -> Option<Verifier> {
        let (head, keys) = text.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        let iterations = iterations.parse().ok()?;
        let salt = STANDARD.decode(salt).ok()?;
        let key = |text: &str| <[u8; 32]>::try_from(STANDARD.decode(text).ok()?).ok();
        let fits = (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations)
            && (1..=SALT_BYTES_MAX).contains(&salt.len());
        let verifier = Verifier { iterations, salt, stored_key: key(stored)?, server_key: key(server)? };
        fits.then_some(verifier)
    }
}

#[cfg(test)]
mod tests {
    use super::Verifier;

    #[test]
    fn texts_are_verifiers_passwords_or_mistakes() {
        let key = "A".repeat(43) + "=";
        let text = format!("SCRAM-SHA-256$4096:c2FsdA==${key}:{key}");
        let verifier = Verifier::parse(&text).expect("well formed").expect("a verifier");
        assert_eq!((verifier.iterations, verifier.salt.as_slice()), (4096, b"salt".as_slice()));
        assert_eq!(verifier.to_string(), text);
        assert_eq!(format!("{verifier:?}"), "Verifier(4096 iterations)");
        for password in ["", "secret", "SCRAM", "md5", "md5 is no hash, this is a sentence..."] {
            assert_eq!(Verifier::parse(password), Ok(None), "{password}");
        }
        for broken in [
            "SCRAM-SHA-256$".to_owned(),
            text.replace("4096", "1"),
            text.replace("4096", "4294967295"),
            text.replace("c2FsdA==", ""),
            text.replace("c2FsdA==", "!"),
            text.replace(&key, "AAAA"),
        ] {
            assert_eq!(Verifier::parse(&broken).expect_err("broken").sqlstate, "22023", "{broken}");
        }
        let md5 = format!("md5{}", "0".repeat(32));
        assert_eq!(Verifier::parse(&md5).expect_err("another kind").sqlstate, "0A000");
    }
}
