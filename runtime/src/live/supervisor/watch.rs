//! The supervisor's thread: one loop that waits for deaths, fronts and commands.
//!
//! A death is seen through the pidfd of the process the moment it happens. A process that lives but does not move is
//! found by its heartbeat on the control page, and killed, which makes it a death like any other.

use super::super::arguments::ShardArgs;
use super::super::host::Trouble;
use super::super::process::{End, Process};
use super::super::restart::{CrashGuard, Verdict};
use super::super::stall::{Patience, StallWatch};
use super::fronts::{self, FrontProcess};
use super::*;
use crate::live::control::working_on;
use std::os::fd::AsRawFd;
use std::sync::mpsc::Receiver;

/// How long a process may take before it runs its own code, or to open a log whose dead writer's last writes are still
/// landing. A heartbeat cannot be asked for there.
const OPENING_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a shard may work on one catalogue entry, or on one record of its log, which may be that of an entry: an entry that
/// gives a table more columns goes through all of its rows, at some millions a second.
const ENTRY_TIMEOUT: Duration = Duration::from_secs(300);
/// How long shards may take to stop when they are asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The loop's longest wait: it also looks for completed recoveries.
const TICK: Duration = Duration::from_millis(20);
/// Recoveries remembered, about a day of one kill a second.
const RECOVERIES_MAX: usize = 100_000;

/// A shard as its watcher knows it.
#[derive(Default)]
struct Watched {
    process: Option<Process>,
    started: Option<Instant>,
    started_ns: u64,
    restart_at: Option<Instant>,
    guard: CrashGuard,
    stall: StallWatch,
    /// Killed by the watchdog, and when it was last seen alive.
    stalled: Option<u64>,
    /// Recoveries that have not been completed: several, if it dies again meanwhile.
    pending: Vec<PendingRecovery>,
}

#[derive(Clone, Copy)]
struct PendingRecovery {
    signal: i32,
    died: u64,
    detected: u64,
}

/// The thread's state.
pub(super) struct Watch {
    options: Options,
    data: DataFolder,
    run: RunFolder,
    shared: Arc<Shared>,
    sockets: Vec<UnixDatagram>,
    registry: Registry,
    catalogue: Catalogue,
    shards: Vec<Watched>,
    fronts: Vec<FrontProcess>,
    last_tick: Instant,
    /// The data folder and the run folder are ours while these live.
    _locks: [Lock; 2],
}

impl Watch {
    #[expect(clippy::too_many_arguments, reason = "called once, to take over everything there is")]
    pub(super) fn new(
        options: Options,
        data: DataFolder,
        run: RunFolder,
        shared: Arc<Shared>,
        sockets: Vec<UnixDatagram>,
        registry: Registry,
        catalogue: Catalogue,
        locks: [Lock; 2],
    ) -> Watch {
        let shards = (0..options.shards).map(|_| Watched::default()).collect();
        let fronts = options.fronts.iter().cloned().map(FrontProcess::new).collect();
        let last_tick = Instant::now();
        Watch {
            options,
            data,
            run,
            shared,
            sockets,
            registry,
            catalogue,
            shards,
            fronts,
            last_tick,
            _locks: locks,
        }
    }

    /// Recovers the logs and makes the rings. No shard may run.
    pub(super) fn start_machine(&mut self) -> Result<(), StartError> {
        let start = machine_start::recover(&self.data, self.options.shards, |shard| {
            let mut options = wal::Options::new(&self.data.0, format!("shard-{shard}"));
            options.faults = self.options.faults(shard).log;
            options
        });
        let start = io_error(self.data.0.display(), start)?;
        make_rings(&self.run, &self.shared.page, self.options.ring_bytes, |from, to| {
            start.base_label(from, to)
        })?;
        for (shard, why) in start.unreadable {
            self.quarantine(shard, why);
        }
        Ok(())
    }

    /// The loop; ends with the database.
    pub(super) fn run(mut self, commands: &Receiver<Command>, mut woken: UnixStream) {
        for shard in self.shared.page.shard_ids() {
            self.start_if_due(shard);
        }
        loop {
            self.wait(&woken);
            // What the bytes say is in the channel.
            let _ = woken.read(&mut [0; 64]);
            for shard in self.shared.page.shard_ids() {
                self.look_for_death(shard);
                self.start_if_due(shard);
                self.look_for_recovery(shard);
            }
            self.look_after_fronts();
            self.watch_heartbeats();
            if self.registry.serve(&self.shared.page, &self.run) {
                self.shared.ring_all();
            }
            self.define_for_fronts();
            while let Ok(command) = commands.try_recv() {
                match command {
                    Command::Install(plan, reply) => {
                        // Whoever asked has gone if this is an error.
                        let _ = reply.send(self.install(&plan));
                    }
                    Command::Stop => return self.stop(),
                }
            }
        }
    }

