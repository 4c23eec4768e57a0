//! Processes that die.

use crate::database::*;
use operators::{Datum, RowBuilder, Rows};
use runtime::ShardId;
use runtime::front::{Completion, Front, FrontError, Outcome};
use runtime::live::layout::find_run_folder;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn writes_are_visible_and_survive_a_clean_stop() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let mut client = Client::connect(&folder);
    client.add_stories(0..100);
    client.vote((0..100).flat_map(|story| (0..story).map(move |user| (story, user))));
    let expected: Vec<(i64, i64)> = (1..100).map(|story| (story, story)).collect();
    client.expect_votes(&expected);
    assert_eq!(client.votes_of(&[0, 1000]), [None, None]);
    supervisor.stop();
    assert!(matches!(client.front.wait(DEADLINE, &mut Vec::new()), Err(FrontError::Gone(_))));

    let supervisor = start(options(&folder, SHARDS));
    Client::connect(&folder).expect_votes(&expected);
    supervisor.stop();
}

/// Keeps writes of votes under way until told to stop, then returns the votes of each story.
fn vote_until(folder: &Folder, seed: u64, stop: &AtomicBool) -> BTreeMap<i64, i64> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut client = Client::connect(folder);
    let (mut votes, mut completions, mut under_way) = (BTreeMap::new(), Vec::new(), 0);
    let mut user = seed as i64 * 1_000_000_000;
    while !stop.load(Ordering::Relaxed) || under_way > 0 {
        if !stop.load(Ordering::Relaxed) && under_way < 16 {
            let batch: Vec<(i64, i64)> = (0..random.i64(1..20))
                .map(|_| {
                    user += 1;
                    (random.i64(0..50), user)
                })
                .collect();
            batch.iter().for_each(|(story, _)| *votes.entry(*story).or_default() += 1);
            let (table, rows) = client.vote_rows(batch);
            client.front.write(table, operators::WriteKind::Insert, &rows).expect("there is room");
            under_way += 1;
        }
        client.front.wait(Duration::from_millis(1), &mut completions).expect("no error reaches a client");
        for Completion { outcome, .. } in completions.drain(..) {
            assert!(matches!(outcome, Outcome::Written { .. }), "{outcome:?}");
            under_way -= 1;
        }
    }
    votes
}

#[test]
fn shards_killed_under_load_lose_and_double_nothing() {
    // Four of them share two cores on a small machine.
    for shards in [1, SHARDS, 3, 4] {
        let folder = Folder::new();
        let supervisor = start(options(&folder, shards));
        Client::connect(&folder).add_stories(0..50);
        let stop = AtomicBool::new(false);
        let votes = std::thread::scope(|scope| {
            let writers: Vec<_> = (1..3)
                .map(|seed| {
                    let (folder, stop) = (&folder, &stop);
                    scope.spawn(move || vote_until(folder, seed, stop))
                })
                .collect();
            let mut random = fastrand::Rng::with_seed(7);
            for kill in 1..=15 {
                let shard = ShardId(random.u16(0..shards));
                let signal = [libc::SIGKILL, libc::SIGSEGV, libc::SIGABRT][random.usize(0..3)];
                until("there is a process to kill", || supervisor.kill(shard, signal));
                // Every third time the next one is killed while this one recovers.
                let wanted = if kill % 3 == 0 { 0 } else { kill };
                until("it recovers", || supervisor.recoveries().len() >= wanted);
                let rows = |shard: &runtime::live::ShardStatus| shard.rows_written;
                until("it works", || supervisor.status().iter().map(rows).sum::<u64>() > 0);
            }
            stop.store(true, Ordering::Relaxed);
            let votes = writers.into_iter().map(|writer| writer.join().expect("no writer fails"));
            votes.reduce(add_up).expect("there are writers")
        });
        let expected: Vec<(i64, i64)> = votes.into_iter().collect();
        Client::connect(&folder).expect_votes(&expected);
        until("all kills are accounted for", || supervisor.recoveries().len() == 15);
        for recovery in supervisor.recoveries() {
            let times = [
                recovery.detected_ms,
                recovery.restarted_ms,
                recovery.replayed_ms,
                recovery.steered_ms,
                recovery.caught_up_ms,
            ];
            assert!(times.is_sorted(), "{recovery:?}");
        }
        supervisor.stop();
    }
}

