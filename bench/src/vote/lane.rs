//! One lane per shard: what waits to be sent to it and what it has not answered yet.
//!
//! Lanes are independent: a shard that is down fills its own lane and holds up nobody else's. Buffers of rows go round
//! in a pool, so that no operation allocates.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use operators::{Rows, WriteKind};
use runtime::ShardId;

use crate::error::Error;
use crate::vote::port::{Outcome, Port, Refused, Ticket};
use crate::vote::workload::{Names, ROWS_PER_STORY};

/// The most operations that wait in one lane: 24 bytes each make 1.5 GiB. At a million a second a shard may be down for
/// a minute before the load counts as too much for the machine.
pub const QUEUED_OPERATIONS_MAX: u64 = 64 << 20;

/// The most messages of one shard under way. Enough for 200,000 a second at 5 ms each; what is more waits in the lane,
/// where it can be seen that a shard that was down has a backlog.
const IN_FLIGHT_MESSAGES_MAX: u32 = 1024;
/// Votes or keys of one message; what is more goes in another. Votes have 24 bytes.
pub const MESSAGE_ROWS_MAX: u32 = 10_000;
const _: () = assert!(MESSAGE_ROWS_MAX as usize * 24 <= runtime::front::WRITE_BYTES_MAX);

/// The most messages that a lane sends in its turn.
pub const MESSAGES_AT_ONCE: u32 = 192;
/// Sleep between looks for answers outside of a run.
const DRAIN_SLEEP: Duration = Duration::from_millis(5);
/// How long no answer at all may come outside of a run: a shard may be replaying its log.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(120);

/// What a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Stories, before the run.
    Stories,
    /// Votes of the load.
    Votes,
    /// Lookups of the load.
    Lookups,
    /// The vote of a probe.
    ProbeVote(u16),
    /// A look whether the vote of a probe is visible.
    ProbeLookup(u16),
}

impl Kind {
    /// Whether it changes a table.
    pub fn is_write(self) -> bool {
        matches!(self, Kind::Stories | Kind::Votes | Kind::ProbeVote(_))
    }
}

/// A group of operations for one shard.
#[derive(Debug)]
pub struct Message {
    /// What it carries.
    pub kind: Kind,
    /// Where it goes.
    pub shard: ShardId,
    /// When it was to be sent; latency counts from here.
    pub due_ns: u64,
    /// Rows to write, or keys to look up.
    pub rows: Rows,
    /// A write that may have arrived before and is sent again: its rows may be there already.
    pub again: bool,
}

/// All lanes of one generator.
#[derive(Debug)]
pub struct Lanes {
    lanes: Vec<Lane>,
    in_flight: HashMap<Ticket, Message>,
    pool: Vec<Rows>,
}

/// How far [`Lanes::send`] went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// What is left waits for answers.
    AllItCould,
    /// Some lane could send more, after the others.
    ItsTurn,
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Message>,
    queued_operations: u64,
    in_flight_operations: u64,
    in_flight_messages: u32,
}

impl Lanes {
    /// Empty lanes to so many shards.
    pub fn new(shards: u16) -> Lanes {
        let lanes = (0..shards).map(|_| Lane::default()).collect();
        Lanes { lanes, in_flight: HashMap::new(), pool: Vec::new() }
    }

    /// An empty buffer of rows.
    pub fn buffer(&mut self) -> Rows {
        self.pool.pop().unwrap_or_default()
    }

    /// Gives a buffer back.
    pub fn recycle(&mut self, mut rows: Rows) {
        rows.clear();
        self.pool.push(rows);
    }

    /// Puts a message at the end of its lane.
    pub fn push(&mut self, message: Message) {
        assert!(message.rows.count > 0, "an empty message has no answer");
        let lane = &mut self.lanes[usize::from(message.shard.0)];
        lane.queued_operations += u64::from(message.rows.count);
        lane.queue.push_back(message);
    }

    /// Operations of a shard that have no answer yet.
    pub fn pending(&self, shard: ShardId) -> u64 {
        let lane = &self.lanes[usize::from(shard.0)];
        lane.queued_operations + lane.in_flight_operations
    }

