//! Probes: how long until a vote shows in the view.
//!
//! A probe is a vote for a story that nobody else votes for, looked up again and again from its acknowledgement until it
//! is counted. There is a fixed number of such stories; each is used by one probe at a time, so the count to wait for is
//! known; a story whose probe failed is not used again. A probe that is due while all are busy waits for one, and its time counts from when it was due.

use runtime::ShardId;

use crate::schedule::{Next, Schedule};
use crate::vote::lane::{Kind, Lanes, Message};
use crate::vote::workload::RowWriter;

/// Stories that one generator keeps for probes, and so the most probes at a time.
pub const PROBE_STORIES: u16 = 32;

/// The probes of one generator.
#[derive(Debug)]
pub struct Probes {
    schedule: Option<Schedule>,
    slots: Vec<Slot>,
    idle: Vec<u16>,
}

#[derive(Debug)]
struct Slot {
    story: u32,
    owner: ShardId,
    /// Votes sent so far, all but the last of them known to be visible.
    sent: u64,
    due_ns: u64,
}

/// What a look at a probe's story has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The vote is not counted yet.
    NotYet,
    /// It is, and was due at this time.
    Visible {
        /// When the probe was due.
        due_ns: u64,
    },
    /// More votes are counted than were sent.
    TooMany,
}

impl Probes {
    /// Probes on the stories from `first_story`, started by `schedule` if there is one.
    pub fn new(schedule: Option<Schedule>, first_story: u32, owners: &[u16]) -> Probes {
        let slot = |story: u32| Slot { story, owner: ShardId(owners[story as usize]), sent: 0, due_ns: 0 };
        let slots = (0..u32::from(PROBE_STORIES)).map(|index| slot(first_story + index)).collect();
        Probes { schedule, slots, idle: (0..PROBE_STORIES).collect() }
    }

    /// No probe starts after `end_ns`.
    pub fn end_at(&mut self, end_ns: u64) {
        if let Some(schedule) = &mut self.schedule {
            schedule.end_at(end_ns);
        }
    }

    /// Starts the probes that are due; returns when the next one is, if any.
    pub fn start(
        &mut self,
        now_ns: u64,
        user: &mut impl FnMut() -> i64,
        writer: &mut RowWriter,
        lanes: &mut Lanes,
    ) -> Option<u64> {
        let schedule = self.schedule.as_mut()?;
        loop {
            let due_ns = match schedule.next(now_ns) {
                Next::Due(due_ns) => due_ns,
                Next::At(at_ns) => return Some(at_ns),
                Next::WhenRoom | Next::Over => return None,
            };
            // Without an idle story the next answer brings one; there is no time to wake up for.
            let probe = self.idle.pop()?;
            schedule.issue();
            let slot = &mut self.slots[usize::from(probe)];
            slot.sent += 1;
            slot.due_ns = due_ns;
            let mut rows = lanes.buffer();
            let (shard, row) = writer.vote(slot.story, user());
            rows.push(row);
            lanes.push(Message { kind: Kind::ProbeVote(probe), shard, due_ns, rows, again: false });
        }
    }

    /// Looks whether the vote of a probe is visible.
    pub fn look(&self, probe: u16, now_ns: u64, writer: &mut RowWriter, lanes: &mut Lanes) {
        let slot = &self.slots[usize::from(probe)];
        let mut rows = lanes.buffer();
        writer.push_key(slot.story, &mut rows);
        let kind = Kind::ProbeLookup(probe);
        lanes.push(Message { kind, shard: slot.owner, due_ns: now_ns, rows, again: false });
    }

    /// A look has found `votes` votes.
    pub fn looked(&mut self, probe: u16, votes: u64) -> Look {
        let slot = &self.slots[usize::from(probe)];
        if votes < slot.sent {
            return Look::NotYet;
        }
        self.idle.push(probe);
        if votes > slot.sent { Look::TooMany } else { Look::Visible { due_ns: slot.due_ns } }
    }
}
