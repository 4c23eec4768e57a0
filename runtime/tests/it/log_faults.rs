//! Disks that fail, and logs that are not as they were left.

use crate::database::*;
use runtime::ShardId;
use runtime::live::control::Phase;
use runtime::live::layout::DataFolder;
use runtime::live::{ShardFaults, ShardStatus, StartError, Supervisor};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use wal::{Fault, Faults};

const BLOCK: usize = 4096;

fn first_segment(folder: &Folder, shard: u16) -> PathBuf {
    DataFolder(folder.0.clone()).shard_log(ShardId(shard)).join("00000001.segment")
}

/// A shard whose every process has this fault serves on, with a death now and then: every write is acknowledged, none is
/// lost and none counts twice. Returns what the shard said.
fn survives(log: Faults) -> String {
    let folder = Folder::new();
    let mut faulty = options(&folder, SHARDS);
    faulty.faults = vec![(ShardId(1), ShardFaults { log, abort_at: None })];
    let supervisor = start(faulty);
    let mut client = Client::connect(&folder);
    // So many that a share of them fills more than a block.
    client.add_stories(0..500);
    let mut users = 0;
    until("the shard has died three times", || {
        client.vote((0..500).map(|story| (story, users)));
        users += 1;
        supervisor.status()[1].starts > 3
    });
    let expected: Vec<(i64, i64)> = (0..500).map(|story| (story, users)).collect();
    client.expect_votes(&expected);
    let status = supervisor.status();
    assert_eq!((status[0].starts, &status[0].fault), (1, &None), "the other shard is not concerned");
    supervisor.stop();

    let supervisor = start(options(&folder, SHARDS));
    Client::connect(&folder).expect_votes(&expected);
    supervisor.stop();
    status[1].fault.clone().expect("it said why")
}

#[test]
fn a_write_that_fails_ends_the_shard_and_nothing_is_lost() {
    let said =
        survives(Faults { fail_write: Some(Fault { nth: 12, errno: libc::EIO }), ..Faults::default() });
    assert!(said.contains("shard-1/00000001.segment") && said.contains("Input/output error"), "{said}");
}

#[test]
fn a_sync_that_fails_ends_the_shard_and_nothing_is_lost() {
    let said = survives(Faults { fail_sync: Some(Fault { nth: 12, errno: libc::EIO }), ..Faults::default() });
    assert!(said.contains("shard-1/00000001.segment") && said.contains("Input/output error"), "{said}");
}

#[test]
fn a_short_write_ends_the_shard_and_nothing_is_lost() {
    let said = survives(Faults { short_write: Some(12), ..Faults::default() });
    assert!(said.contains("short write of 4096 of"), "{said}");
}

/// A folder with some votes, and how many each story has.
fn filled() -> (Folder, Vec<(i64, i64)>) {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let mut client = Client::connect(&folder);
    client.add_stories(0..20);
    (0..20).for_each(|user| client.vote((0..20).map(|story| (story, user))));
    let expected: Vec<(i64, i64)> = (0..20).map(|story| (story, 20)).collect();
    client.expect_votes(&expected);
    supervisor.stop();
    (folder, expected)
}

/// Starts a folder one shard of which cannot start. The other serves what it owns.
fn start_without(shard: u16, folder: &Folder) -> String {
    let supervisor = start(options(folder, SHARDS));
    let status: Vec<ShardStatus> = supervisor.status();
    let other = ShardId(1 - shard);
    assert_eq!(status[usize::from(shard)].phase, Phase::Quarantined, "{status:?}");
    assert_eq!(status[usize::from(other.0)].phase, Phase::Running, "{status:?}");
    let mut client = Client::connect(folder);
    let stories: Vec<i64> = (0..20).filter(|story| client.owner_of_story(*story) == other).collect();
    assert!(!stories.is_empty());
    let found = client.votes_of(&stories);
    assert!(found.iter().any(Option::is_some), "{found:?}");
    supervisor.stop();
    status[usize::from(shard)].quarantined.clone().expect("it says why")
}

