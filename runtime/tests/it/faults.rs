//! Damage, full disks, broken rings, and what people do wrong.

use crate::database::*;
use operators::WriteKind;
use runtime::ShardId;
use runtime::front::{Front, FrontError};
use runtime::live::control::Phase;
use runtime::live::layout::{DataFolder, find_run_folder};
use runtime::live::{Options, ShardFaults, StartError, Supervisor};
use runtime::message::Refusal;
use std::fs::File;
use std::os::unix::fs::{FileExt, PermissionsExt};
use wal::Faults;

#[test]
fn a_second_server_on_a_folder_is_refused() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, 1));
    let error = Supervisor::start(options(&folder, 1)).err().expect("is refused");
    assert!(matches!(error, StartError::InUse { .. }));
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    Client::connect(&folder).add_stories([1]);
    supervisor.stop();
    let error = Supervisor::start(options(&folder, 2)).err().expect("is refused");
    assert!(error.to_string().contains("made with 1 shards"), "{error}");
    start(options(&folder, 1)).stop();
}

#[test]
fn nothing_is_open_to_others() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let run = find_run_folder(&folder.0).expect("it runs").0;
    let _front = Front::connect(&folder.0).expect("connects");
    let mut looked_at = 0;
    let mut todo = vec![run.clone(), folder.0.join("shard-0"), folder.0.join("catalogue")];
    while let Some(path) = todo.pop() {
        for entry in std::fs::read_dir(&path).expect("lists") {
            let entry = entry.expect("lists");
            let kind = entry.file_type().expect("has a type");
            if kind.is_dir() {
                todo.push(entry.path());
            }
            looked_at += 1;
        }
        let mode = std::fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o77, 0, "{} has mode {mode:o}", path.display());
    }
    assert!(looked_at > 10);
    supervisor.stop();
    assert!(!run.exists(), "the run folder goes with the server");
}

#[test]
fn without_a_server_a_front_is_told_so() {
    let folder = Folder::new();
    assert!(matches!(Front::connect(&folder.0), Err(FrontError::Join { .. })));
    let supervisor = start(options(&folder, 1));
    let fronts: Vec<Front> = (0..4).map(|_| Front::connect(&folder.0).expect("there is a slot")).collect();
    let error = Front::connect(&folder.0).expect_err("all slots are taken").to_string();
    assert!(error.contains("slots"), "{error}");
    drop(fronts);
    until("the slots are free again", || Front::connect(&folder.0).is_ok());
    supervisor.stop();
}

#[test]
fn refusals_say_what_is_wrong() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let mut client = Client::connect(&folder);
    client.vote([(1, 1)]);
    let (table, rows) = client.vote_rows([(1, 1)]);
    let error = client.front.write_wait(table, WriteKind::Insert, &rows);
    assert!(matches!(&error, Err(FrontError::Refused(e)) if e.reason == Refusal::DuplicateKey), "{error:?}");
    let error = client.front.write_wait(operators::TableId(99), WriteKind::Insert, &rows);
    assert!(matches!(error, Err(FrontError::Unknown(_))), "{error:?}");
    let stories = client.front.plan().table("stories").expect("is there").id;
    let error = client.front.write_wait(stories, WriteKind::Insert, &rows);
    assert!(matches!(error, Err(FrontError::Invalid(_))), "{error:?}");
    supervisor.stop();
}

#[test]
fn a_plan_is_added_while_the_server_runs() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let mut client = Client::connect(&folder);
    supervisor.install(extended()).expect("installs");
    client.front.refresh_plan().expect("reads");
    client.add_stories([1]);
    client.vote([(1, 1)]);
    client.expect_votes(&[(1, 1)]);
    assert!(client.front.plan().view("users").is_ok());
    supervisor.stop();
    let supervisor = start({
        let mut options = options(&folder, SHARDS);
        options.plan = None;
        options
    });
    let mut client = Client::connect(&folder);
    assert!(client.front.plan().view("users").is_ok());
    client.expect_votes(&[(1, 1)]);
    supervisor.stop();
}

/// Views over tables that have rows: shards die while the rows flow, and writes go on.
#[test]
fn views_are_added_over_rows_that_are_there() {
    const STORIES: i64 = 2_000;
    const USERS: i64 = 10;
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let mut client = Client::connect(&folder);
    client.add_stories(0..STORIES);
    for user in 0..USERS {
        client.vote((0..STORIES).map(|story| (story, user)));
    }
    supervisor.install(filled()).expect("installs");
    client.front.refresh_plan().expect("reads");
    let expect_votes = |client: &mut Client, users: i64| {
        for user in [0, users - 1] {
            until("the new view has all votes", || client.votes_of_user(user) == Some(STORIES));
        }
        client.expect_votes(&[(0, users), (STORIES - 1, users)]);
    };
    for round in 0..6 {
        let shard = ShardId(round % SHARDS);
        let before = supervisor.pid(shard);
        assert!(supervisor.kill(shard, libc::SIGKILL));
        let user = USERS + i64::from(round);
        client.vote((0..STORIES).map(|story| (story, user)));
        until("it has been replaced", || {
            let now = supervisor.pid(shard);
            now.is_some() && now != before
        });
    }
    expect_votes(&mut client, USERS + 6);
    supervisor.stop();

    let supervisor = start(Options { plan: None, ..options(&folder, SHARDS) });
    let mut client = Client::connect(&folder);
    expect_votes(&mut client, USERS + 6);
    supervisor.install(without_story_votes()).expect("installs");
    client.front.refresh_plan().expect("reads");
    assert!(client.front.plan().view("story_votes").is_err(), "it has been dropped");
    until("the shards have heard of it", || client.story_votes_is_refused());
    client.vote([(0, -1)]);
    until("the other view goes on", || client.votes_of_user(-1) == Some(1));
    supervisor.stop();
}

