//! The server's certificate as it is now: the files are read again when they are others than before.
//!
//! Certificates are valid for some months, and whoever renews them replaces the files. That is looked for whenever a client asks
//! for encryption, which costs a hundred times as much. Who has been let in keeps what was agreed on. New files that cannot be
//! used are complained about once, and the old ones stay in use: they may have been met between the first and the second.

use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::tls::Tls;
use crate::error::Error;

/// See the [module's documentation](self).
pub struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    newest: RefCell<(Stamps, Rc<Tls>)>,
}

/// By what the certificate and the key are known to have been replaced.
type Stamps = [Option<Stamp>; 2];

/// By what a file is known to be another one than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

/// None while there is no such file.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = path.metadata().ok()?;
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    Some(Stamp { inode: metadata.ino(), bytes: metadata.size(), changed })
}

impl Certificates {
    /// Reads them for the first time.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn open(certificate: &Path, key: &Path) -> Result<Certificates, Error> {
        // Stamps first: what is replaced while it is read is read again.
        let stamps = [certificate, key].map(stamp);
        let tls = Tls::load(certificate, key)?;
        let newest = RefCell::new((stamps, Rc::new(tls)));
        Ok(Certificates { certificate: certificate.to_owned(), key: key.to_owned(), newest })
    }

    /// The newest that can be used.
    pub fn newest(&self) -> Rc<Tls> {
        let mut newest = self.newest.borrow_mut();
        let stamps = [&self.certificate, &self.key].map(|path| stamp(path));
        if stamps != newest.0 {
            newest.0 = stamps;
            match Tls::load(&self.certificate, &self.key) {
                Ok(tls) => newest.1 = Rc::new(tls),
                Err(error) => eprintln!("the certificate from before stays in use: {error}"),
            }
        }
        newest.1.clone()
    }
}
