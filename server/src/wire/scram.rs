//! SCRAM-SHA-256 (RFC 5802, RFC 7677): the server's side of a conversation, and verifiers of passwords. No input or output.
//!
//! ```text
//! client: <binding>,,n=<name>,r=<its nonce>                 binding: n none, y none offered, p=<kind> to the TLS connection
//! server: r=<both nonces>,s=<salt>,i=<iterations>
//! client: c=<binding and its data>,r=<both nonces>,p=<proof>
//! server: v=<signature>
//! ```
//!
//! The server never learns the password, and what it keeps ([`Verifier`]) does not suffice to log in. A name that is no role
//! gets the same conversation with a salt made of the name and a secret, and is refused at the end: so nobody can find out
//! which roles there are. The name in the first message is passed over, as in PostgreSQL: the one of the startup packet counts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use sql::SqlError;
use sql::role::Verifier;
use subtle::ConstantTimeEq;

/// Rounds of hashing in new verifiers: those of PostgreSQL and of RFC 7677. Clients do them at each connect.
const ITERATIONS: u32 = 4096;
/// Length of salts and of the server's nonces before they are made text.
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 18;

/// The mechanism without a binding to the TLS connection.
pub const PLAIN: &str = "SCRAM-SHA-256";
/// The mechanism with one.
pub const BOUND: &str = "SCRAM-SHA-256-PLUS";
/// The kind of binding that is known (RFC 5929).
const BINDING_KIND: &str = "tls-server-end-point";

type Key = [u8; 32];
type Result<T> = std::result::Result<T, SqlError>;

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("keys of any length are taken")
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = keyed(key);
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn hash(bytes: &[u8]) -> Key {
    Sha256::digest(bytes).into()
}

fn xor(left: &Key, right: &Key) -> Key {
    std::array::from_fn(|at| left[at] ^ right[at])
}

/// The password after so many rounds (PBKDF2 with one block).
fn salted(password: &[u8], salt: &[u8], iterations: u32) -> Key {
    let keyed = keyed(password);
    let mut round = hmac(password, &[salt, &1u32.to_be_bytes()]);
    let mut sum = round;
    for _ in 1..iterations {
        round = keyed.clone().chain_update(round).finalize().into_bytes().into();
        sum = xor(&sum, &round);
    }
    sum
}

/// Random bytes that nobody can guess.
///
/// # Errors
///
/// The system has none.
pub fn random<const COUNT: usize>() -> Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes)
        .map_err(|error| SqlError::new("58000", format!("the system has no random bytes: {error}")))?;
    Ok(bytes)
}

/// The verifier of a new password. Takes some milliseconds.
///
/// # Errors
///
/// The system has no random bytes.
pub fn verifier(password: &str) -> Result<Verifier> {
    Ok(verifier_with(password, random::<SALT_BYTES>()?.to_vec(), ITERATIONS))
}

fn verifier_with(password: &str, salt: Vec<u8>, iterations: u32) -> Verifier {
    // Clients take a password as it is where it has characters that the preparation forbids, so the server has to.
    let prepared = stringprep::saslprep(password).unwrap_or(password.into());
    let salted = salted(prepared.as_bytes(), &salt, iterations);
    let stored_key = hash(&hmac(&salted, &[b"Client Key"]));
    Verifier { iterations, salt, stored_key, server_key: hmac(&salted, &[b"Server Key"]) }
}

/// What a name that is no role is answered with. Always the same for a name; no password fits.
pub fn decoy(secret: &Key, name: &str) -> Verifier {
    let salt = hmac(secret, &[b"salt", name.as_bytes()])[..SALT_BYTES].to_vec();
    let keys = [b"stored".as_slice(), b"server"].map(|what| hmac(secret, &[what, name.as_bytes()]));
    Verifier { iterations: ITERATIONS, salt, stored_key: keys[0], server_key: keys[1] }
}

/// A conversation after the client's first message.
pub struct Conversation {
    verifier: Verifier,
    /// The first messages, of which the proof is made.
    first: String,
    nonce: String,
    /// What the client must repeat of the binding.
    binding: Vec<u8>,
}

/// What the TLS connection of a client is bound by, if there is one: the hash of the server's certificate.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a>(pub Option<&'a [u8]>);

impl Binding<'_> {
    /// The mechanisms that are offered, the best one first.
    pub fn mechanisms(&self) -> &'static [&'static str] {
        if self.0.is_some() { &[BOUND, PLAIN] } else { &[PLAIN] }
    }
}

impl Conversation {
    /// Takes the client's first message, sent for `mechanism`. The answer is [`Conversation::challenge`].
    ///
    /// # Errors
    ///
    /// 08P01 for what is no such message, 0A000 for what is not known, 28000 if someone between changed what was offered.
    pub fn start(
        mechanism: &str,
        message: &[u8],
        binding: Binding<'_>,
        verifier: Verifier,
    ) -> Result<Conversation> {
        Conversation::with_nonce(
            mechanism,
            message,
            binding,
            verifier,
            &STANDARD.encode(random::<NONCE_BYTES>()?),
        )
    }