    fn wait(&self, woken: &UnixStream) {
        let mut fds = vec![woken.as_raw_fd()];
        fds.extend(self.registry.fds());
        let processes = self.shards.iter().filter_map(|shard| shard.process.as_ref());
        fds.extend(processes.map(|process| process.pidfd().as_raw_fd()));
        fds.extend(self.fronts.iter().flat_map(FrontProcess::fds));
        let fronts_due = self.fronts.iter().filter_map(FrontProcess::restart_at);
        let due = self.shards.iter().filter_map(|shard| shard.restart_at).chain(fronts_due).min();
        let recovering = self.shards.iter().any(|shard| !shard.pending.is_empty());
        let tick = if recovering { TICK / 10 } else { TICK.min(self.options.stall_timeout / 4) };
        let timeout = due.map_or(tick, |due| tick.min(due.saturating_duration_since(Instant::now())));
        // Whatever went wrong, the round that follows looks at everything; this keeps it from spinning.
        if sys::poll_readable(&fds, timeout).is_err() {
            std::thread::sleep(tick);
        }
    }

    fn look_after_fronts(&mut self) {
        for (index, front) in self.fronts.iter_mut().enumerate() {
            if let Some(status) = front.look_after() {
                self.shared.lock().fronts[index].clone_from(status);
            }
        }
    }

    fn start_if_due(&mut self, shard: ShardId) {
        let index = usize::from(shard.0);
        let waiting = self.shards[index].restart_at.is_some_and(|due| Instant::now() < due);
        let quarantined = self.shared.page.phase(shard) == Phase::Quarantined;
        if self.shards[index].process.is_some() || waiting || quarantined {
            return;
        }
        let page = &self.shared.page;
        for word in [
            ShardWord::StartedAt,
            ShardWord::ReplayedAt,
            ShardWord::SteeredAt,
            ShardWord::CaughtUpAt,
            ShardWord::Sleeping,
            ShardWord::WorkingOn,
        ] {
            page.set(shard, word, 0);
        }
        page.set(shard, ShardWord::Core, self.core(shard) as u64);
        page.set_phase(shard, Phase::Down);
        // There is none after a clean life.
        let _ = fs::remove_file(self.run.fault(shard));
        let mut args = self.options.args.clone();
        args.extend(self.shard_args(shard).to_args());
        let now = monotonic_ns();
        let known = &mut self.shards[index];
        (known.restart_at, known.stalled, known.started) = (None, None, Some(Instant::now()));
        known.started_ns = now;
        {
            // Release, and before the process exists: whoever sees anything of the new life sees that it is another one; and
            // whoever sees that sees the phase taken back.
            let next = self.shared.lock().shards[index].starts + 1;
            page.shard(shard, ShardWord::Incarnation).store(next, Ordering::Release);
        }
        match Process::start(&self.options.program, &args, &self.sockets[index]) {
            Ok(process) => {
                let mut inner = self.shared.lock();
                let shared = &mut inner.shards[index];
                shared.starts += 1;
                (shared.pid, shared.killed) = (Some(process.id()), None);
                shared.pidfd = Some(Arc::clone(process.pidfd()));
                known.process = Some(process);
            }
            Err(error) => {
                let program = self.options.program.display();
                eprintln!("supervisor: shard {shard}: {program} cannot be started: {error}");
                known.restart_at = Some(Instant::now() + Duration::from_secs(1));
            }
        }
    }

    fn core(&self, shard: ShardId) -> usize {
        self.options.cores[usize::from(shard.0) % self.options.cores.len()]
    }

    fn shard_args(&self, shard: ShardId) -> ShardArgs {
        ShardArgs {
            data: self.data.0.clone(),
            run: self.run.0.clone(),
            shard: shard.0,
            parent: std::process::id(),
            core: self.core(shard),
            causal_logging: self.options.causal_logging,
            stall_timeout_ms: u64::try_from(self.options.stall_timeout.as_millis()).unwrap_or(u64::MAX),
            faults: self.options.faults(shard),
        }
    }

