//! TLS: the server's certificate and its key, from their files. When these are read is said in [`super::certificates`].
//!
//! What is wrong with a file is said with its name and what to do about it. Sessions are not resumed: clients of databases
//! do not try, and nothing has to be kept for them.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::error::Error;

/// Longest file of certificates or of a key; usual are some thousand bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What clients that name a protocol name; those that speak another one are turned away.
const PROTOCOL: &[u8] = b"postgresql";

/// See the [module's documentation](self).
pub struct Tls {
    acceptor: TlsAcceptor,
    end_point: Option<Vec<u8>>,
}

impl std::fmt::Debug for Tls {
    /// Nothing of the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads a certificate, with those between it and one that clients know after it, and its key.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, is not what it should be, or is a key that others can read.
    pub fn load(certificate: &Path, key: &Path) -> Result<Tls, Error> {
        let chain = certificates(certificate, "--tls-cert")?;
        let secret = private_key(key)?;
        let end_point = end_point(&chain[0]);
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has the usual versions")
            .with_no_client_auth()
            .with_single_cert(chain, secret);
        let mut config = config.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => wrong(
                key,
                format!("is not the key of the certificate in {}", certificate.display()),
                "give the key that the certificate was made for",
            ),
            error => wrong(
                certificate,
                format!("cannot be used: {error}"),
                "its first certificate must be the server's, with an RSA, ECDSA or Ed25519 key",
            ),
        })?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), end_point })
    }

    /// Agrees with a client on keys.
    ///
    /// # Errors
    ///
    /// The client does not want to go on, or the connection is broken.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }

    /// What a conversation about a password is bound to, so that nobody can hand it on: the hash of the certificate. None
    /// where its signature names no hash, as Ed25519's does not.
    pub fn end_point(&self) -> Option<&[u8]> {
        self.end_point.as_deref()
    }
}

fn wrong(path: &Path, what: impl Into<String>, advice: impl Into<String>) -> Error {
    Error::Tls { path: path.to_owned(), what: what.into(), advice: advice.into() }
}

/// The certificates in a file that was given by `option`; there is one at least.
///
/// # Errors
///
/// What is wrong with the file.
pub fn certificates(path: &Path, option: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let (bytes, _) = read(path, option)?;
    let advice =
        format!("{option} takes a PEM file with BEGIN CERTIFICATE in it, the server's own certificate first");
    let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(|error| wrong(path, format!("is damaged: {error}"), advice.as_str()))?;
    if chain.is_empty() {
        return Err(wrong(path, "has no certificate in it", advice));
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let (bytes, metadata) = read(path, "--tls-key")?;
    check_secrecy(path, &metadata)?;
    let advice = "--tls-key takes a PEM file with BEGIN PRIVATE KEY (or RSA or EC PRIVATE KEY) in it";
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound if contains(&bytes, b"BEGIN ENCRYPTED PRIVATE KEY") => wrong(
            path,
            "is encrypted, and the server has nobody to ask for its password",
            format!("`openssl pkey -in {0} -out {0}.plain` writes it without one", path.display()),
        ),
        pem::Error::NoItemsFound => wrong(path, "has no private key in it", advice),
        error => wrong(path, format!("is damaged: {error}"), advice),
    })
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// The bytes of a file, and whose it is.
fn read(path: &Path, option: &str) -> Result<(Vec<u8>, Metadata), Error> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => {
            wrong(path, "does not exist", format!("{option} takes the path of a PEM file"))
        }
        io::ErrorKind::PermissionDenied => {
            wrong(path, "cannot be read", "the user that the server runs as must be allowed to")
        }
        _ => {
            wrong(path, format!("cannot be read: {source}"), format!("{option} takes the path of a PEM file"))
        }
    };
    // Opening a pipe would wait for its writer.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(wrong(path, "is no file", format!("{option} takes the path of a PEM file")));
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let what = format!("has more than {FILE_BYTES_MAX} bytes");
        return Err(wrong(path, what, format!("{option} takes the path of a PEM file")));
    }
    Ok((bytes, metadata))
}

/// A key is the server's own, or root's and readable by a group of the server's, as in PostgreSQL.
fn check_secrecy(path: &Path, metadata: &Metadata) -> Result<(), Error> {
    let own = rustix::process::geteuid().as_raw();
    let advice = || format!("`chmod 600 {}` keeps others out", path.display());
    if metadata.uid() != own && metadata.uid() != 0 {
        let what = format!("belongs to user {}, neither to the server's nor to root", metadata.uid());
        return Err(wrong(path, what, format!("`chown {own} {}` gives it to the server's", path.display())));
    }
    let others = if metadata.uid() == own { 0o077 } else { 0o037 };
    if metadata.mode() & others != 0 {
        return Err(wrong(path, "is a key that others can read or write", advice()));
    }
    Ok(())
}

/// The hash of a certificate by the hash of its signature, but SHA-256 for those that are too weak (RFC 5929).
pub fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01";
    const ECDSA: &[u8] = b"\x2a\x86\x48\xce\x3d\x04";
    let algorithm = signature_algorithm(certificate)?;
    let (rsa, ecdsa) = (algorithm.strip_prefix(RSA), algorithm.strip_prefix(ECDSA));
    match (rsa, ecdsa) {
        (Some([4 | 5 | 11]), _) | (_, Some([1] | [3, 2])) => Some(Sha256::digest(certificate).to_vec()),
        (Some([12]), _) | (_, Some([3, 3])) => Some(Sha384::digest(certificate).to_vec()),
        (Some([13]), _) | (_, Some([3, 4])) => Some(Sha512::digest(certificate).to_vec()),
        _ => None,
    }
}

/// The object identifier of the algorithm that a certificate is signed by: a certificate is a sequence of what is signed, a
/// sequence that begins with that identifier, and the signature.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const IDENTIFIER: u8 = 6;
    let (inside, _) = element(certificate, SEQUENCE)?;
    let (_, after) = element(inside, SEQUENCE)?;
    let (algorithm, _) = element(after, SEQUENCE)?;
    element(algorithm, IDENTIFIER).map(|(identifier, _)| identifier)
}

/// The first element of DER, which must be of the kind `tag`, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0x00..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length)).flatten()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};

    use super::*;

    fn certificate(algorithm: &'static SignatureAlgorithm) -> Vec<u8> {
        let key = KeyPair::generate_for(algorithm).expect("it can be made");
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        certificate.self_signed(&key).expect("it can be signed").der().to_vec()
    }

    #[test]
    fn connections_are_bound_by_the_hash_of_the_signature() {
        let sha256 = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(end_point(&sha256), Some(Sha256::digest(&sha256).to_vec()));
        let sha384 = certificate(&rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(end_point(&sha384), Some(Sha384::digest(&sha384).to_vec()));
        assert_eq!(end_point(&certificate(&rcgen::PKCS_ED25519)), None);
    }

    #[test]
    fn damaged_certificates_are_bound_by_nothing() {
        let whole = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        for end in 0..whole.len() {
            assert_eq!(end_point(&whole[..end]), None);
        }
        fastrand::seed(1);
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            bytes[fastrand::usize(..20)] = fastrand::u8(..);
            end_point(&bytes);
        }
    }
}