    fn with_nonce(
        mechanism: &str,
        message: &[u8],
        binding: Binding<'_>,
        verifier: Verifier,
        own_nonce: &str,
    ) -> Result<Conversation> {
        if !binding.mechanisms().contains(&mechanism) {
            return Err(malformed("the client selected a mechanism that was not offered"));
        }
        let message = std::str::from_utf8(message).map_err(|_| malformed("it is not UTF-8"))?;
        let (kind, rest) = message.split_once(',').ok_or_else(|| malformed("it has no channel binding"))?;
        let (other_name, bare) = rest.split_once(',').ok_or_else(|| malformed("it has no name"))?;
        if !other_name.is_empty() {
            return Err(SqlError::unsupported("a SASL authorization identity"));
        }
        let binding = bound_data(kind, mechanism == BOUND, binding)?;
        let mut fields = bare.split(',');
        let first = fields.next().unwrap_or_default();
        if first.starts_with("m=") {
            return Err(SqlError::unsupported("a mandatory SCRAM extension"));
        }
        let nonce = fields.next().and_then(|field| field.strip_prefix("r="));
        let nonce = nonce.filter(|nonce| is_nonce(nonce));
        let (true, Some(nonce)) = (first.starts_with("n="), nonce) else {
            return Err(malformed("it has no name or no nonce"));
        };
        let nonce = format!("{nonce}{own_nonce}");
        let salt = STANDARD.encode(&verifier.salt);
        let challenge = format!("r={nonce},s={salt},i={}", verifier.iterations);
        let mut repeated = format!("{kind},,").into_bytes();
        repeated.extend(binding);
        Ok(Conversation { verifier, first: format!("{bare},{challenge}"), nonce, binding: repeated })
    }

    /// The server's first message.
    pub fn challenge(&self) -> &str {
        let start = self.first.rfind(",r=").expect("it was put there");
        &self.first[start + 1..]
    }

    /// Takes the client's last message. The server's last one, if the proof is right; none if it is not.
    ///
    /// # Errors
    ///
    /// 08P01 for what is no such message, 28000 if it is meant for another connection.
    pub fn finish(self, message: &[u8]) -> Result<Option<String>> {
        let message = std::str::from_utf8(message).map_err(|_| malformed("it is not UTF-8"))?;
        let (without_proof, proof) =
            message.rsplit_once(",p=").ok_or_else(|| malformed("it has no proof"))?;
        let mut fields = without_proof.split(',');
        let binding = fields.next().and_then(|field| field.strip_prefix("c="));
        let binding = binding.and_then(|text| STANDARD.decode(text).ok());
        if binding.ok_or_else(|| malformed("it has no channel binding"))? != self.binding {
            return Err(SqlError::new("28000", "SCRAM channel binding check failed"));
        }
        let nonce = fields.next().and_then(|field| field.strip_prefix("r="));
        if nonce != Some(&self.nonce) {
            return Err(malformed("its nonce is another one"));
        }
        let proof = STANDARD.decode(proof).ok().and_then(|proof| Key::try_from(proof).ok());
        let proof = proof.ok_or_else(|| malformed("its proof is none"))?;
        let signed = [self.first.as_bytes(), b",", without_proof.as_bytes()];
        let client_key = xor(&proof, &hmac(&self.verifier.stored_key, &signed));
        let is_right = hash(&client_key).ct_eq(&self.verifier.stored_key);
        let signature = STANDARD.encode(hmac(&self.verifier.server_key, &signed));
        Ok(bool::from(is_right).then(|| format!("v={signature}")))
    }
}

/// What follows the first fields in the client's repetition of the binding.
fn bound_data(kind: &str, is_bound: bool, binding: Binding<'_>) -> Result<Vec<u8>> {
    match (kind, is_bound, binding.0) {
        ("n", false, _) | ("y", false, None) => Ok(Vec::new()),
        // The client could have bound and was led to believe that the server cannot.
        ("y", false, Some(_)) => Err(SqlError::new("28000", "SCRAM channel binding negotiation error")
            .detail("The client supports channel binding but thinks that the server does not.")),
        (kind, true, Some(data)) if kind.strip_prefix("p=") == Some(BINDING_KIND) => Ok(data.to_vec()),
        (kind, true, _) if kind.starts_with("p=") => {
            Err(SqlError::unsupported("SCRAM channel binding other than tls-server-end-point"))
        }
        _ => Err(malformed("its channel binding does not fit the mechanism")),
    }
}

/// Printable ASCII without commas (RFC 5802).
fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

