//! Doorbells: how a process that sleeps learns that there is something on its rings.
//!
//! Rings need no system call, but a reader without work must sleep. It says so in its sleeping flag on the control page;
//! whoever has published to it looks at the flag and, only if it is set, sends one byte to the sleeper's Unix datagram
//! socket. The two sides cannot miss each other:
//!
//! ```text
//! sleeper: flag = ASLEEP; fence; look at the rings once more; sleep if they are empty
//! sender:  publish;       fence; look at the flag;            ring if it is set
//! ```
//!
//! With a sequentially consistent fence on either side at least one of them sees what the other wrote. A sender that
//! rings clears the flag, so that a busy sender rings once a sleep; should it die between the two, the sleeper wakes
//! with its heartbeat.
//!
//! Who waits for nothing but what comes over its rings, a shard without a flush under way or a front that is not in an event loop,
//! sleeps in one system call on the flag itself (a futex; it says so by [`ON_FLAG`]). Whoever would ring then wakes it without a
//! message: a third of the price for the sender, and the sleeper has nothing to read.
//!
//! The supervisor makes the sockets of the shards and keeps them open, so they outlive a shard and its senders need not
//! connect again; a front makes its own.

use super::control::{ASLEEP, ON_FLAG, WANTS_ROOM, WANTS_WORDS};
use super::sys;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

/// The sender's end: rings one receiver.
pub struct Bell(UnixDatagram);

impl Bell {
    /// Connects to the socket of a receiver.
    pub fn connect(path: &Path) -> io::Result<Bell> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(path)?;
        Ok(Bell(socket))
    }

    /// Wakes the receiver whose sleeping flag is `flag`, whatever it sleeps for.
    pub fn ring(&self, flag: &AtomicU64) {
        // SeqCst: what the receiver is woken for comes before the load of the flag; pairs with the fence of `Nap::begin`.
        fence(Ordering::SeqCst);
        if flag.swap(0, Ordering::Relaxed) & ON_FLAG == 0 {
            self.send();
        } else {
            sys::futex_wake(flag);
        }
    }

    fn send(&self) {
        // A full socket means that it has been rung already; a refused one means that nobody will ever listen again.
        let _ = self.0.send(&[1]);
    }

    /// To be called after publishing to the receiver whose sleeping flag is `flag`. Returns whether it was rung.
    #[inline]
    pub fn after_publish(&self, flag: &AtomicU64) -> bool {
        self.ring_if(flag, ASLEEP)
    }

    /// To be called after telling words on the board that the receiver waits for.
    #[inline]
    pub fn after_telling(&self, flag: &AtomicU64) {
        self.ring_if(flag, WANTS_WORDS);
    }

    /// To be called after releasing space of a ring that the receiver publishes on.
    #[inline]
    pub fn after_release(&self, flag: &AtomicU64) {
        self.ring_if(flag, WANTS_ROOM);
    }

    #[inline]
    fn ring_if(&self, flag: &AtomicU64, bit: u64) -> bool {
        // SeqCst: the store of the index comes before the load of the flag; pairs with the fence of `Nap::begin`.
        fence(Ordering::SeqCst);
        if flag.load(Ordering::Relaxed) & bit == 0 {
            return false;
        }
        match flag.swap(0, Ordering::Relaxed) {
            0 => return false,
            was if was & ON_FLAG != 0 => sys::futex_wake(flag),
            _ => self.send(),
        }
        true
    }
}

/// The time between setting the sleeping flag and clearing it.
pub struct Nap<'a> {
    flag: &'a AtomicU64,
    wants: u64,
}

