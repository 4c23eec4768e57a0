//! The synchronous log: the same rules, without an executor.

use std::fs;

use wal::{Error, Fault, Lsn, Options, RecordKind, SyncLog};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder is writable")
}

#[test]
fn records_survive_reopening() {
    let parent = folder();
    let mut options = Options::new(parent.path(), "catalogue");
    options.first_segment_bytes = 32 << 10;
    let mut expected: Vec<Vec<u8>> = Vec::new();
    for life in 0..4_u8 {
        let mut log = SyncLog::open(&options).expect("the log opens");
        for count in 0..10 {
            let payload = vec![life; 1 + count * 1_000];
            let lsn = log.append(RecordKind(life), &payload).expect("the disk is well");
            expected.push(payload);
            assert_eq!(lsn, Lsn(expected.len() as u64));
        }
        let found: Vec<Vec<u8>> =
            log.records().expect("whole").into_iter().map(|record| record.payload).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_full_disk_refuses_and_a_failed_write_poisons() {
    let parent = folder();
    let full = parent.path().join("full");
    let mut options = Options::new(parent.path(), "catalogue");
    options.first_segment_bytes = 16 << 10;
    options.faults.no_room_while_exists = Some(full.clone());
    options.faults.fail_sync = Some(Fault { nth: 5, errno: libc::EIO });
    let mut log = SyncLog::open(&options).expect("the log opens");
    fs::write(&full, "").expect("writable");
    for _ in 0..3 {
        log.append(RecordKind(0), b"fits").expect("there is room");
    }
    assert!(matches!(log.append(RecordKind(0), b"does not fit"), Err(Error::NoRoom { .. })));
    fs::remove_file(&full).expect("it exists");
    assert_eq!(log.append(RecordKind(0), b"fits again").expect("there is room again"), Lsn(4));

    assert!(matches!(log.append(RecordKind(0), b"in doubt"), Err(Error::Poisoned { .. })));
    assert!(matches!(log.append(RecordKind(0), b"refused"), Err(Error::Poisoned { .. })));
    drop(log);
    options.faults = wal::Faults::default();
    let records = SyncLog::open(&options).expect("the log opens").records().expect("whole");
    assert_eq!(records.len(), 5, "what was in doubt is there");
}