    /// Whether everything has been sent and answered.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.lanes.iter().all(|lane| lane.queue.is_empty())
    }

    /// Whether something for any shard could not be sent yet.
    pub fn is_waiting(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.queue.is_empty())
    }

    /// Whether everything for this shard has been sent.
    pub fn is_sent(&self, shard: ShardId) -> bool {
        self.lanes[usize::from(shard.0)].queue.is_empty()
    }

    /// Whether a lane is longer than any load that the machine could keep up with would make it.
    pub fn is_overrun(&self) -> bool {
        self.lanes.iter().any(|lane| lane.queued_operations > QUEUED_OPERATIONS_MAX)
    }

    /// Sends what the shards take, at most so much of each lane that all get their turns.
    pub fn send(&mut self, port: &mut impl Port, names: &Names) -> Result<Sent, Refused> {
        let mut sent = Sent::AllItCould;
        for lane in &mut self.lanes {
            let mut left = MESSAGES_AT_ONCE;
            while lane.in_flight_messages < IN_FLIGHT_MESSAGES_MAX
                && let Some(message) = lane.queue.front()
            {
                if left == 0 {
                    sent = Sent::ItsTurn;
                    break;
                }
                left -= 1;
                let ticket = match submit(port, names, message) {
                    Ok(ticket) => ticket,
                    Err(Refused::Busy) => break,
                    Err(gone) => return Err(gone),
                };
                let message = lane.queue.pop_front().expect("it was just looked at");
                let operations = u64::from(message.rows.count);
                lane.queued_operations -= operations;
                lane.in_flight_operations += operations;
                lane.in_flight_messages += 1;
                let former = self.in_flight.insert(ticket, message);
                assert!(former.is_none(), "a ticket was given twice");
            }
        }
        Ok(sent)
    }

    /// Takes the message that an answer belongs to.
    pub fn answered(&mut self, ticket: Ticket) -> Option<Message> {
        let message = self.in_flight.remove(&ticket)?;
        let lane = &mut self.lanes[usize::from(message.shard.0)];
        lane.in_flight_operations -= u64::from(message.rows.count);
        lane.in_flight_messages -= 1;
        Some(message)
    }

    /// Sends everything and gives each answer to `take`, until nothing is left. For what comes before and after a run:
    /// here the death of the machine is an error.
    pub fn drain(
        &mut self,
        port: &mut impl Port,
        names: &Names,
        mut take: impl FnMut(&Message, Outcome),
    ) -> Result<(), Error> {
        let mut answers = Vec::new();
        let mut progress = Instant::now();
        while !self.is_idle() {
            self.send(port, names).map_err(Error::engine("send"))?;
            port.wait(DRAIN_SLEEP, &mut answers).map_err(Error::engine("wait for answers"))?;
            if !answers.is_empty() {
                progress = Instant::now();
            }
            if progress.elapsed() > DRAIN_TIMEOUT {
                return Err(Error::Timeout { what: "an answer", seconds: DRAIN_TIMEOUT.as_secs() });
            }
            for answer in answers.drain(..) {
                let Some(message) = self.answered(answer.ticket) else { continue };
                take(&message, answer.outcome);
                self.recycle(message.rows);
            }
        }
        Ok(())
    }

    /// All that was under way is lost: it will be sent again, the oldest first.
    pub fn send_again(&mut self) {
        let mut lost: Vec<Message> = self.in_flight.drain().map(|(_, message)| message).collect();
        lost.sort_by_key(|message| std::cmp::Reverse(message.due_ns));
        for mut message in lost {
            message.again = true;
            let lane = &mut self.lanes[usize::from(message.shard.0)];
            lane.queued_operations += u64::from(message.rows.count);
            lane.queue.push_front(message);
        }
        for lane in &mut self.lanes {
            lane.in_flight_operations = 0;
            lane.in_flight_messages = 0;
        }
    }

    /// Takes everything that has no answer, when nobody will wait for one any more.
    pub fn abandon(&mut self) -> Vec<Message> {
        self.send_again();
        let abandoned = self.lanes.iter_mut().flat_map(|lane| lane.queue.drain(..)).collect();
        self.lanes.iter_mut().for_each(|lane| lane.queued_operations = 0);
        abandoned
    }
}

fn submit(port: &mut impl Port, names: &Names, message: &Message) -> Result<Ticket, Refused> {
    // An insert would be refused if the same row were there already: a check of "exactly once" that costs nothing. Only
    // what is sent again has to replace what may be there.
    let kind = if message.again { WriteKind::Upsert } else { WriteKind::Insert };
    match message.kind {
        Kind::Stories => port.write(message.shard, names.stories, kind, &message.rows),
        Kind::Votes | Kind::ProbeVote(_) => port.write(message.shard, names.votes, kind, &message.rows),
        Kind::Lookups | Kind::ProbeLookup(_) => {
            // One more than there should be, so that a row too many is noticed.
            port.lookup(message.shard, names.view, &message.rows, ROWS_PER_STORY + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use operators::{TableId, ViewId};

    use super::*;
    use crate::vote::port::Answered;
    use crate::vote::workload::RowWriter;

    /// Takes everything and answers nothing.
    struct Taking(Ticket);

    impl Port for Taking {
        fn write(&mut self, _: ShardId, _: TableId, _: WriteKind, _: &Rows) -> Result<Ticket, Refused> {
            unreachable!("only lookups are sent")
        }

        fn lookup(&mut self, _: ShardId, _: ViewId, _: &Rows, _: u32) -> Result<Ticket, Refused> {
            self.0 += 1;
            Ok(self.0)
        }

        fn wait(&mut self, _: Duration, _: &mut Vec<Answered>) -> Result<(), Refused> {
            Ok(())
        }

        fn reconnect(&mut self) -> Result<(), Error> {
            Ok(())
        }
    }

    #[test]
    fn a_long_lane_does_not_keep_another_from_its_turn() {
        let names = Names { stories: TableId(0), votes: TableId(1), view: ViewId(0) };
        let (mut lanes, mut port, mut writer) = (Lanes::new(2), Taking(0), RowWriter::new(2));
        let mut push = |shard, count| {
            for _ in 0..count {
                let mut rows = lanes.buffer();
                writer.push_key(1, &mut rows);
                let shard = ShardId(shard);
                lanes.push(Message { kind: Kind::Lookups, shard, due_ns: 0, rows, again: false });
            }
        };
        push(0, MESSAGES_AT_ONCE + 1);
        push(1, 1);
        assert_eq!(lanes.send(&mut port, &names), Ok(Sent::ItsTurn));
        assert!(!lanes.is_sent(ShardId(0)) && lanes.is_sent(ShardId(1)));
        assert_eq!(lanes.send(&mut port, &names), Ok(Sent::AllItCould));
        assert!(lanes.is_sent(ShardId(0)));
    }
}
