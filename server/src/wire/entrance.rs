//! The ways in, and what each asks of those who come by it.
//!
//! | a client comes by | no role has a password | some role has |
//! |---|---|---|
//! | the Unix socket, as the server's own user or as root | let in, may do everything | the same: so nobody locks himself out |
//! | TCP from this machine | let in, may do everything | SCRAM-SHA-256 |
//! | TCP from elsewhere | TLS and SCRAM-SHA-256, so it is turned away | TLS and SCRAM-SHA-256 |
//! | the same with `--insecure` | let in, may do everything | SCRAM-SHA-256 |
//!
//! TLS is there for all that come by TCP, if the server has a certificate.

use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;

use sql::SqlError;

use super::certificates::Certificates;
use super::tls::Tls;
use crate::error::Error;

/// Where a client comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The user that the server runs as, or root, by the Unix socket.
    Owner,
    /// Anybody else on this machine.
    Local,
    /// Anybody elsewhere.
    Remote,
}

impl Peer {
    /// Of a connection by the Unix socket of a process of user `user`.
    pub fn of_user(user: Option<u32>) -> Peer {
        let own = rustix::process::geteuid().as_raw();
        if user == Some(own) || user == Some(0) { Peer::Owner } else { Peer::Local }
    }

    /// Of a connection from this address.
    pub fn of_address(address: IpAddr) -> Peer {
        if address.to_canonical().is_loopback() { Peer::Local } else { Peer::Remote }
    }
}

/// What the ways in ask for.
pub struct Entrance {
    certificates: Option<Certificates>,
    is_insecure: bool,
}

impl Entrance {
    /// With the certificate and the key of these files, if any.
    ///
    /// # Errors
    ///
    /// What is wrong with the files.
    pub fn open(files: Option<&(PathBuf, PathBuf)>, is_insecure: bool) -> Result<Entrance, Error> {
        let open = |(certificate, key): &(PathBuf, PathBuf)| Certificates::open(certificate, key);
        Ok(Entrance { certificates: files.map(open).transpose()?, is_insecure })
    }

    /// TLS with the newest certificate, if the server has one.
    pub fn tls(&self) -> Option<Rc<Tls>> {
        self.certificates.as_ref().map(Certificates::newest)
    }

    /// Whether a client need not prove who it is; `asks` says whether some role has a password.
    pub fn trusts(&self, peer: Peer, asks: bool) -> bool {
        match peer {
            Peer::Owner => true,
            Peer::Local => !asks,
            Peer::Remote => self.is_insecure && !asks,
        }
    }

    /// Turns away who should have come by TLS.
    ///
    /// # Errors
    ///
    /// 28000.
    pub fn check_encryption(&self, peer: Peer, is_encrypted: bool) -> Result<(), SqlError> {
        if peer != Peer::Remote || is_encrypted || self.is_insecure {
            return Ok(());
        }
        Err(SqlError::new("28000", "connections from other machines must be encrypted")
            .hint("Connect with sslmode=require."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_to_do_what() {
        let peer = |address: &str| Peer::of_address(address.parse().expect("an address"));
        assert_eq!(peer("127.0.0.1"), Peer::Local);
        assert_eq!(peer("127.9.9.9"), Peer::Local);
        assert_eq!(peer("::1"), Peer::Local);
        assert_eq!(peer("::ffff:127.0.0.1"), Peer::Local);
        assert_eq!(peer("10.0.0.1"), Peer::Remote);
        assert_eq!(peer("::ffff:10.0.0.1"), Peer::Remote);
        assert_eq!(peer("0.0.0.0"), Peer::Remote);

        let strict = Entrance::open(None, false).expect("no files");
        let lax = Entrance::open(None, true).expect("no files");
        assert!(strict.trusts(Peer::Owner, true) && strict.trusts(Peer::Local, false));
        assert!(!strict.trusts(Peer::Local, true) && !strict.trusts(Peer::Remote, false));
        assert!(lax.trusts(Peer::Remote, false) && !lax.trusts(Peer::Remote, true));

        assert!(strict.check_encryption(Peer::Local, false).is_ok());
        assert!(strict.check_encryption(Peer::Remote, true).is_ok());
        assert!(lax.check_encryption(Peer::Remote, false).is_ok());
        let refused = strict.check_encryption(Peer::Remote, false).expect_err("it is plain");
        assert_eq!(refused.sqlstate, "28000");
    }
}
