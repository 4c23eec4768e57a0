//! Before and after a run: the stories are written, and every count is compared with the tally.

use std::time::{Duration, Instant};

use fastrand::Rng;
use operators::Rows;
use runtime::ShardId;

use crate::error::Error;
use crate::tally::{Tally, Verdict};
use crate::vote::lane::{Kind, Lanes, Message};
use crate::vote::port::{Outcome, Port};
use crate::vote::workload::{Names, RowWriter, read_shown, story_of};

/// Rows or keys of one message.
const ROWS_PER_MESSAGE: u32 = 1_000;
/// How long counts may stay short of the tally without any of them growing: then they are wrong, not late.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(20);
/// The first few differences are told.
const DIFFERENCES_KEPT: usize = 5;

/// What the comparison found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Stories whose title or count is wrong.
    pub wrong_rows: u64,
    /// The first of them, in words.
    pub differences: Vec<String>,
}

/// Writes all stories, each to the shard that owns it, in random order: popular stories must not be neighbours in the shards'
/// memory.
pub fn load(
    port: &mut impl Port,
    names: &Names,
    owners: &[u16],
    shards: u16,
    seed: u64,
) -> Result<(), Error> {
    let mut order: Vec<u32> = (0..owners.len() as u32).collect();
    Rng::with_seed(seed).shuffle(&mut order);
    let mut writer = RowWriter::new(shards);
    let mut lanes = Lanes::new(shards);
    push_by_owner(&mut lanes, owners, order.into_iter(), shards, Kind::Stories, |story, rows| {
        writer.push_story(story, rows);
    });
    let mut failure = None;
    lanes.drain(port, names, |message, outcome| match outcome {
        Outcome::Written(changed) if changed == message.rows.count => {}
        other => failure = Some(format!("{other:?}")),
    })?;
    match failure {
        None => Ok(()),
        Some(reason) => Err(Error::Engine { action: "write the stories", reason }),
    }
}

/// Compares every story with the tally. Counts that are short are read again as long as some of them grow; when all are
/// right, all are read once more, as something may have been counted twice a moment later.
pub fn verify(
    port: &mut impl Port,
    names: &Names,
    owners: &[u16],
    shards: u16,
    tally: &Tally,
) -> Result<Verified, Error> {
    let mut open: Vec<u32> = (0..tally.stories()).collect();
    let mut shortest = u64::MAX;
    let mut progress = Instant::now();
    while !open.is_empty() && progress.elapsed() < SETTLE_TIMEOUT {
        let mut short = 0;
        let mut still_open = Vec::new();
        read(port, names, owners, shards, &open, |story, found| {
            match found.map(|votes| tally.check(story, votes)) {
                Some(Verdict::Right) => {}
                Some(Verdict::Missing(votes)) => {
                    short += votes;
                    still_open.push(story);
                }
                Some(Verdict::TooMany(_)) | None => still_open.push(story),
            }
        })?;
        if short < shortest {
            shortest = short;
            progress = Instant::now();
        } else if short == 0 {
            // Those that are left are wrong for good.
            break;
        }
        open = still_open;
    }
    let mut verified = Verified::default();
    let all: Vec<u32> = (0..tally.stories()).collect();
    read(port, names, owners, shards, &all, |story, found| {
        let difference = match found.map(|votes| (votes, tally.check(story, votes))) {
            Some((_, Verdict::Right)) => return,
            Some((votes, _)) => {
                format!("story {story} has {votes} votes, acknowledged were {}", tally.votes(story))
            }
            None => format!("story {story} has no row, several rows, or another title"),
        };
        verified.wrong_rows += 1;
        if verified.differences.len() < DIFFERENCES_KEPT {
            verified.differences.push(difference);
        }
    })?;
    Ok(verified)
}