fn add_up(mut sum: BTreeMap<i64, i64>, more: BTreeMap<i64, i64>) -> BTreeMap<i64, i64> {
    more.into_iter().for_each(|(story, votes)| *sum.entry(story).or_default() += votes);
    sum
}

#[test]
fn a_stopped_shard_is_replaced_by_the_watchdog() {
    let folder = Folder::new();
    let mut options = options(&folder, SHARDS);
    options.stall_timeout = Duration::from_millis(500);
    let supervisor = start(options);
    let mut client = Client::connect(&folder);
    client.add_stories(0..10);
    assert!(supervisor.kill(ShardId(1), libc::SIGSTOP));
    client.vote((0..10).map(|story| (story, 1)));
    client.expect_votes(&(0..10).map(|story| (story, 1)).collect::<Vec<_>>());
    until("the recovery is complete", || !supervisor.recoveries().is_empty());
    let recovery = &supervisor.recoveries()[0];
    assert_eq!((recovery.shard, recovery.signal), (ShardId(1), libc::SIGSTOP));
    assert!(recovery.detected_ms >= 400.0, "{recovery:?}");
    supervisor.stop();
}

#[test]
fn a_shard_that_is_stopped_and_continued_goes_on() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let mut client = Client::connect(&folder);
    client.add_stories(0..10);
    for user in 0..20 {
        let shard = ShardId((user % 2) as u16);
        assert!(supervisor.kill(shard, libc::SIGSTOP));
        let (table, rows) = client.vote_rows((0..10).map(|story| (story, user)));
        let write = client.front.write(table, operators::WriteKind::Insert, &rows).expect("there is room");
        let mut completions = Vec::new();
        client.front.wait(Duration::from_millis(5), &mut completions).expect("no error reaches a client");
        assert!(completions.is_empty(), "a part of the rows belongs to the stopped shard");
        assert!(supervisor.kill(shard, libc::SIGCONT));
        until("the write is acknowledged", || {
            client.front.wait(DEADLINE, &mut completions).expect("no error reaches a client");
            !completions.is_empty()
        });
        assert_eq!(completions[0].request, write);
        assert!(matches!(completions[0].outcome, Outcome::Written { changed: 10 }), "{completions:?}");
    }
    client.expect_votes(&(0..10).map(|story| (story, 20)).collect::<Vec<_>>());
    assert!(supervisor.status().iter().all(|shard| shard.starts == 1));
    // Having been stopped once is not what it dies of later.
    assert!(supervisor.kill(ShardId(1), libc::SIGSTOP) && supervisor.kill(ShardId(1), libc::SIGCONT));
    let pid = supervisor.pid(ShardId(1)).expect("it lives") as libc::pid_t;
    let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("runs");
    assert!(killed.success());
    until("the recovery is complete", || !supervisor.recoveries().is_empty());
    assert_eq!(supervisor.recoveries()[0].signal, libc::SIGKILL);
    client.expect_votes(&(0..10).map(|story| (story, 20)).collect::<Vec<_>>());
    supervisor.stop();
}

#[test]
fn without_causal_logging_the_server_serves() {
    let folder = Folder::new();
    let mut without = options(&folder, SHARDS);
    without.causal_logging = false;
    let supervisor = start(without.clone());
    let mut client = Client::connect(&folder);
    client.add_stories(0..100);
    client.vote((0..100).flat_map(|story| (0..story).map(move |user| (story, user))));
    let expected: Vec<(i64, i64)> = (1..100).map(|story| (story, story)).collect();
    client.expect_votes(&expected);
    let status = supervisor.status();
    assert_eq!(status.iter().map(|shard| shard.clock_bytes).sum::<u64>(), 0, "{status:?}");
    supervisor.stop();
    // Client writes are durable all the same.
    let supervisor = start(without);
    Client::connect(&folder).expect_votes(&expected);
    supervisor.stop();
}

