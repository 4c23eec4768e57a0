//! The live writer on real files: what is written is read back, faults of the disk, the fence, and how long a start takes.

use std::fs;
use std::future::Future;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use futures_lite::future::race;
use glommio::{LocalExecutorBuilder, Placement};
use wal::{Error, Fault, Faults, LogFolder, LogWriter, Lsn, Options, RecordKind, SyncLog};

/// Generous: a machine with other things to do must not fail a test.
const DEADLINE: Duration = Duration::from_secs(60);

/// A temporary folder on a real disk, as /tmp may be memory.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder is writable")
}

fn options(parent: &Path) -> Options {
    let mut options = Options::new(parent, "log");
    options.first_segment_bytes = 1 << 20;
    options.segment_bytes = 4 << 20;
    options
}

/// Runs `test` on an executor, with a deadline.
fn run<F: Future<Output = ()> + 'static>(test: F) {
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .io_memory(1 << 20)
        .make()
        .expect("io_uring is available");
    executor.run(async {
        let late = async {
            glommio::timer::sleep(DEADLINE).await;
            panic!("not done after {DEADLINE:?}");
        };
        race(test, late).await;
    });
}

/// Opens the log, checks that it holds `expected`, and goes on writing.
async fn open(options: &Options, expected: &[Vec<u8>]) -> LogWriter {
    let folder = LogFolder::open(options).expect("the log opens");
    let mapped = folder.map().expect("the log can be mapped");
    let scan = mapped.scan().expect("the log is whole");
    let found: Vec<Vec<u8>> = scan.records().map(|record| record.payload.to_vec()).collect();
    assert_eq!(found.len(), expected.len());
    assert!(found == expected, "the log holds what was appended");
    let tail = scan.tail();
    LogWriter::start(folder, tail, tail.next_incarnation()).await.expect("the writer starts")
}

fn random_payload(rng: &mut fastrand::Rng, bytes_max: usize) -> Vec<u8> {
    let mut payload = vec![0; rng.usize(..bytes_max)];
    rng.fill(&mut payload);
    payload
}

#[test]
fn what_is_written_is_read_back() {
    let parent = folder();
    let options = options(parent.path());
    run(async move {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut history: Vec<Vec<u8>> = Vec::new();
        for life in 1..6 {
            let log = open(&options, &history).await;
            assert_eq!(log.incarnation().0, life);
            for _ in 0..400 {
                let bytes_max = if rng.u8(..20) == 0 { 300_000 } else { 2_000 };
                let payload = random_payload(&mut rng, bytes_max);
                let lsn = log.append(RecordKind(3), &[&payload]);
                history.push(payload);
                assert_eq!(lsn, Lsn(history.len() as u64));
                log.flush();
                if rng.u8(..10) == 0 {
                    log.wait_durable(lsn).await.expect("the disk is well");
                }
            }
            log.wait_durable(log.appended()).await.expect("the disk is well");
            assert_eq!(log.gathered_bytes(), 0);
            log.close().await;
        }
    });
    let mode = |path: &Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
    let log = parent.path().join("log");
    assert_eq!(mode(&log), 0o700);
    let entries = fs::read_dir(&log).expect("it is a folder");
    assert!(entries.map(|entry| entry.expect("readable").path()).all(|path| mode(&path) == 0o600));
}

#[test]
fn a_record_of_many_megabytes_gets_a_segment_of_its_own() {
    let parent = folder();
    let options = options(parent.path());
    run(async move {
        let log = open(&options, &[]).await;
        let large = vec![5; 40 << 20];
        log.append(RecordKind(0), &[b"before"]);
        log.append(RecordKind(0), &[&large]);
        let last = log.append(RecordKind(0), &[b"after"]);
        log.wait_durable(last).await.expect("the disk is well");
        log.close().await;
        open(&options, &[b"before".to_vec(), large, b"after".to_vec()]).await.close().await;
    });
}

