//! The time of a single write on an idle engine: one vote at a time, each sent when the one before is acknowledged.

use std::thread;
use std::time::{Duration, Instant};

use operators::{Rows, WriteKind};

use crate::error::Error;
use crate::latencies::Latencies;
use crate::tally::Tally;
use crate::vote::port::{Outcome, Port};
use crate::vote::workload::{Names, RowWriter};

/// Votes cast back to back.
const VOTES: u32 = 500;
/// Votes cast with a pause after each.
const PACED_VOTES: u32 = 100;
/// The pause: long enough for cores and device to go to sleep.
pub const PAUSE: Duration = Duration::from_millis(5);
/// Users that no generator uses.
const FIRST_USER: i64 = 1 << 60;
/// Sleep between two looks at the time.
const WAIT: Duration = Duration::from_millis(100);
/// How long one acknowledgement may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The same thing measured back to back and with a pause after each.
#[derive(Debug, Default)]
pub struct Paces<T> {
    /// Each begins when the one before is done.
    pub back_to_back: T,
    /// Each begins [`PAUSE`] after that.
    pub paced: T,
}

/// Casts votes for the first stories, one after another, and counts them in `tally`.
pub fn measure(
    port: &mut impl Port,
    names: &Names,
    shards: u16,
    tally: &mut Tally,
) -> Result<Paces<Latencies>, Error> {
    let mut voter = Voter { port, names, writer: RowWriter::new(shards), rows: Rows::new(), tally };
    let mut paces = Paces::<Latencies>::default();
    for user in FIRST_USER..FIRST_USER + i64::from(VOTES) {
        paces.back_to_back.record(voter.vote(user)?, 1);
    }
    for user in FIRST_USER - i64::from(PACED_VOTES)..FIRST_USER {
        thread::sleep(PAUSE);
        paces.paced.record(voter.vote(user)?, 1);
    }
    Ok(paces)
}

struct Voter<'a, P> {
    port: &'a mut P,
    names: &'a Names,
    writer: RowWriter,
    rows: Rows,
    tally: &'a mut Tally,
}

impl<P: Port> Voter<'_, P> {
    /// One vote; its time in nanoseconds.
    fn vote(&mut self, user: i64) -> Result<u64, Error> {
        let story = user.rem_euclid(i64::from(self.tally.stories())) as u32;
        self.rows.clear();
        let (shard, row) = self.writer.vote(story, user);
        self.rows.push(row);
        let (begin, mut answers) = (Instant::now(), Vec::new());
        let write = self.port.write(shard, self.names.votes, WriteKind::Insert, &self.rows);
        write.map_err(Error::engine("write a vote"))?;
        while answers.is_empty() {
            self.port.wait(WAIT, &mut answers).map_err(Error::engine("wait for an acknowledgement"))?;
            if begin.elapsed() > TIMEOUT {
                return Err(Error::Timeout { what: "an acknowledgement", seconds: TIMEOUT.as_secs() });
            }
        }
        let latency_ns = begin.elapsed().as_nanos() as u64;
        for answer in answers {
            match answer.outcome {
                Outcome::Written(1) => self.tally.acknowledged(story),
                other => return Err(Error::Engine { action: "write a vote", reason: format!("{other:?}") }),
            }
        }
        Ok(latency_ns)
    }
}

#[cfg(test)]
mod tests {
    use operators::{TableId, ViewId};

    use super::*;
    use crate::vote::fake::Fake;

    #[test]
    fn each_vote_is_measured_and_tallied() {
        let mut fake = Fake::new(2);
        let mut tally = Tally::new(3);
        let names = Names { stories: TableId(0), votes: TableId(1), view: ViewId(0) };
        let latencies = measure(&mut fake, &names, 2, &mut tally).expect("answers");
        let votes = VOTES + PACED_VOTES;
        assert_eq!(latencies.back_to_back.count() + latencies.paced.count(), u64::from(votes));
        assert_eq!((tally.total(), fake.total()), (u64::from(votes), u64::from(votes)));
        assert_eq!(tally.votes(0), votes / 3);
    }
}
