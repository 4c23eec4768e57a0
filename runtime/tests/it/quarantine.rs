//! A shard that dies of its input: left down, named, and in nobody's way.

use crate::database::*;
use operators::WriteKind;
use runtime::front::{FrontError, RequestError};
use runtime::live::control::Phase;
use runtime::live::{Options, ShardFaults};
use runtime::message::Refusal;
use runtime::{Label, ShardId};
use std::collections::BTreeMap;

const BROKEN: ShardId = ShardId(0);
const WHOLE: ShardId = ShardId(1);
/// So many that the messages about them fill every ring.
const STORIES: i64 = 10_000;

/// The process of one shard aborts whenever it comes to the label that it reaches after some dozens of writes.
fn broken(folder: &Folder) -> Options {
    let mut options = options(folder, SHARDS);
    options.ring_bytes = 64 << 10;
    options.faults = vec![(BROKEN, ShardFaults { abort_at: Some(Label(60)), ..ShardFaults::default() })];
    options
}

/// Writes votes and keeps count of them.
struct Votes {
    client: Client,
    counts: BTreeMap<i64, i64>,
    user: i64,
}

impl Votes {
    /// Votes once for all stories, as far as `shard` takes them. If it does not, the stories come back with the reason.
    fn write(&mut self, shard: ShardId) -> Result<(), (Vec<i64>, RequestError)> {
        self.user += 1;
        let user = self.user;
        let stories: Vec<i64> =
            (0..STORIES).filter(|story| self.client.owner_of_vote(*story, user) == shard).collect();
        let (table, rows) = self.client.vote_rows(stories.iter().map(|story| (*story, user)));
        match self.client.front.write_wait(table, WriteKind::Insert, &rows) {
            Ok(_) => {
                self.count(&stories);
                Ok(())
            }
            Err(FrontError::Refused(error)) => Err((stories, error)),
            Err(other) => panic!("{other}"),
        }
    }

    fn count(&mut self, stories: &[i64]) {
        stories.iter().for_each(|story| *self.counts.entry(*story).or_default() += 1);
    }
}

#[test]
fn a_shard_that_dies_of_its_input_three_times_is_left_down() {
    let folder = Folder::new();
    let supervisor = start(broken(&folder));
    let mut votes = Votes { client: Client::connect(&folder), counts: BTreeMap::new(), user: 0 };
    votes.client.add_stories(0..STORIES);

    // Whoever waits for it is told when it is given up, and nothing is said of what it may have done.
    let (in_doubt, refused) = loop {
        match votes.write(BROKEN) {
            Ok(()) => assert!(votes.user < 100, "it dies of one of them"),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.reason, Refusal::OutcomeUnknown, "{refused}");
    let status = supervisor.status().swap_remove(usize::from(BROKEN.0));
    assert_eq!((status.phase, status.starts, status.pid), (Phase::Quarantined, 3, None));
    let why = status.quarantined.expect("it is in quarantine");
    for part in ["3 times", "at label 59", "link ingest", "SIGABRT"] {
        assert!(why.contains(part), "{why} does not say {part}");
    }

    // From then on it is not even asked.
    let (_, refused) = votes.write(BROKEN).expect_err("fails");
    assert_eq!(refused.reason, Refusal::Down, "{refused}");
    assert!(refused.message.contains(&why), "{refused}");

    // The other one takes writes whose results the broken one would have to take.
    for _ in 0..40 {
        votes.write(WHOLE).expect("it serves");
    }
    let theirs: Vec<i64> =
        (0..STORIES).filter(|story| votes.client.owner_of_story(*story) == WHOLE).take(10).collect();
    let expected: Vec<(i64, i64)> = theirs.iter().map(|story| (*story, votes.counts[story])).collect();
    votes.client.expect_votes(&expected);
    assert_eq!(supervisor.status()[usize::from(WHOLE.0)].starts, 1);
    supervisor.stop();

    // A new server gives it a new chance, and what was in doubt had been made durable before it was consumed.
    votes.count(&in_doubt);
    let supervisor = start(broken(&folder));
    until("it is given up again", || supervisor.status()[0].phase == Phase::Quarantined);
    assert_eq!(supervisor.status()[0].starts, 3);
    supervisor.stop();
    let supervisor = start(options(&folder, SHARDS));
    let expected: Vec<(i64, i64)> = votes.counts.iter().map(|(story, count)| (*story, *count)).collect();
    Client::connect(&folder).expect_votes(&expected);
    supervisor.stop();
}
