//! Probes: how long until a vote shows in the view.
//!
//! A probe is a vote for a story that nobody else votes for, looked up again and again from its acknowledgement until it
//! is counted. Probes have a front of their own, so that they wait for the system and not behind the load's own requests.
//! There is a fixed number of such stories; each is used by one probe at a time, so the count to wait for is
//! known; a story whose probe failed is not used again. A probe that is due while all are busy waits for one, and its time counts from when it was due.

use runtime::ShardId;

use crate::schedule::{Next, Schedule};
use crate::vote::lane::{Kind, Lanes, Message};
use crate::vote::workload::RowWriter;

/// Stories kept for probes, and so the most probes at a time. They are the last ones.
pub const PROBE_STORIES: u16 = 32;

/// All probes of a run.
#[derive(Debug)]
pub struct Probes {
    schedule: Schedule,
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
    /// Probes on the last stories, started by `schedule`.
    pub fn new(schedule: Schedule, owners: &[u16]) -> Probes {
        let first =
            owners.len().checked_sub(usize::from(PROBE_STORIES)).expect("probes have stories of their own");
        let slot =
            |story: usize| Slot { story: story as u32, owner: ShardId(owners[story]), sent: 0, due_ns: 0 };
        Probes {
            schedule,
            slots: (first..owners.len()).map(slot).collect(),
            idle: (0..PROBE_STORIES).collect(),
        }
    }

    /// No probe starts after `end_ns`.
    pub fn end_at(&mut self, end_ns: u64) {
        self.schedule.end_at(end_ns);
    }

    /// Starts the probes that are due; says what comes next.
    pub fn start(&mut self, now_ns: u64, user: &mut i64, writer: &mut RowWriter, lanes: &mut Lanes) -> Next {
        loop {
            let next = self.schedule.next(now_ns);
            let Next::Due(due_ns) = next else { return next };
            // Without an idle story the next answer brings one; there is no time to wake up for.
            let Some(probe) = self.idle.pop() else { return Next::WhenRoom };
            self.schedule.issue();
            *user += 1;
            let slot = &mut self.slots[usize::from(probe)];
            slot.sent += 1;
            slot.due_ns = due_ns;
            let mut rows = lanes.buffer();
            let (shard, row) = writer.vote(slot.story, *user);
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
