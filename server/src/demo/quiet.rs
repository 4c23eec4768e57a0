//! When the dataflow is quiet: every shard has consumed all that was sent to it, and nobody has anything left to send.
//!
//! There is no global coordinator to ask, but the control page shows enough. Look twice. If between the two looks no
//! label has moved, no shard has been away, all outboxes were empty at the first look, and every shard has begun two
//! rounds of its loop, then each has gone through one whole round in between. In it the shard has looked at all of its
//! links and consumed nothing (its label would have moved), so nothing lay there; and as nobody has consumed anything,
//! nobody has published anything since. Writes are over before this is asked, so nothing new comes from outside.

use std::path::Path;
use std::time::{Duration, Instant};

use runtime::ShardId;
use runtime::live::control::{ControlPage, Phase, ShardWord};
use runtime::live::layout::find_run_folder;
use runtime::rounds::{Board, Word};

use crate::error::Error;

/// Between two looks. An idle shard begins a round about ten times a second, a busy one much more often.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Rounds that a shard must begin between two looks, so that one of them lies wholly between.
const ROUNDS: u32 = 2;

/// Waits until the dataflow behind `folder` is quiet.
pub fn wait_quiet(folder: &Path, timeout: Duration) -> Result<(), Error> {
    let control = find_run_folder(folder).and_then(|run| ControlPage::open(&run.control()));
    let page = control.map_err(|source| Error::System { what: "the shards cannot be watched", source })?;
    let deadline = Instant::now() + timeout;
    let mut watched: Option<Vec<Watched>> = None;
    loop {
        match &mut watched {
            None => watched = first_look(&page),
            Some(shards) => {
                if !shards.iter_mut().all(|shard| shard.is_still(&page)) {
                    watched = None;
                } else if shards.iter().all(|shard| shard.rounds >= ROUNDS) {
                    return Ok(());
                }
            }
        }
        if Instant::now() > deadline {
            return Err(Error::NotQuiet { seconds: timeout.as_secs(), shards: describe(&page) });
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A shard since the first look.
struct Watched {
    shard: ShardId,
    label: u64,
    incarnation: u64,
    heartbeat: u64,
    /// Rounds that it has been seen to begin.
    rounds: u32,
}

/// What all shards are like now; `None` if one of them is away or still has something to send.
fn first_look(page: &ControlPage) -> Option<Vec<Watched>> {
    let look = |shard: ShardId| {
        // The label first: what it has published through can only have grown since, so equal means that the outbox was
        // empty.
        let label = page.get(shard, ShardWord::Label);
        let mut others = page.shard_ids().filter(|other| *other != shard);
        let sent = others.all(|other| Board::get(page, shard, Word::Published(other)) == label);
        (sent && page.phase(shard) == Phase::Running).then(|| Watched {
            shard,
            label,
            incarnation: page.get(shard, ShardWord::Incarnation),
            heartbeat: page.get(shard, ShardWord::Heartbeat),
            rounds: 0,
        })
    };
    page.shard_ids().map(look).collect()
}

impl Watched {
    /// Looks again; false if the shard has consumed something or has been away.
    fn is_still(&mut self, page: &ControlPage) -> bool {
        let heartbeat = page.get(self.shard, ShardWord::Heartbeat);
        if heartbeat != self.heartbeat {
            self.heartbeat = heartbeat;
            self.rounds += 1;
        }
        page.get(self.shard, ShardWord::Label) == self.label
            && page.get(self.shard, ShardWord::Incarnation) == self.incarnation
            && page.phase(self.shard) == Phase::Running
    }
}

fn describe(page: &ControlPage) -> String {
    let shard = |shard: ShardId| {
        format!("shard {} is {:?} at label {}", shard.0, page.phase(shard), page.get(shard, ShardWord::Label))
    };
    page.shard_ids().map(shard).collect::<Vec<_>>().join(", ")
}
