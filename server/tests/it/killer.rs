//! Someone who kills the shards of a server.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::server::Server;

/// Kills shards as long as it lives.
pub struct Killer {
    over: Arc<AtomicBool>,
    killed: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Killer {
    /// Kills random shards of a server now and then.
    pub fn start(server: &Server, seed: u64) -> Killer {
        let over = Arc::new(AtomicBool::new(false));
        let killed = Arc::new(AtomicU32::new(0));
        let (server, ends, count) = (server.running.pid(), Arc::clone(&over), Arc::clone(&killed));
        let mut rng = fastrand::Rng::with_seed(seed);
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(rng.u64(100..600)));
                let pids = shard_pids(server);
                if let Some(pid) = rng.choice(&pids)
                    && kill_process(*pid, Signal::KILL).is_ok()
                {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Killer { over, killed, thread: Some(thread) }
    }

    /// How many it has killed.
    pub fn killed(&self) -> u32 {
        self.killed.load(Ordering::Relaxed)
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of it is no more than a kill that was not made.
            let _ = thread.join();
        }
    }
}

/// The shards among the children of the server, by their command lines.
fn shard_pids(server: Pid) -> Vec<Pid> {
    let tasks = PathBuf::from(format!("/proc/{}/task", server.as_raw_nonzero()));
    let Ok(threads) = std::fs::read_dir(tasks) else { return Vec::new() };
    let children =
        threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let mut pids = Vec::new();
    for children in children {
        for child in children.split_whitespace() {
            let words = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            let is_shard = words.split(|byte| *byte == 0).nth(1) == Some(b"shard");
            let pid = child.parse().ok().and_then(Pid::from_raw);
            pids.extend(pid.filter(|_| is_shard));
        }
    }
    pids
}