/// A program that is killed when the test ends, however it does.
struct Program(Child);

impl Program {
    fn start(args: &[&std::ffi::OsStr]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shard-host"));
        let command = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        Program(command.spawn().expect("starts"))
    }

    fn kill(&mut self) {
        self.0.kill().expect("it is there");
        self.0.wait().expect("it is ours");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has been killed already if this fails.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn fronts_that_die_leave_what_was_acknowledged_and_free_their_place() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let mut acknowledged = Vec::new();
    // Twice as many as there are places.
    for _ in 0..8 {
        let mut program = Program::start(&["front".as_ref(), folder.0.as_os_str()]);
        let mut lines = BufReader::new(program.0.stdout.take().expect("piped")).lines();
        let first = lines.next().map(|line| line.expect("reads"));
        let Some(first) = first else { continue };
        acknowledged.push(first.parse::<i64>().expect("an id"));
        program.kill();
        let full = |front: Result<Front, FrontError>| front.is_err();
        until("there is a free place", || !full(Front::connect(&folder.0)));
    }
    assert!(!acknowledged.is_empty());
    let mut client = Client::connect(&folder);
    client.vote(acknowledged.iter().map(|story| (*story, 1)).collect::<BTreeMap<_, _>>());
    let mut keys = Rows::new();
    keys.push_values(&mut RowBuilder::new(), &[Datum::Int(acknowledged[0])]);
    let view = client.front.plan().view("story_votes").expect("is there").id;
    until("the story is found", || client.front.lookup_wait(view, &keys, 1).expect("is answered").0 == [1]);
    supervisor.stop();
}

#[test]
fn all_processes_may_die_at_once() {
    let folder = Folder::new();
    start(options(&folder, SHARDS)).stop();
    let mut expected = BTreeMap::new();
    for round in 0..4 {
        let shards = SHARDS.to_string();
        let mut server = Program::start(&["serve".as_ref(), folder.0.as_os_str(), shards.as_ref()]);
        let line = BufReader::new(server.0.stdout.take().expect("piped")).lines().next();
        assert_eq!(line.expect("says something").expect("reads"), "serving");
        let mut client = Client::connect(&folder);
        client.add_stories(0..30);
        for user in 0..20 {
            client.vote((0..30).map(|story| (story, round * 1000 + user)));
            (0..30).for_each(|story| *expected.entry(story).or_default() += 1);
        }
        server.kill();
        let lost =
            |client: &mut Client| client.front.wait(Duration::from_millis(10), &mut Vec::new()).is_err();
        until("the front notices", || lost(&mut client));
    }
    let supervisor = start(options(&folder, SHARDS));
    Client::connect(&folder).expect_votes(&expected.into_iter().collect::<Vec<_>>());
    supervisor.stop();
}

#[test]
fn what_a_killed_server_left_in_memory_goes_with_the_next() {
    let folder = Folder::new();
    start(options(&folder, SHARDS)).stop();
    let shards = SHARDS.to_string();
    let mut server = Program::start(&["serve".as_ref(), folder.0.as_os_str(), shards.as_ref()]);
    let line = BufReader::new(server.0.stdout.take().expect("piped")).lines().next();
    assert_eq!(line.expect("says something").expect("reads"), "serving");
    let left = find_run_folder(&folder.0).expect("it runs").0;
    server.kill();
    drop(folder);
    let other = Folder::new();
    let supervisor = start(options(&other, SHARDS));
    assert!(!left.exists(), "nobody else would ever remove it");
    // One that runs keeps what it has.
    let run = find_run_folder(&other.0).expect("it runs").0;
    let third = Folder::new();
    start(options(&third, SHARDS)).stop();
    assert!(run.exists());
    Client::connect(&other).add_stories([1]);
    supervisor.stop();
}