impl<'a> Nap<'a> {
    /// Says that this process is about to sleep; it must look at its rings once more before it does. `wants` is what it is
    /// rung for beside messages, and [`ON_FLAG`] if it is to be woken out of [`Nap::sleep_on_flag`].
    pub fn begin(flag: &'a AtomicU64, wants: u64) -> Nap<'a> {
        fall_asleep(flag, wants);
        Nap { flag, wants }
    }

    /// Sleeps until it is rung, but not for longer than this.
    pub fn sleep_on_flag(&self, longest: Duration) {
        sleep_on_flag(self.flag, self.wants, longest);
    }
}

/// What [`Nap::begin`] does, for a sleeper whose sleep is no call: it says so, and must look once more at all that it is rung
/// for; `wants` is that beside messages.
pub(crate) fn fall_asleep(flag: &AtomicU64, wants: u64) {
    // Release: a mask that has been stored before is seen along with the flag.
    flag.store(ASLEEP | wants, Ordering::Release);
    // SeqCst: the store of the flag comes before the loads of the rings' indexes; pairs with `Bell::ring_if`.
    fence(Ordering::SeqCst);
}

/// Sleeps until it is rung, for what it [fell asleep](fall_asleep) with, but not for longer than this.
pub(crate) fn sleep_on_flag(flag: &AtomicU64, wants: u64, longest: Duration) {
    assert!(wants & ON_FLAG != 0, "whoever rings must know where");
    sys::futex_wait(flag, ASLEEP | wants, longest);
}

/// The end of such a sleep.
pub(crate) fn wake_up(flag: &AtomicU64) {
    flag.store(0, Ordering::Relaxed);
}

impl Drop for Nap<'_> {
    fn drop(&mut self) {
        wake_up(self.flag);
    }
}

/// Makes the socket that a receiver listens on.
pub fn listen(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::bind(path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Takes all bytes that have been sent; they say nothing but that it is time to look.
pub fn drain(socket: &UnixDatagram) {
    let mut bytes = [0; 16];
    while socket.recv(&mut bytes).is_ok() {}
}

/// The socket of a shard, for a child that gets it as its standard input.
pub(crate) fn duplicate(socket: &UnixDatagram) -> io::Result<OwnedFd> {
    assert!(socket.as_raw_fd() > 2);
    Ok(socket.try_clone()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_is_rung_once_and_only_for_what_it_waits_for() {
        let path = std::path::PathBuf::from(format!("/dev/shm/sakia-bell-test-{}", std::process::id()));
        // A run that was killed may have left it.
        let _ = std::fs::remove_file(&path);
        let socket = listen(&path).expect("binds");
        let (bell, flag) = (Bell::connect(&path).expect("connects"), AtomicU64::new(0));
        let rung = || socket.recv(&mut [0; 4]).is_ok();
        bell.after_publish(&flag);
        assert!(!rung(), "nobody sleeps");
        let nap = Nap::begin(&flag, 0);
        bell.after_release(&flag);
        assert!(!rung(), "it does not wait for room");
        bell.after_publish(&flag);
        bell.after_publish(&flag);
        assert!(rung() && !rung(), "one ring is enough");
        drop(nap);
        let _nap = Nap::begin(&flag, WANTS_ROOM);
        bell.after_release(&flag);
        assert!(rung());
        std::fs::remove_file(&path).expect("removes");
        drop(socket);
        bell.ring(&flag);
    }

    #[test]
    fn a_sleeper_on_its_flag_is_woken_without_a_message() {
        let path = std::path::PathBuf::from(format!("/dev/shm/sakia-flag-test-{}", std::process::id()));
        // A run that was killed may have left it.
        let _ = std::fs::remove_file(&path);
        let socket = listen(&path).expect("binds");
        let (bell, flag) = (Bell::connect(&path).expect("connects"), AtomicU64::new(0));
        for ring in [Bell::ring, |bell: &Bell, flag: &AtomicU64| assert!(bell.after_publish(flag))] {
            let nap = Nap::begin(&flag, ON_FLAG);
            std::thread::scope(|scope| {
                scope.spawn(|| nap.sleep_on_flag(Duration::from_secs(3600)));
                ring(&bell, &flag);
            });
            assert_eq!(flag.load(Ordering::Relaxed), 0);
        }
        Nap::begin(&flag, ON_FLAG).sleep_on_flag(Duration::from_millis(1));
        assert!(socket.recv(&mut [0; 4]).is_err(), "nothing was sent");
        std::fs::remove_file(&path).expect("removes");
    }
}
