//! What the tail rule makes of logs with known faults: damage is named with its file and offset, a torn tail is dropped, and
//! files that do not belong are refused.

use wal::{BLOCK_BYTES, Error, Identity, Lsn, Repair, SegmentId, WINDOW_BYTES, segment_header};

use crate::disk::{Written, contents};

const SEGMENT: SegmentId = SegmentId(1);

/// Ten durable records, each a flush of one block.
fn ten() -> Written {
    let mut log = Written::new(1 << 20);
    for byte in 0..10 {
        log.record(&[byte; 100]);
    }
    log
}

/// Where the flush with this index starts.
fn offset(index: u64) -> u64 {
    BLOCK_BYTES * (1 + index)
}

fn damaged_at(log: &Written) -> (String, u64) {
    match log.disk.scan() {
        Err(Error::Corrupt { file, offset, .. }) => (file, offset),
        other => panic!("expected damage, got {:?}", other.map(|scan| scan.tail().clone())),
    }
}

#[test]
fn damage_in_the_middle_is_named() {
    for damaged in 0..8 {
        // A byte of the header, of a record's header, of a payload.
        for (byte, named) in [(20, 0), (70, 64), (100, 64)] {
            let mut log = ten();
            let at = usize::try_from(offset(damaged)).expect("small") + byte;
            log.disk.bytes_mut(SEGMENT)[at] ^= 1;
            assert_eq!(damaged_at(&log), ("00000001.segment".to_owned(), offset(damaged) + named));
        }
    }
}

#[test]
fn zeroed_blocks_in_the_middle_are_damage() {
    let mut log = ten();
    let from = usize::try_from(offset(3)).expect("small");
    log.disk.bytes_mut(SEGMENT)[from..from + 4 * 4096].fill(0);
    assert_eq!(damaged_at(&log).1, offset(3));
}

#[test]
fn damage_in_padding_is_harmless() {
    let mut log = ten();
    let end = usize::try_from(offset(4)).expect("small") - 1;
    log.disk.bytes_mut(SEGMENT)[end] = 1;
    assert_eq!(log.disk.scan().expect("padding is not looked at").tail().last, Lsn(10));
}

#[test]
fn damage_to_the_last_flush_is_a_torn_tail() {
    let mut log = ten();
    let at = usize::try_from(offset(9)).expect("small") + 100;
    log.disk.bytes_mut(SEGMENT)[at] ^= 1;
    let scan = log.disk.scan().expect("nothing says that it had been durable");
    assert_eq!(scan.tail().last, Lsn(9));
    assert_eq!(scan.tail().repairs, [Repair { segment: SEGMENT, offset: offset(9), bytes: BLOCK_BYTES }]);
}

#[test]
fn a_whole_flush_behind_a_missing_one_is_dropped() {
    let mut log = ten();
    let _missing = log.flush_of(b"never arrives");
    let later = log.flush_of(b"arrives alone");
    log.disk.write(later.segment, later.offset, later.bytes());

    let tail = log.disk.scan().expect("nothing acknowledged is missing").tail().clone();
    assert_eq!(tail.last, Lsn(10));
    assert_eq!(tail.repairs, [Repair { segment: SEGMENT, offset: offset(11), bytes: BLOCK_BYTES }]);
    assert_eq!(tail.syncs, [SEGMENT]);
    assert!(log.disk.repair(&tail, usize::MAX));
    assert_eq!(log.disk.scan().expect("repaired").tail().repairs, []);
}

#[test]
fn a_late_write_of_a_dead_incarnation_is_not_there() {
    let mut log = ten();
    log.flush_of(b"of the dead, lost");
    let late = log.flush_of(b"of the dead");
    let tail = log.disk.scan().expect("whole").tail().clone();
    log.appender = wal::Appender::resume(&tail, tail.next_incarnation(), wal::Limits::default());
    log.record(b"of the living");
    // The number of the dead one's second flush fits what follows, but its incarnation does not.
    log.disk.write(late.segment, late.offset, late.bytes());
    let scan = log.disk.scan().expect("nothing acknowledged is missing");
    assert_eq!(scan.tail().last, Lsn(11));
    assert_eq!(scan.tail().repairs.len(), 1);
    assert_eq!(contents(&scan)[10].1, b"of the living");
}

#[test]
fn a_large_flush_with_its_header_lost_is_damage() {
    let mut log = ten();
    let large = log.record(&vec![7; usize::try_from(3 * WINDOW_BYTES).expect("small")]).segment;
    log.record(b"after");
    assert_ne!(large, SEGMENT, "it did not fit the first segment");
    log.disk.bytes_mut(large)[4096..8192].fill(0);
    assert_eq!(damaged_at(&log), (large.file_name(), BLOCK_BYTES));
}

#[test]
fn the_search_for_the_end_is_bounded() {
    let mut log = ten();
    // Not a state that a writer leaves; it shows how far a reader looks.
    let at = usize::try_from(offset(10) + WINDOW_BYTES + BLOCK_BYTES).expect("small");
    log.disk.bytes_mut(SEGMENT)[at] = 1;
    assert_eq!(log.disk.scan().expect("whole").tail().repairs, []);
    log.disk.bytes_mut(SEGMENT)[at - 4096] = 1;
    assert_eq!(log.disk.scan().expect("whole").tail().repairs.len(), 1);
}

#[test]
fn a_cut_file_is_refused() {
    let mut log = ten();
    log.disk.bytes_mut(SEGMENT).truncate(70_000);
    assert!(matches!(log.disk.scan(), Err(Error::Truncated { expected: 1_048_576, actual: 70_000, .. })));
    log.disk.bytes_mut(SEGMENT).truncate(0);
    assert!(matches!(log.disk.scan(), Err(Error::Truncated { actual: 0, .. })));
}

#[test]
fn foreign_segments_are_refused() {
    for (identity, id) in
        [(Identity(*b"of another log!!"), SEGMENT), (ten().disk.start.identity, SegmentId(2))]
    {
        let mut log = ten();
        let header = segment_header(&identity, id, 1 << 20);
        log.disk.bytes_mut(SEGMENT)[..4096].copy_from_slice(&header);
        assert!(matches!(log.disk.scan(), Err(Error::Foreign { file, .. }) if file == "00000001.segment"));
    }
}

#[test]
fn other_format_versions_are_refused() {
    let mut log = ten();
    log.disk.bytes_mut(SEGMENT)[8] = 9;
    assert!(matches!(log.disk.scan(), Err(Error::Version { found: 9, supported: 2, .. })));
}

#[test]
fn a_damaged_segment_header_is_named() {
    let mut log = ten();
    log.disk.bytes_mut(SEGMENT)[33] ^= 1;
    assert_eq!(damaged_at(&log), ("00000001.segment".to_owned(), 0));
}

#[test]
fn random_bytes_never_panic() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut log = ten();
        for _ in 0..rng.usize(1..20) {
            let bytes = log.disk.bytes_mut(SEGMENT);
            let at = rng.usize(..13 * 4096);
            let length = rng.usize(1..100);
            rng.fill(&mut bytes[at..at + length]);
        }
        if let Ok(scan) = log.disk.scan() {
            for (lsn, payload) in contents(&scan) {
                assert_eq!(payload, [u8::try_from(lsn.0 - 1).expect("small"); 100], "seed {seed}");
            }
        }
    }
}