    fn look_for_death(&mut self, shard: ShardId) {
        let index = usize::from(shard.0);
        let Some(process) = &mut self.shards[index].process else { return };
        // An error would mean that it is no child of ours any more; there is nothing left to watch then either.
        let end = process.try_wait().unwrap_or(Some(End::Exit(-1)));
        if let Some(end) = end {
            self.shards[index].process = None;
            self.bury(shard, end);
        }
    }

    /// A process has ended: decides what becomes of the shard.
    fn bury(&mut self, shard: ShardId, end: End) {
        let (index, detected) = (usize::from(shard.0), monotonic_ns());
        self.shared.page.shard(shard, ShardWord::Deaths).fetch_add(1, Ordering::Relaxed);
        let fault = fs::read_to_string(self.run.fault(shard)).unwrap_or_default();
        if !fault.is_empty() {
            eprintln!("supervisor: shard {shard} gives up: {fault}");
        }
        let killed = {
            let mut inner = self.shared.lock();
            let shared = &mut inner.shards[index];
            (shared.pid, shared.pidfd) = (None, None);
            if !fault.is_empty() {
                shared.fault = Some(fault.clone());
            }
            shared.killed.take()
        };
        let page = &self.shared.page;
        let (label, doing) = (page.get(shard, ShardWord::Label), page.get(shard, ShardWord::WorkingOn));
        page.set_phase(shard, Phase::Down);
        let known = &mut self.shards[index];
        let (signal, died) = match (killed, known.stalled, end) {
            (Some((signal, at)), _, _) => (signal, at),
            (None, Some(last_seen), _) => (libc::SIGKILL, last_seen),
            (None, None, End::Signal(signal)) => (signal, detected),
            (None, None, End::Exit(_)) => (0, detected),
        };
        known.pending.push(PendingRecovery { signal, died, detected });
        let trouble = match end {
            End::Exit(status) => Trouble::of_status(status),
            End::Signal(_) => None,
        };
        let outside =
            killed.is_some() || matches!(end, End::Signal(libc::SIGKILL | libc::SIGTERM | libc::SIGINT));
        let verdict = match trouble {
            Some(Trouble::Rings) => return self.restart_all(shard, &fault),
            Some(Trouble::Log | Trouble::Unavailable) => Verdict::Quarantine(fault),
            _ if outside && known.stalled.is_none() => known.guard.killed(),
            _ => {
                let lived = known.started.map_or(Duration::ZERO, |started| started.elapsed());
                known.guard.crashed(end, Label(label), doing, lived, &fault)
            }
        };
        match verdict {
            Verdict::Restart(delay) => known.restart_at = Some(Instant::now() + delay),
            Verdict::Quarantine(why) => self.quarantine(shard, why),
        }
    }

    fn quarantine(&mut self, shard: ShardId, why: String) {
        eprintln!("supervisor: shard {shard} is in quarantine: {why}");
        self.shards[usize::from(shard.0)].pending.clear();
        // For fronts; without it they know only that the shard is down.
        let _ = fs::write(self.run.quarantine(shard), &why);
        self.shared.lock().shards[usize::from(shard.0)].quarantined = Some(why);
        self.shared.page.set_phase(shard, Phase::Quarantined);
        // What others hold for it will not be wanted, and its clients need not wait any more.
        self.shared.ring_all();
    }

    /// A ring between shards is broken and can steer nobody: all shards start again from their logs, with new rings.
    fn restart_all(&mut self, shard: ShardId, fault: &str) {
        eprintln!("supervisor: all shards start again, because shard {shard} found a broken ring: {fault}");
        self.end_processes();
        self.registry.close_all(&self.shared.page, &self.run);
        let page = &self.shared.page;
        for from in page.shard_ids() {
            for to in page.shard_ids().filter(|to| *to != from) {
                // Making it anew fails if this did.
                let _ = RingMemory::remove(&self.run.ring(from, to));
            }
        }
        if let Err(error) = self.start_machine() {
            for shard in self.shared.page.shard_ids() {
                self.quarantine(shard, format!("the shards could not be started again: {error}"));
            }
        }
    }

    fn end_processes(&mut self) {
        for known in &mut self.shards {
            // Kills and reaps.
            known.process = None;
        }
        for shared in &mut self.shared.lock().shards {
            (shared.pid, shared.pidfd, shared.killed) = (None, None, None);
        }
    }

