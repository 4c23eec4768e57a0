//! The few system calls that the standard library does not offer.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share.
pub(crate) fn monotonic_ns() -> u64 {
    // SAFETY: all-zero bytes are a valid `timespec`.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: writes to a structure that outlives the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    assert_eq!(result, 0, "this clock always exists");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The cores that this process may run on.
pub(crate) fn allowed_cores() -> Vec<usize> {
    // SAFETY: all-zero bytes are a valid `cpu_set_t`.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: writes at most that many bytes to the structure.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) };
    if result != 0 {
        return vec![0];
    }
    // SAFETY: indexes are below the size of the set.
    (0..libc::CPU_SETSIZE as usize).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) }).collect()
}

/// Has this process killed when the thread that started it ends; false if that has happened already.
pub(crate) fn die_with_parent(parent: u32) -> bool {
    // SAFETY: plain system calls without pointers.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // The parent may have died before the line above; then somebody else has adopted this process.
        libc::getppid() as u32 == parent
    }
}

/// Registers the process for the barrier that Glommio uses before it sleeps. The kernel does this at once while there is a
/// single thread; later, when Glommio does it itself, it waits for all cores, which takes 10 to 20 ms.
pub(crate) fn register_membarrier() {
    // SAFETY: plain system call without pointers. If it is refused, Glommio finds that out by itself.
    unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) };
}

/// Has a segment violation or bus error end this process at once. The standard library's handler, which would only put a
/// name to an overflow of the stack, swallows the first one that is sent from outside.
pub(crate) fn die_of_faults() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: no handler of this process is left that anybody counts on.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// A number that nobody can have drawn before.
pub(crate) fn random_u64() -> io::Result<u64> {
    let mut bytes = [0u8; 8];
    // SAFETY: writes at most that many bytes to the array.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got == bytes.len() as isize { Ok(u64::from_le_bytes(bytes)) } else { Err(io::Error::last_os_error()) }
}

/// A descriptor that becomes readable when the child process ends, and by which it can be signalled without danger of
/// meeting another that has got its number.
pub(crate) fn open_pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: plain system call without pointers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Sends a signal to the process behind a descriptor of [`open_pidfd`].
pub(crate) fn signal_pidfd(pidfd: &OwnedFd, signal: i32) -> io::Result<()> {
    let info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: plain system call; a null pointer asks for the usual signal information.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Waits until one of the descriptors is readable or has been hung up on. Returns which are.
pub(crate) fn poll_readable(fds: &[RawFd], timeout: Duration) -> io::Result<Vec<bool>> {
    let wanted = |&fd: &RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut polled: Vec<libc::pollfd> = fds.iter().map(wanted).collect();
    let time = libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: libc::c_long::from(timeout.subsec_nanos()),
    };
    // SAFETY: the array and the structure outlive the call; a null mask leaves the signal mask alone.
    let count =
        unsafe { libc::ppoll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, &time, std::ptr::null()) };
    if count >= 0 {
        return Ok(polled.iter().map(|fd| fd.revents != 0).collect());
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::Interrupted => Ok(vec![false; fds.len()]),
        error => Err(error),
    }
}

const _: () =
    assert!(cfg!(target_endian = "little"), "a futex is the word's lower half, which must come first");

/// Sleeps until [`futex_wake`] is called for the word, by whatever process; not at all if it is not `expected` any more, and not
/// for longer than `longest`. The bits above 31 must be zero.
pub(crate) fn futex_wait(word: &AtomicU64, expected: u64, longest: Duration) {
    let expected = u32::try_from(expected).expect("a futex has 32 bits");
    let time = libc::timespec {
        tv_sec: longest.as_secs() as libc::time_t,
        tv_nsec: libc::c_long::from(longest.subsec_nanos()),
    };
    // SAFETY: the kernel reads the word, which is aligned, and the structure; both outlive the call. Why it returns makes no
    // difference: whoever sleeps looks at what it waits for.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, &raw const time) };
}

/// Wakes who sleeps in [`futex_wait`] on this word.
pub(crate) fn futex_wake(word: &AtomicU64) {
    // SAFETY: the word is used as an address alone.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
}

/// Has reads of a descriptor return at once when there is nothing.
pub(crate) fn set_nonblocking(file: &impl AsRawFd) -> io::Result<()> {
    let fd = file.as_raw_fd();
    // SAFETY: plain system calls on an open descriptor.
    let result = unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        if flags < 0 { flags } else { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) }
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes the exclusive lock of an open file; false if somebody else has it.
pub(crate) fn try_flock(file: &impl AsRawFd) -> io::Result<bool> {
    // SAFETY: plain system call on an open descriptor.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        error => Err(error),
    }
}

/// The doorbell that a shard gets as its standard input.
pub(crate) fn doorbell_from_stdin() -> UnixDatagram {
    // SAFETY: the supervisor passes the socket as descriptor 0, and nothing else in a shard uses the standard input.
    unsafe { UnixDatagram::from_raw_fd(0) }
}
