//! What the supervisor tells the process of a shard, as command line arguments.

use crate::clock::Label;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use wal::{Fault, Faults};

/// What the process of a shard is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardArgs {
    /// The data folder.
    pub data: PathBuf,
    /// The run folder.
    pub run: PathBuf,
    /// Which shard.
    pub shard: u16,
    /// Process id of the supervisor.
    pub parent: u32,
    /// The core to stay on.
    pub core: usize,
    /// Whether steps are logged and clocks sent.
    pub causal_logging: bool,
    /// After that much silence the supervisor kills the process.
    pub stall_timeout_ms: u64,
    /// What shall go wrong, in tests.
    pub faults: ShardFaults,
}

/// What shall go wrong in each process of a shard: a plain parameter, so that the code under test is the code in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardFaults {
    /// With its log.
    pub log: Faults,
    /// The step that takes the shard to this label, or beyond, aborts the process, as if it could not stand its input.
    pub abort_at: Option<Label>,
}

impl ShardArgs {
    /// The arguments as they stand on the command line.
    pub fn to_args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec![self.data.clone().into(), self.run.clone().into()];
        let numbers = [
            u64::from(self.shard),
            u64::from(self.parent),
            self.core as u64,
            u64::from(self.causal_logging),
            self.stall_timeout_ms,
        ];
        args.extend(numbers.map(|number| number.to_string().into()));
        args.extend(fault_args(&self.faults));
        args
    }

    /// The reverse of [`ShardArgs::to_args`].
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Option<ShardArgs> {
        let mut args = args.into_iter();
        let (data, run) = (PathBuf::from(args.next()?), PathBuf::from(args.next()?));
        let mut number = || args.next()?.to_str()?.parse::<u64>().ok();
        Some(ShardArgs {
            data,
            run,
            shard: u16::try_from(number()?).ok()?,
            parent: u32::try_from(number()?).ok()?,
            core: usize::try_from(number()?).ok()?,
            causal_logging: number()? != 0,
            stall_timeout_ms: number()?,
            faults: parse_faults(args)?,
        })
    }
}

const FAIL_WRITE: &str = "fail-write=";
const FAIL_SYNC: &str = "fail-sync=";
const SHORT_WRITE: &str = "short-write=";
const NO_ROOM: &str = "no-room-while-exists=";
const ABORT_AT: &str = "abort-at=";

/// One argument for each fault; none for none.
fn fault_args(faults: &ShardFaults) -> Vec<OsString> {
    let Faults { fail_write, fail_sync, short_write, no_room_while_exists } = &faults.log;
    let fault = |name: &str, fault: &Fault| OsString::from(format!("{name}{},{}", fault.nth, fault.errno));
    let mut args = Vec::new();
    args.extend(fail_write.iter().map(|at| fault(FAIL_WRITE, at)));
    args.extend(fail_sync.iter().map(|at| fault(FAIL_SYNC, at)));
    args.extend(short_write.iter().map(|nth| OsString::from(format!("{SHORT_WRITE}{nth}"))));
    args.extend(faults.abort_at.iter().map(|label| OsString::from(format!("{ABORT_AT}{label}"))));
    args.extend(no_room_while_exists.iter().map(|path| {
        let mut arg = OsString::from(NO_ROOM);
        arg.push(path);
        arg
    }));
    args
}

fn parse_faults(args: impl Iterator<Item = OsString>) -> Option<ShardFaults> {
    let mut faults = ShardFaults::default();
    for arg in args {
        let value = |name: &str| arg.as_bytes().strip_prefix(name.as_bytes()).map(OsStr::from_bytes);
        let number = |name: &str| value(name)?.to_str()?.parse::<u64>().ok();
        if let Some(path) = value(NO_ROOM) {
            faults.log.no_room_while_exists = Some(path.into());
        } else if let Some(fault) = value(FAIL_WRITE) {
            faults.log.fail_write = Some(parse_fault(fault)?);
        } else if let Some(fault) = value(FAIL_SYNC) {
            faults.log.fail_sync = Some(parse_fault(fault)?);
        } else if let Some(label) = number(ABORT_AT) {
            faults.abort_at = Some(Label(label));
        } else {
            faults.log.short_write = Some(number(SHORT_WRITE)?);
        }
    }
    Some(faults)
}

fn parse_fault(text: &OsStr) -> Option<Fault> {
    let (nth, errno) = text.to_str()?.split_once(',')?;
    Some(Fault { nth: nth.parse().ok()?, errno: errno.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_pass_through_the_command_line() {
        let mut args = ShardArgs {
            data: "/data of mine".into(),
            run: "/dev/shm/sakia-1".into(),
            shard: 3,
            parent: 77,
            core: 5,
            causal_logging: true,
            stall_timeout_ms: 500,
            faults: ShardFaults::default(),
        };
        assert_eq!(ShardArgs::parse(args.to_args()), Some(args.clone()));
        args.faults.abort_at = Some(Label(9));
        args.faults.log = Faults {
            fail_write: Some(Fault { nth: 3, errno: libc::EIO }),
            fail_sync: Some(Fault { nth: 5, errno: libc::ENOSPC }),
            short_write: Some(7),
            no_room_while_exists: Some("/tmp/a = b, c".into()),
        };
        assert_eq!(ShardArgs::parse(args.to_args()), Some(args.clone()));
        let mut more = args.to_args();
        more.push("and what is this".into());
        assert_eq!(ShardArgs::parse(more), None);
        assert_eq!(ShardArgs::parse([OsString::from("/data")]), None);
    }
}