/// What is wrong with a shard's log is named, keeps only that shard down, and changes nothing.
fn named_and_left_alone(spoil: impl Fn(&Path), parts: &[&str]) {
    let (folder, expected) = filled();
    let log = DataFolder(folder.0.clone()).shard_log(ShardId(0));
    let aside = folder.0.join("aside");
    copy(&log, &aside);
    spoil(&log);
    let why = start_without(0, &folder);
    for part in parts {
        assert!(why.contains(part), "{why} does not name {part}");
    }
    fs::remove_dir_all(&log).expect("removes");
    fs::rename(&aside, &log).expect("renames");
    let supervisor = start(options(&folder, SHARDS));
    Client::connect(&folder).expect_votes(&expected);
    supervisor.stop();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("makes a folder");
    for entry in fs::read_dir(from).expect("lists") {
        let entry = entry.expect("lists");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copies");
    }
}

fn write_at(file: &Path, bytes: &[u8], offset: u64) {
    File::options().write(true).open(file).and_then(|file| file.write_all_at(bytes, offset)).expect("writes");
}

#[test]
fn a_missing_segment_is_named() {
    named_and_left_alone(
        |log| fs::remove_file(log.join("00000001.segment")).expect("removes"),
        &["shard-0/00000001.segment", "is missing"],
    );
}

#[test]
fn a_foreign_segment_is_named() {
    named_and_left_alone(
        |log| {
            let name = "00000001.segment";
            fs::copy(log.with_file_name("shard-1").join(name), log.join(name)).expect("copies");
        },
        &["shard-0/00000001.segment", "does not belong to"],
    );
}

#[test]
fn another_format_version_is_named() {
    named_and_left_alone(
        |log| write_at(&log.join("00000001.segment"), &[7], 8),
        &["shard-0/00000001.segment", "format version 7", "reads version 2"],
    );
}

#[test]
fn a_cut_off_segment_is_named() {
    let cut = |log: &Path| {
        let file = File::options().write(true).open(log.join("00000001.segment"));
        file.and_then(|file| file.set_len(1 << 20)).expect("cuts");
    };
    named_and_left_alone(cut, &["shard-0/00000001.segment", "is cut off"]);
}

#[test]
fn a_torn_tail_is_dropped() {
    let (folder, expected) = filled();
    for shard in 0..SHARDS {
        let segment = first_segment(&folder, shard);
        let bytes = fs::read(&segment).expect("reads");
        let end =
            bytes.chunks(BLOCK).rposition(|block| block.iter().any(|byte| *byte != 0)).expect("written");
        // What was in flight: a flush that looks like one at its start, and some of another one behind it.
        let (end, last) = ((end + 1) * BLOCK, end * BLOCK);
        write_at(&segment, &bytes[last..last + 512], end as u64);
        write_at(&segment, &[0x5a; 700], (end + 3 * BLOCK) as u64);
    }
    let supervisor = start(options(&folder, SHARDS));
    let mut client = Client::connect(&folder);
    client.expect_votes(&expected);
    client.vote((0..20).map(|story| (story, 100)));
    client.expect_votes(&(0..20).map(|story| (story, 21)).collect::<Vec<_>>());
    assert!(supervisor.status().iter().all(|shard| shard.starts == 1 && shard.fault.is_none()));
    supervisor.stop();
}

#[test]
fn a_damaged_catalogue_keeps_the_server_from_starting() {
    let (folder, expected) = filled();
    let segment = DataFolder(folder.0.clone()).catalogue().join("00000001.segment");
    let mut byte = [0];
    // In the first record, of which the flush of the second says that it had been durable.
    let at = BLOCK as u64 + 80;
    File::open(&segment).and_then(|file| file.read_exact_at(&mut byte, at)).expect("reads");
    write_at(&segment, &[byte[0] ^ 1], at);
    let error = Supervisor::start(options(&folder, SHARDS)).err().expect("is refused");
    assert!(matches!(error, StartError::Catalogue(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("catalogue/00000001.segment") && text.contains("damaged at offset 41"), "{text}");
    write_at(&segment, &byte, at);
    let supervisor = start(options(&folder, SHARDS));
    Client::connect(&folder).expect_votes(&expected);
    supervisor.stop();
}