    /// Notes recoveries that have been completed.
    fn look_for_recovery(&mut self, shard: ShardId) {
        let known = &mut self.shards[usize::from(shard.0)];
        let page = &self.shared.page;
        let caught_up = page.get(shard, ShardWord::CaughtUpAt);
        if known.pending.is_empty() || known.process.is_none() || caught_up == 0 {
            return;
        }
        let at = |word| page.get(shard, word);
        let mut inner = self.shared.lock();
        for pending in known.pending.drain(..) {
            let ms = |time: u64| time.saturating_sub(pending.died) as f64 / 1e6;
            let recovery = Recovery {
                shard,
                signal: pending.signal,
                died_at_ns: pending.died,
                detected_ms: ms(pending.detected),
                restarted_ms: ms(at(ShardWord::StartedAt)),
                replayed_ms: ms(at(ShardWord::ReplayedAt)),
                steered_ms: ms(at(ShardWord::SteeredAt)),
                caught_up_ms: ms(caught_up),
            };
            recovery.tell(page);
            inner.recoveries.push(recovery);
        }
        let excess = inner.recoveries.len().saturating_sub(RECOVERIES_MAX);
        inner.recoveries.drain(..excess);
    }

    /// Kills processes that live but do not move.
    fn watch_heartbeats(&mut self) {
        // If this thread itself was held up, so may the shards have been: they get another tick.
        let late = self.last_tick.elapsed() > self.options.stall_timeout / 2;
        self.last_tick = Instant::now();
        if late {
            return;
        }
        let now = monotonic_ns();
        for (index, known) in self.shards.iter_mut().enumerate() {
            let Some(process) = known.process.as_ref().filter(|_| known.stalled.is_none()) else { continue };
            let shard = ShardId(index as u16);
            let page = &self.shared.page;
            let beat = page.get(shard, ShardWord::Heartbeat).max(known.started_ns);
            let usual = self.options.stall_timeout;
            let doing = page.get(shard, ShardWord::WorkingOn);
            let patience = match page.phase(shard) {
                phase if phase <= Phase::Opening => Patience::of(OPENING_TIMEOUT),
                _ if working_on::may_take_long(doing) => {
                    Patience { usual, working: usual.max(ENTRY_TIMEOUT) }
                }
                _ => Patience::of(usual),
            };
            let silent = Duration::from_nanos(now.saturating_sub(beat));
            if known.stall.is_stuck(process.id(), beat, silent, patience) {
                let doing = working_on::describe(doing);
                eprintln!("supervisor: shard {shard} has been silent for {silent:?} (doing {doing}): killed");
                known.stalled = Some(beat);
                process.kill();
            }
        }
    }

    fn install(&mut self, plan: &Plan) -> Result<(), StartError> {
        if let Some(entry) = self.catalogue.entry_to(plan)? {
            self.define(self.catalogue.newest(), &entry.to_bytes())?;
        }
        Ok(())
    }

    /// Makes an entry durable and lets the shards take it up. Returns its number.
    fn define(&mut self, after: u64, entry: &[u8]) -> Result<u64, DefineError> {
        let shared = &self.shared;
        self.catalogue.define(after, entry, Some(&self.run), |number| {
            // Release: pairs with the Acquire loads of shards and fronts, so they find the file.
            shared.page.catalogue_entries().store(number, Ordering::Release);
            shared.ring_all();
        })
    }

    /// Carries out what fronts have asked to define.
    fn define_for_fronts(&mut self) {
        for asked in self.registry.take_asked() {
            let result = match asked.read(&self.run) {
                Ok(entry) => self.define(asked.after, &entry),
                Err(source) => Err(asked.unreadable(&self.run, source)),
            };
            self.registry.answer(&asked, &result);
        }
    }

    fn stop(mut self) {
        // Clients are told first: what is under way is answered while the shards are there.
        fronts::end_all(&mut self.fronts);
        // Release: nothing depends on it, but it is the counterpart of the shards' Acquire load.
        self.shared.page.stopping().store(1, Ordering::Release);
        self.shared.ring_all();
        let deadline = Instant::now() + STOP_TIMEOUT;
        for known in &mut self.shards {
            let Some(process) = &mut known.process else { continue };
            let fds = [process.pidfd().as_raw_fd()];
            // Whoever has not ended by then is killed below.
            let _ = sys::poll_readable(&fds, deadline.saturating_duration_since(Instant::now()));
            let _ = process.try_wait();
        }
        self.end_processes();
        self.registry.close_all(&self.shared.page, &self.run);
        // What cannot be removed now is removed by the next supervisor.
        let _ = fs::remove_dir_all(&self.run.0);
        let _ = fs::remove_file(self.data.run_path());
    }
}
