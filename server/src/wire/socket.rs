//! The Unix socket: where it is, and who can connect to it.
//!
//! Only the server's own user and root can. A folder that is made for it is entered by nobody else. One that was there stays as
//! it is, whoever shares it; if others may enter it, the socket itself keeps them out. A folder in which others could put a
//! socket of their own in the place of the server's is refused: clients would tell them their passwords.

use std::fs::{Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use tokio::net::UnixListener;

use crate::error::Error;

/// Listens on `.s.PGSQL.<port>` in a folder, which is made if there is none.
///
/// # Errors
///
/// The folder is not safe, or another server listens there.
pub fn listen(folder: &Path, port: u16) -> Result<UnixListener, Error> {
    let failed = |what| move |source| Error::Path { what, path: folder.to_owned(), source };
    if let Some(above) = folder.parent() {
        std::fs::create_dir_all(above).map_err(failed("cannot make"))?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let metadata = std::fs::metadata(folder).map_err(failed("cannot look at"))?;
            check(folder, &metadata)?;
        }
        made => made.map_err(failed("cannot make"))?,
    }
    let path = folder.join(format!(".s.PGSQL.{port}"));
    check_free(&path)?;
    // Where nobody else can connect before its mode is set.
    let private = folder.join(format!(".sakia.{}", std::process::id()));
    std::fs::DirBuilder::new().mode(0o700).create(&private).map_err(failed("cannot make a folder in"))?;
    let listener = bind(&private.join("s"), &path);
    // A folder that is left there is in nobody's way.
    let _ = std::fs::remove_dir_all(&private);
    listener.map_err(failed("cannot listen in"))
}

/// A socket that is bound in one place and then has another, in that of one that was left there.
fn bind(at: &Path, to: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(at)?;
    std::fs::set_permissions(at, Permissions::from_mode(0o600))?;
    std::fs::rename(at, to)?;
    Ok(listener)
}

/// Refuses a folder in which others could put something in the place of the socket.
fn check(folder: &Path, metadata: &Metadata) -> Result<(), Error> {
    const STICKY: u32 = 0o1000;
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    let own = rustix::process::geteuid().as_raw();
    let unsafe_folder = |what: String| Error::SocketFolder { path: folder.to_owned(), what };
    if !metadata.is_dir() {
        return Err(unsafe_folder("is no folder".to_owned()));
    }
    if metadata.uid() != own && metadata.uid() != 0 {
        let what = format!("belongs to user {}, neither to the server's nor to root", metadata.uid());
        return Err(unsafe_folder(what));
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 && metadata.mode() & STICKY == 0 {
        let what = format!("can be written by others: its mode is {:o}", metadata.mode() & 0o7777);
        return Err(unsafe_folder(what));
    }
    Ok(())
}

/// Refuses the place of a file, and that of a socket at which somebody listens. One that was left by an earlier front is replaced.
fn check_free(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Path { what: "cannot listen at", path: path.to_owned(), source };
    let is_socket = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(failed)?.file_type().is_socket(),
    };
    if !is_socket {
        return Err(failed(io::Error::new(ErrorKind::AlreadyExists, "something else is there")));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(failed(io::Error::new(ErrorKind::AddrInUse, "another server listens there"))),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("it is there").mode() & 0o7777
    }

    #[tokio::test]
    async fn folders_are_made_for_the_owner_alone_and_others_stay_as_they_are() {
        let parent = tempfile::tempdir().expect("a folder");
        let own = parent.path().join("a/b");
        let listener = listen(&own, 5433).expect("made");
        assert_eq!(mode(&own), 0o700);
        let taken = listen(&own, 5433).expect_err("somebody listens").to_string();
        assert!(taken.contains("another server listens there"), "{taken}");
        drop(listener);
        listen(&own, 5433).expect("what is left is replaced");

        let shared = parent.path().join("shared");
        std::fs::create_dir(&shared).expect("made");
        for (bits, is_taken) in [(0o1777, true), (0o755, true), (0o700, true), (0o777, false), (0o775, false)]
        {
            std::fs::set_permissions(&shared, Permissions::from_mode(bits)).expect("its owner may");
            let listened = listen(&shared, 5433);
            assert_eq!(listened.is_ok(), is_taken, "{bits:o}: {listened:?}");
            assert_eq!(mode(&shared), bits, "it is not changed");
            if is_taken {
                assert_eq!(mode(&shared.join(".s.PGSQL.5433")), 0o600);
            }
        }
        let refused = listen(&shared, 5433).expect_err("others may write").to_string();
        assert!(refused.contains("its mode is 775") && refused.contains("--socket-folder"), "{refused}");
        assert_eq!(std::fs::read_dir(&shared).expect("it is read").count(), 1, "the socket alone");
        std::fs::write(own.join(".s.PGSQL.1"), "").expect("written");
        listen(&own, 1).expect_err("a file is not replaced");
    }
}
