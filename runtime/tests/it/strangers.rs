//! Programs that do not keep to the rules, and machines that do not offer what is needed.

use crate::database::*;
use operators::expr::col;
use operators::{Datum, PlanBuilder, RowBuilder, Rows, Type, WriteKind, asc, column};
use runtime::ShardId;
use runtime::front::{Front, FrontError};
use runtime::live::bell::Bell;
use runtime::live::control::Phase;
use runtime::live::layout::{FrontFolder, RunFolder, find_run_folder};
use runtime::live::{StartError, Supervisor};
use runtime::ring::{Producer, RingMemory};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

const SHARD: ShardId = ShardId(1);

/// Waits until a front has been told that it is not wanted any more.
fn wait_for_the_door(front: &mut Front) {
    until("the front is cut off", || {
        matches!(front.wait(Duration::from_millis(1), &mut Vec::new()), Err(FrontError::Gone(_)))
    });
}

fn write(path: &Path, bytes: &[u8], offset: u64) {
    File::options().write(true).open(path).and_then(|file| file.write_all_at(bytes, offset)).expect("writes");
}

/// Puts messages on a ring whose end is somebody else's: in a copy, which is then written over it.
fn push(path: &Path, messages: &[(u64, &[u8])]) {
    let copy = path.with_extension("copy");
    std::fs::copy(path, &copy).expect("copies");
    let mut producer = Producer::attach(&RingMemory::open(&copy).expect("opens")).expect("attaches");
    messages.iter().for_each(|(label, bytes)| producer.push(*label, bytes).expect("there is room"));
    drop(producer);
    write(path, &std::fs::read(&copy).expect("reads"), 0);
}

/// What a front gone mad may do, in a folder of its own.
fn go_mad(how: u64, random: &mut fastrand::Rng, run: &RunFolder, folder: &FrontFolder) {
    let requests = folder.requests(SHARD);
    let mut noise = [0; 512];
    random.fill(&mut noise);
    match how {
        // The published index.
        0 => write(&requests, &noise[..8], 128),
        // All that the shard needs to know of the replies' ring, when there is something to reply to.
        1 => {
            push(&requests, &[(1, &noise)]);
            write(&folder.replies(SHARD), &noise, 0);
        }
        // Frames that are whole, with nothing sensible in them.
        2 => {
            let parts: Vec<(u64, &[u8])> =
                (0..20).map(|_| (random.u64(..), &noise[..random.usize(..noise.len())])).collect();
            push(&requests, &parts);
        }
        // A frame that is not what its checksum says.
        _ => {
            write(&requests, &noise[..64], 4096);
            write(&requests, &64u64.to_le_bytes(), 128);
        }
    }
    Bell::connect(&run.shard_bell(SHARD)).expect("connects").ring(&AtomicU64::new(0));
}

#[test]
fn a_front_that_writes_garbage_into_its_rings_hurts_itself_alone() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let run = find_run_folder(&folder.0).expect("it runs");
    let mut client = Client::connect(&folder);
    client.add_stories(0..10);
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..40 {
        let mut mad = Front::connect(&folder.0).expect("there is a slot");
        go_mad(round % 4, &mut random, &run, &run.front(mad.id()));
        // Whether the shard notices the others depends on when it looks; at worst the front hears nothing more.
        if matches!(round % 4, 0 | 3) {
            wait_for_the_door(&mut mad);
        }
        client.vote((0..10).map(|story| (story, round as i64)));
        client.expect_votes(&(0..10).map(|story| (story, round as i64 + 1)).collect::<Vec<_>>());
    }
    let status = supervisor.status();
    assert!(status.iter().all(|shard| shard.starts == 1 && shard.fault.is_none()), "{status:?}");
    supervisor.stop();
}

#[test]
fn a_shard_comes_back_in_spite_of_a_front_that_wrote_over_what_it_was_told() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let run = find_run_folder(&folder.0).expect("it runs");
    let mut client = Client::connect(&folder);
    client.add_stories(0..10);
    client.vote((0..10).map(|story| (story, 1)));
    let mut mad = Front::connect(&folder.0).expect("there is a slot");
    let mut keys = Rows::new();
    (0..10).for_each(|story| keys.push_values(&mut RowBuilder::new(), &[Datum::Int(story)]));
    let view = mad.plan().view("story_votes").expect("is there").id;
    mad.lookup_wait(view, &keys, 1).expect("is answered");
    // Whole by its checksum, and no reply.
    push(&run.front(mad.id()).replies(SHARD), &[(u64::MAX / 2, &[7; 100])]);
    assert!(supervisor.kill(SHARD, libc::SIGKILL));
    until("the recovery is complete", || !supervisor.recoveries().is_empty());
    client.expect_votes(&(0..10).map(|story| (story, 1)).collect::<Vec<_>>());
    wait_for_the_door(&mut mad);
    assert_eq!(supervisor.status()[1].starts, 2);
    supervisor.stop();
}