fn malformed(what: &str) -> SqlError {
    SqlError::new("08P01", "malformed SCRAM message").detail(format!("The message is refused: {what}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const OWN_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const CHALLENGE: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SIGNATURE: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn example() -> Verifier {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("it is base64");
        verifier_with("pencil", salt, 4096)
    }

    fn started(first: &str, binding: Option<&[u8]>, mechanism: &str) -> Result<Conversation> {
        Conversation::with_nonce(mechanism, first.as_bytes(), Binding(binding), example(), OWN_NONCE)
    }

    fn state<T>(result: Result<T>) -> &'static str {
        result.err().map_or("none", |error| error.sqlstate)
    }

    #[test]
    fn the_example_of_the_standard() {
        let conversation = started(FIRST, None, PLAIN).expect("well formed");
        assert_eq!(conversation.challenge(), CHALLENGE);
        assert_eq!(conversation.finish(LAST.as_bytes()), Ok(Some(SIGNATURE.to_owned())));
    }

    #[test]
    fn a_wrong_proof_is_refused() {
        let wrong = LAST.replace("p=dHz", "p=eHz");
        let conversation = started(FIRST, None, PLAIN).expect("well formed");
        assert_eq!(conversation.finish(wrong.as_bytes()), Ok(None));
        let conversation = Conversation::with_nonce(
            PLAIN,
            FIRST.as_bytes(),
            Binding(None),
            decoy(&[7; 32], "user"),
            OWN_NONCE,
        );
        let challenge = conversation.as_ref().map(|it| it.challenge().to_owned()).expect("well formed");
        assert!(challenge.ends_with(",i=4096"), "{challenge}");
        assert_eq!(conversation.expect("well formed").finish(LAST.as_bytes()), Ok(None));
    }

    #[test]
    fn decoys_stay_the_same_for_a_name() {
        let decoy = |secret, name| decoy(&[secret; 32], name);
        assert_eq!(decoy(1, "ann"), decoy(1, "ann"));
        assert_ne!(decoy(1, "ann").salt, decoy(1, "bob").salt);
        assert_ne!(decoy(1, "ann").salt, decoy(2, "ann").salt);
    }

    #[test]
    fn passwords_are_prepared() {
        let verifier = |password| verifier_with(password, b"salt".to_vec(), 1);
        // A Roman numeral nine, and a space that is not ASCII's.
        assert_eq!(verifier("\u{2168}"), verifier("IX"));
        assert_eq!(verifier("a\u{a0}b"), verifier("a b"));
        // What the preparation forbids is taken as it is.
        assert_ne!(verifier("\u{7}"), verifier(""));
    }

    #[test]
    fn bindings_to_the_connection() {
        let bound = FIRST.replacen('n', "p=tls-server-end-point", 1);
        let conversation = started(&bound, Some(b"hash"), BOUND).expect("well formed");
        assert_eq!(conversation.binding, b"p=tls-server-end-point,,hash");
        assert_eq!(state(conversation.finish(LAST.as_bytes())), "28000");
        assert_eq!(state(started(&FIRST.replacen('n', "y", 1), None, PLAIN)), "none");
        assert_eq!(state(started(&FIRST.replacen('n', "y", 1), Some(b"hash"), PLAIN)), "28000");
        assert_eq!(state(started(FIRST, Some(b"hash"), PLAIN)), "none");
        assert_eq!(state(started(FIRST, Some(b"hash"), BOUND)), "08P01");
        assert_eq!(state(started(&bound, Some(b"hash"), PLAIN)), "08P01");
        assert_eq!(state(started(&bound, None, BOUND)), "08P01");
        assert_eq!(state(started(&bound.replace("tls-", "x-"), Some(b"hash"), BOUND)), "0A000");
    }

    #[test]
    fn garbage_is_refused() {
        for first in [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=user",
            "n,,n=user,r=",
            "n,,r=abc",
            "x,,n=user,r=abc",
            "n,,n=user,r=a\u{e9}",
            "n,,n=user,x=abc",
        ] {
            assert_eq!(state(started(first, None, PLAIN)), "08P01", "{first}");
        }
        assert_eq!(state(started("n,a=admin,n=user,r=abc", None, PLAIN)), "0A000");
        assert_eq!(state(started("n,,m=x,n=user,r=abc", None, PLAIN)), "0A000");
        let proof = LAST.rsplit_once("p=").expect("it has one").1;
        for last in [
            "".to_owned(),
            ",p=".to_owned(),
            LAST.replace("biws", "!"),
            LAST.replace("r=r", "r=x"),
            LAST.replace(proof, "AAAA"),
            LAST.replace(proof, "!"),
            LAST.replace(&format!(",p={proof}"), ""),
        ] {
            let conversation = started(FIRST, None, PLAIN).expect("well formed");
            assert_eq!(state(conversation.finish(last.as_bytes())), "08P01", "{last}");
        }
        fastrand::seed(3);
        let verifier = example();
        for _ in 0..20_000 {
            let bytes: Vec<u8> =
                (0..fastrand::usize(..60)).map(|_| b"cnpry=,,a\xff"[fastrand::usize(..10)]).collect();
            if let Ok(conversation) = Conversation::start(PLAIN, &bytes, Binding(None), verifier.clone()) {
                assert_ne!(conversation.finish(&bytes).ok().flatten(), Some(SIGNATURE.to_owned()));
            }
        }
    }
}
