//! Whether io_uring can be used here: asked before any process is started, because without it none gets anywhere.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// What to do where io_uring is refused.
pub(crate) const ADVICE: &str = "allow it: sysctl kernel.io_uring_disabled=0, a seccomp profile of the container that \
     permits io_uring_setup, ulimit -l of 8 MiB or more; `sakia doctor` tells which it is";

/// The size of the kernel's `struct io_uring_params`.
const PARAMS_BYTES: usize = 120;

/// Sets up the smallest io_uring and takes it down again.
pub(crate) fn probe() -> io::Result<()> {
    let mut params = [0u64; PARAMS_BYTES / 8];
    // SAFETY: the kernel reads and writes the parameters, which are as large as it expects and aligned.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, params.as_mut_ptr()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just made this descriptor for us.
    drop(unsafe { OwnedFd::from_raw_fd(fd as RawFd) });
    Ok(())
}