#[test]
fn rows_have_a_size_limit_that_is_said() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let mut client = Client::connect(&folder);
    let stories = client.front.plan().table("stories").expect("is there").id;
    let mut builder = RowBuilder::new();
    let mut row_with = |bytes: usize| {
        let mut rows = Rows::new();
        rows.push_values(&mut builder, &[Datum::Int(1), Datum::Text(&"x".repeat(bytes))]);
        rows
    };
    let error =
        client.front.write_wait(stories, WriteKind::Upsert, &row_with(2 << 20)).expect_err("too large");
    assert!(matches!(error, FrontError::Invalid(_)), "{error}");
    assert!(error.to_string().contains("stories"), "{error}");
    // What is just below the limit passes through log, rings and replies.
    client.front.write_wait(stories, WriteKind::Upsert, &row_with((1 << 20) - 64)).expect("fits");
    client.vote([(1, 1)]);
    let view = client.front.plan().view("story_votes").expect("is there").id;
    let mut key = Rows::new();
    key.push_values(&mut RowBuilder::new(), &[Datum::Int(1)]);
    until("the story is in the view", || {
        let (counts, rows) = client.front.lookup_wait(view, &key, 1).expect("is answered");
        counts == [1] && rows.iter().next().is_some_and(|row| row.text(1).len() == (1 << 20) - 64)
    });
    assert!(supervisor.status().iter().all(|shard| shard.starts == 1));
    supervisor.stop();
}

#[test]
fn a_plan_that_cannot_be_installed_changes_nothing() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let mut mistaken = PlanBuilder::extend(plan());
    let users = mistaken.table("users", &[column("id", Type::Int)], &["id"]).expect("is new");
    let error = mistaken.map(users, &[("name", col("name"))]).expect_err("no such column").to_string();
    assert!(error.contains("name"), "{error}");
    assert!(plan().table("nowhere").is_err());
    // A plan that does not go on from the one that is installed.
    let mut other = PlanBuilder::new();
    let users = other.table("users", &[column("id", Type::Int)], &["id"]).expect("is new");
    other.view("users", users, &["id"], &[asc("id")]).expect("is new");
    let error = supervisor.install(other.build().expect("it is a plan")).expect_err("is refused");
    assert!(matches!(error, StartError::Plan(_)), "{error}");
    let mut client = Client::connect(&folder);
    client.add_stories([1]);
    client.vote([(1, 1)]);
    client.expect_votes(&[(1, 1)]);
    assert!(client.front.plan().view("users").is_err());
    supervisor.stop();
    start(options(&folder, SHARDS)).stop();
}

#[test]
fn without_io_uring_the_server_says_what_to_do() {
    let folder = Folder::new();
    let server = Command::new(env!("CARGO_BIN_EXE_shard-host"))
        .args(["without-io-uring".as_ref(), "serve".as_ref(), folder.0.as_os_str(), "2".as_ref()])
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&server.stderr);
    assert!(!server.status.success());
    for part in ["io_uring cannot be used", "not permitted", "kernel.io_uring_disabled", "seccomp"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn shards_without_io_uring_are_not_started_again_and_again() {
    let folder = Folder::new();
    let mut options = options(&folder, SHARDS);
    options.args.insert(0, "without-io-uring".into());
    let supervisor = Supervisor::start(options).expect("the supervisor itself can use it");
    assert!(supervisor.wait_serving(DEADLINE));
    for status in supervisor.status() {
        assert_eq!((status.phase, status.starts), (Phase::Quarantined, 1));
        let why = status.quarantined.expect("it is down");
        assert!(why.contains("io_uring cannot be used") && why.contains("seccomp"), "{why}");
    }
    let mut client = Client::connect(&folder);
    let (table, rows) = client.vote_rows([(1, 1)]);
    let error = client.front.write_wait(table, WriteKind::Insert, &rows).expect_err("nobody serves");
    assert!(error.to_string().contains("io_uring"), "{error}");
    supervisor.stop();
}
