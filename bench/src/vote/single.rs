//! The time of a single write on an idle engine: one vote at a time, each sent when the one before is acknowledged.

use std::time::{Duration, Instant};

use operators::{Rows, WriteKind};

use crate::error::Error;
use crate::latencies::Latencies;
use crate::tally::Tally;
use crate::vote::port::{Outcome, Port};
use crate::vote::workload::{Names, RowWriter};

/// Users that no generator uses.
const FIRST_USER: i64 = 1 << 60;
/// Sleep between two looks at the time.
const WAIT: Duration = Duration::from_millis(100);
/// How long one acknowledgement may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Casts `votes` votes for the first stories, one after another, and counts them in `tally`.
pub fn measure(
    port: &mut impl Port,
    names: &Names,
    shards: u16,
    votes: u32,
    tally: &mut Tally,
) -> Result<Latencies, Error> {
    let (mut writer, mut rows) = (RowWriter::new(shards), Rows::new());
    let (mut latencies, mut answers) = (Latencies::new(), Vec::new());
    for vote in 0..votes {
        let story = vote % tally.stories();
        rows.clear();
        let (shard, row) = writer.vote(story, FIRST_USER + i64::from(vote));
        rows.push(row);
        let begin = Instant::now();
        port.write(shard, names.votes, WriteKind::Insert, &rows).map_err(Error::engine("write a vote"))?;
        while answers.is_empty() {
            port.wait(WAIT, &mut answers).map_err(Error::engine("wait for an acknowledgement"))?;
            if begin.elapsed() > TIMEOUT {
                return Err(Error::Timeout { what: "an acknowledgement", seconds: TIMEOUT.as_secs() });
            }
        }
        latencies.record(begin.elapsed().as_nanos() as u64, 1);
        for answer in answers.drain(..) {
            match answer.outcome {
                Outcome::Written(1) => tally.acknowledged(story),
                other => return Err(Error::Engine { action: "write a vote", reason: format!("{other:?}") }),
            }
        }
    }
    Ok(latencies)
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
        let latencies = measure(&mut fake, &names, 2, 10, &mut tally).expect("answers");
        assert_eq!((latencies.count(), tally.total(), fake.total()), (10, 10, 10));
        assert_eq!(tally.votes(0), 4);
    }
}