/// The error number with which a log with these faults is poisoned, and how much had been acknowledged.
async fn poisoned_by(options: &Options, faults: Faults) -> (Option<i32>, Lsn) {
    let mut options = options.clone();
    options.faults = faults;
    let folder = LogFolder::open(&options).expect("the log opens");
    let tail = folder.map().expect("mapped").scan().expect("whole").tail().clone();
    let log = LogWriter::start(folder, &tail, tail.next_incarnation()).await.expect("the writer starts");
    let mut acknowledged = log.durable();
    loop {
        let lsn = log.append(RecordKind(0), &[&[1; 10_000]]);
        match log.wait_durable(lsn).await {
            Ok(()) => acknowledged = lsn,
            Err(Error::Poisoned { source, path }) => {
                assert!(path.starts_with(&options.parent));
                assert!(!log.flush(), "nothing more is written");
                assert!(log.failure().is_some());
                assert_eq!(log.durable(), acknowledged);
                log.close().await;
                return (source.raw_os_error(), acknowledged);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_failed_or_short_write_poisons_the_log_and_a_restart_reads_it() {
    let parent = folder();
    let options = options(parent.path());
    run(async move {
        let eio = Some(Fault { nth: 5, errno: libc::EIO });
        let failed = poisoned_by(&options, Faults { fail_write: eio, ..Faults::default() }).await;
        assert_eq!(failed, (Some(libc::EIO), Lsn(4)));
        // The flush in doubt of a failed sync is there after all: once, and not twice.
        let failed = poisoned_by(&options, Faults { fail_sync: eio, ..Faults::default() }).await;
        assert_eq!(failed, (Some(libc::EIO), Lsn(8)));
        let failed = poisoned_by(&options, Faults { short_write: Some(2), ..Faults::default() }).await;
        assert_eq!(failed, (None, Lsn(10)));
        open(&options, &vec![vec![1; 10_000]; 10]).await.close().await;
    });
}

#[test]
fn a_full_disk_holds_records_back_until_there_is_room() {
    let parent = folder();
    let mut options = options(parent.path());
    let full = parent.path().join("full");
    options.faults.no_room_while_exists = Some(full.clone());
    run(async move {
        let log = open(&options, &[]).await;
        fs::write(&full, "").expect("writable");
        let mut count = 0;
        while log.no_room().is_none() || log.room_bytes() > 20_000 {
            log.append(RecordKind(0), &[&[2; 10_000]]);
            count += 1;
            let changed = log.changed();
            if log.flush() || log.in_flight_count() > 0 {
                changed.await;
            }
        }
        assert!(matches!(log.no_room(), Some(Error::NoRoom { .. })));
        let last = log.append(RecordKind(0), &[&[2; 100_000]]);
        while log.in_flight_count() > 0 || log.flush() {
            log.changed().await;
        }
        assert!(log.durable() < last, "there is no room for it");
        assert!(log.failure().is_none(), "a full disk is no failure");

        fs::remove_file(&full).expect("it exists");
        log.wait_durable(last).await.expect("there is room again");
        assert!(log.no_room().is_none());
        log.close().await;
        let mut expected = vec![vec![2; 10_000]; count];
        expected.push(vec![2; 100_000]);
        open(&options, &expected).await.close().await;
    });
}

#[test]
fn a_log_is_open_only_once() {
    let parent = folder();
    let mut options = options(parent.path());
    options.lock_deadline = Duration::from_millis(20);
    run(async move {
        let log = open(&options, &[]).await;
        assert!(matches!(LogFolder::open(&options), Err(Error::InUse { waited_ms: 20, .. })));
        log.close().await;
        LogFolder::open(&options).expect("it is free again");
    });
}

#[test]
fn a_successor_waits_for_the_descriptor_that_was_written_through() {
    let parent = folder();
    let mut options = options(parent.path());
    options.lock_deadline = Duration::from_millis(20);
    drop(LogFolder::open(&options).expect("created"));
    // As left by a dead process with a write in flight: nobody has the folder, somebody still has the segment.
    let segment = parent.path().join("log/00000001.segment");
    let held = fs::File::open(&segment).expect("it exists");
    held.lock().expect("nobody has it");
    assert!(matches!(LogFolder::open(&options), Err(Error::InUse { path, .. }) if path == segment));

    options.lock_deadline = DEADLINE;
    let successor = std::thread::spawn(move || LogFolder::open(&options).map(drop));
    drop(held);
    successor.join().expect("no panic").expect("the write has landed");
}

#[test]
fn the_writer_holds_the_segments_own_lock() {
    let parent = folder();
    let options = options(parent.path());
    run(async move {
        let log = open(&options, &[]).await;
        let file = fs::File::open(options.parent.join("log/00000001.segment")).expect("it exists");
        assert!(file.try_lock().is_err(), "the successor's fence");
        log.close().await;
        file.try_lock().expect("nothing is in flight");
    });
}

#[test]
fn a_segment_left_half_prepared_is_filled_anew() {
    let parent = folder();
    let options = options(parent.path());
    drop(LogFolder::open(&options).expect("created"));
    let path = parent.path().join("log/00000002.segment");
    fs::write(&path, [0xff; 8 << 10]).expect("writable");
    let left = fs::metadata(&path).expect("it exists").ino();
    check_goes_on(&options, || {});
    assert_eq!(fs::metadata(&path).expect("it exists").ino(), left);
}

#[test]
fn a_segment_left_half_prepared_with_writes_on_their_way_is_made_anew() {
    let parent = folder();
    let options = options(parent.path());
    drop(LogFolder::open(&options).expect("created"));
    let path = parent.path().join("log/00000002.segment");
    fs::write(&path, "half").expect("writable");
    let old = fs::File::options().write(true).open(&path).expect("it exists");
    old.lock().expect("nobody has it");
    check_goes_on(&options, || old.write_all_at(&[0xff; 8 << 10], 0).expect("it is still open"));
    assert_ne!(fs::metadata(&path).expect("it exists").ino(), old.metadata().expect("it is open").ino());
}

/// Appends more than the first segment holds, and reads it again after `late` has happened.
fn check_goes_on(options: &Options, late: impl FnOnce()) {
    let mut log = SyncLog::open(options).expect("the second segment is not live");
    let payloads: Vec<Vec<u8>> = (0..40).map(|byte| vec![byte; 100 << 10]).collect();
    for payload in &payloads {
        log.append(RecordKind(1), payload).expect("appended");
    }
    late();
    drop(log);
    let records = SyncLog::open(options).expect("opens").records().expect("reads");
    assert_eq!(records.into_iter().map(|record| record.payload).collect::<Vec<_>>(), payloads);
}

#[test]
fn missing_and_foreign_files_are_refused_and_leftovers_removed() {
    let parent = folder();
    let options = options(parent.path());
    let log = parent.path().join("log");
    drop(LogFolder::open(&options).expect("created"));

    // The segment that was being prepared when its writer died is in nobody's way; others go.
    for name in ["00000002.segment", "00000003.segment"] {
        fs::write(log.join(name), "half").expect("writable");
    }
    drop(LogFolder::open(&options).expect("they are not live"));
    assert!(log.join("00000002.segment").exists() && !log.join("00000003.segment").exists());

    let mut other = options.clone();
    other.name = "other".to_owned();
    drop(LogFolder::open(&other).expect("created"));
    let away = parent.path().join("away");
    fs::rename(log.join("00000001.segment"), &away).expect("it exists");
    let missing = LogFolder::open(&options).expect_err("it is missing").to_string();
    assert!(missing.contains("log/00000001.segment is missing"), "{missing}");

    fs::copy(parent.path().join("other/00000001.segment"), log.join("00000001.segment")).expect("it exists");
    let mapped = LogFolder::open(&options).expect("the file is there").map().expect("mapped");
    let foreign = mapped.scan().expect_err("it is foreign").to_string();
    assert!(foreign.contains("log/00000001.segment does not belong"), "{foreign}");
    fs::rename(&away, log.join("00000001.segment")).expect("it exists");

    fs::rename(log.join("MANIFEST"), &away).expect("it exists");
    let missing = LogFolder::open(&options).expect_err("it is missing").to_string();
    assert!(missing.contains("log/MANIFEST is missing"), "{missing}");
    fs::copy(parent.path().join("other/MANIFEST"), log.join("MANIFEST")).expect("it exists");
    assert!(matches!(LogFolder::open(&options), Err(Error::Foreign { log, .. }) if log == "log"));
    let later = fs::read_to_string(&away).expect("it exists").replace("format 2", "format 3");
    fs::write(log.join("MANIFEST"), later).expect("writable");
    assert!(matches!(LogFolder::open(&options), Err(Error::Version { found: 3, .. })));
}

#[test]
fn damage_on_disk_names_the_file_and_changes_nothing() {
    let parent = folder();
    let options = options(parent.path());
    let segment = options.parent.join("log/00000001.segment");
    let again = options.clone();
    run(async move {
        let log = open(&options, &[]).await;
        for _ in 0..10 {
            let lsn = log.append(RecordKind(0), &[b"payload"]);
            log.wait_durable(lsn).await.expect("the disk is well");
        }
        log.close().await;
    });
    let mut bytes = fs::read(&segment).expect("it exists");
    bytes[3 * 4096 + 85] ^= 1;
    fs::write(&segment, &bytes).expect("writable");
    let error = LogFolder::open(&again)
        .expect("opens")
        .map()
        .expect("mapped")
        .scan()
        .expect_err("damaged")
        .to_string();
    assert!(
        error.contains(&format!("{} is damaged at offset {}", segment.display(), 3 * 4096 + 64)),
        "{error}"
    );
    assert!(fs::read(&segment).expect("it exists") == bytes);
}

#[test]
fn starting_is_quick() {
    let parent = folder();
    let mut options = options(parent.path());
    options.first_segment_bytes = wal::FIRST_SEGMENT_BYTES;
    run(async move {
        let started = Instant::now();
        drop(LogFolder::open(&options).expect("created"));
        let created = started.elapsed();
        let started = Instant::now();
        let log = open(&options, &[]).await;
        let opened = started.elapsed();
        println!("created in {created:?}, opened in {opened:?}");
        assert!(created + opened < DEADLINE / 10, "something waits for a timeout");
        log.close().await;
    });
}