#[test]
fn a_damaged_log_keeps_only_its_own_shard_down() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let mut client = Client::connect(&folder);
    client.add_stories(0..100);
    for user in 0..20 {
        client.vote((0..100).map(|story| (story, user)));
    }
    supervisor.stop();
    let segment = DataFolder(folder.0.clone()).shard_log(ShardId(0)).join("00000001.segment");
    let file = File::options().read(true).write(true).open(&segment).expect("opens");
    let mut byte = [0];
    file.read_exact_at(&mut byte, 4096 + 100).expect("reads");
    file.write_all_at(&[byte[0] ^ 1], 4096 + 100).expect("writes");

    let supervisor = start(options(&folder, SHARDS));
    let status = supervisor.status();
    let why = status[0].quarantined.as_deref().expect("it cannot start");
    assert!(why.contains("00000001.segment") && why.contains("offset"), "{why}");
    assert_eq!((status[0].phase, status[1].phase), (Phase::Quarantined, Phase::Running));
    let mut client = Client::connect(&folder);
    // The stories of the other shard are still there, with at least the votes that it had consumed.
    let view = client.front.plan().view("story_votes").expect("is there").clone();
    let mut found = 0;
    for story in 0..100 {
        let mut key = operators::Rows::new();
        key.push_values(&mut operators::RowBuilder::new(), &[operators::Datum::Int(story)]);
        let row = key.iter().next().expect("one key");
        if client.front.owner_of_key(view.id, row).expect("a view") == ShardId(1) {
            found += client.front.lookup_wait(view.id, &key, 1).expect("is answered").0[0];
        }
    }
    assert!(found > 0);
    supervisor.stop();

    // Put right again, the log is whole: nothing had been changed.
    file.write_all_at(&byte, 4096 + 100).expect("writes");
    let supervisor = start(options(&folder, SHARDS));
    Client::connect(&folder).expect_votes(&(0..100).map(|story| (story, 20)).collect::<Vec<_>>());
    supervisor.stop();
}

#[test]
fn a_full_disk_refuses_writes_and_recovers() {
    let folder = Folder::new();
    let mut options = options(&folder, 1);
    let full = folder.0.join("full");
    let log = Faults { no_room_while_exists: Some(full.clone()), ..Faults::default() };
    options.faults = vec![(ShardId(0), ShardFaults { log, abort_at: None })];
    let supervisor = start(options);
    let mut client = Client::connect(&folder);
    client.add_stories(0..10);
    std::fs::write(&full, "").expect("writes");
    let mut written = 0;
    let refused = loop {
        let (table, rows) = client.vote_rows((0..10_000).map(|k| (k % 10, written * 10_000 + k)));
        match client.front.write_wait(table, WriteKind::Insert, &rows) {
            Ok(_) => written += 1,
            Err(FrontError::Refused(error)) => break error,
            Err(other) => panic!("{other}"),
        }
        assert!(written < 1000, "the segments that were prepared are not endless");
    };
    assert_eq!(refused.reason, Refusal::DiskFull);
    let expected: Vec<(i64, i64)> = (0..10).map(|story| (story, written * 1000)).collect();
    client.expect_votes(&expected);
    std::fs::remove_file(&full).expect("removes");
    let (table, rows) = client.vote_rows([(0, -1)]);
    until("there is room again", || client.front.write_wait(table, WriteKind::Insert, &rows).is_ok());
    supervisor.stop();
}

#[test]
fn a_broken_ring_restarts_all_shards() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let mut client = Client::connect(&folder);
    client.add_stories(0..10);
    client.vote((0..10).map(|story| (story, 1)));
    let run = find_run_folder(&folder.0).expect("it runs");
    let ring = File::options().write(true).open(run.ring(ShardId(0), ShardId(1))).expect("opens");
    // The capacity in the header.
    ring.write_all_at(&[0xff; 8], 8).expect("writes");
    let pids: Vec<_> = shards(&supervisor).map(|shard| supervisor.pid(shard)).collect();
    assert!(supervisor.kill(ShardId(1), libc::SIGKILL));
    until("both have been replaced", || {
        shards(&supervisor)
            .all(|shard| supervisor.pid(shard).is_some_and(|pid| pids[usize::from(shard.0)] != Some(pid)))
    });
    assert!(supervisor.wait_serving(DEADLINE));
    until("the front is told", || {
        client.front.wait(std::time::Duration::from_millis(10), &mut Vec::new()).is_err()
    });
    let mut client = Client::connect(&folder);
    client.expect_votes(&(0..10).map(|story| (story, 1)).collect::<Vec<_>>());
    client.vote((0..10).map(|story| (story, 2)));
    client.expect_votes(&(0..10).map(|story| (story, 2)).collect::<Vec<_>>());
    supervisor.stop();
}