/// Looks stories up; gives each with its votes, or with nothing if its row is not as it should be.
fn read(
    port: &mut impl Port,
    names: &Names,
    owners: &[u16],
    shards: u16,
    stories: &[u32],
    mut take: impl FnMut(u32, Option<u64>),
) -> Result<(), Error> {
    let mut writer = RowWriter::new(shards);
    let mut lanes = Lanes::new(shards);
    push_by_owner(&mut lanes, owners, stories.iter().copied(), shards, Kind::Lookups, |story, rows| {
        writer.push_key(story, rows);
    });
    lanes.drain(port, names, |message, outcome| {
        let Outcome::Found { counts, rows } = outcome else {
            message.rows.iter().for_each(|key| take(story_of(key), None));
            return;
        };
        let mut found = rows.iter();
        for (index, key) in message.rows.iter().enumerate() {
            let story = story_of(key);
            let count = counts.get(index).copied().unwrap_or(0);
            let shown = found.next().filter(|_| count == 1).map(|row| read_shown(story, row));
            found.by_ref().take((count as usize).saturating_sub(1)).for_each(drop);
            take(story, shown.filter(|shown| shown.right).map(|shown| shown.votes));
        }
    })
}

fn push_by_owner(
    lanes: &mut Lanes,
    owners: &[u16],
    stories: impl Iterator<Item = u32>,
    shards: u16,
    kind: Kind,
    mut push: impl FnMut(u32, &mut Rows),
) {
    let mut open: Vec<Rows> = (0..shards).map(|_| Rows::new()).collect();
    let send = |lanes: &mut Lanes, shard: u16, rows: Rows| {
        lanes.push(Message { kind, shard: ShardId(shard), due_ns: 0, rows, again: false });
    };
    for story in stories {
        let owner = owners[story as usize];
        let rows = &mut open[usize::from(owner)];
        push(story, rows);
        if rows.count == ROWS_PER_MESSAGE {
            let full = std::mem::take(rows);
            send(lanes, owner, full);
        }
    }
    for (shard, rows) in open.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
        send(lanes, shard as u16, rows);
    }
}

#[cfg(test)]
mod tests {
    use operators::{TableId, ViewId, WriteKind};

    use super::*;
    use crate::vote::fake::Fake;
    use crate::vote::workload::story_owners;

    const STORIES: u32 = 2_500;
    const NAMES: Names = Names { stories: TableId(0), votes: TableId(1), view: ViewId(0) };

    fn vote(fake: &mut Fake, story: u32, user: i64) {
        let (mut writer, mut rows) = (RowWriter::new(2), Rows::new());
        let (shard, row) = writer.vote(story, user);
        rows.push(row);
        fake.write(shard, NAMES.votes, WriteKind::Insert, &rows).expect("not busy");
        fake.wait(Duration::ZERO, &mut Vec::new()).expect("alive");
    }

    #[test]
    fn what_matches_the_tally_is_right_and_what_does_not_is_told() {
        let mut fake = Fake::new(2);
        let owners = story_owners(STORIES, 2);
        let mut tally = Tally::new(STORIES);
        vote(&mut fake, 3, 1);
        vote(&mut fake, 3, 2);
        tally.acknowledged(3);
        tally.acknowledged(3);
        let verified = verify(&mut fake, &NAMES, &owners, 2, &tally).expect("answers");
        assert_eq!(verified.wrong_rows, 0, "{:?}", verified.differences);

        vote(&mut fake, 2_400, 1);
        let verified = verify(&mut fake, &NAMES, &owners, 2, &tally).expect("answers");
        assert_eq!(verified.wrong_rows, 1);
        assert_eq!(verified.differences, ["story 2400 has 1 votes, acknowledged were 0"]);
    }

    #[test]
    fn votes_that_become_visible_late_are_waited_for() {
        let mut fake = Fake::new(2);
        let owners = story_owners(STORIES, 2);
        let mut tally = Tally::new(STORIES);
        tally.acknowledged(7);
        fake.vote_later(7, 1);
        let verified = verify(&mut fake, &NAMES, &owners, 2, &tally).expect("answers");
        assert_eq!(verified.wrong_rows, 0, "{:?}", verified.differences);
    }
}
