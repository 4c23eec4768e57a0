//! Group commit by itself: what goes out when, and what becomes durable when.

use wal::{
    Appender, BLOCK_BYTES, Flush, FlushId, Identity, Incarnation, Limits, LogStart, Lsn, RecordKind,
    SegmentId, WINDOW_BYTES, scan, segment_header,
};

const SIZE: u64 = 8 << 20;

/// A writer on a fresh log with one segment.
fn appender(limits: Limits) -> Appender {
    let identity = Identity([3; 16]);
    let mut segment = vec![0; usize::try_from(SIZE).expect("small")];
    segment[..4096].copy_from_slice(&segment_header(&identity, SegmentId(1), SIZE));
    let scan = scan(&LogStart::new(identity), &[(SegmentId(1), &segment)]).expect("a fresh log");
    Appender::resume(scan.tail(), Incarnation(1), limits)
}

fn flush_of(appender: &mut Appender, bytes: usize) -> Option<Flush> {
    appender.append(RecordKind(1), &[&vec![1; bytes]]);
    appender.take_flush()
}

#[test]
fn records_gather_while_flushes_are_in_flight() {
    let mut log = appender(Limits { in_flight_count: 2, ..Limits::default() });
    assert!(log.take_flush().is_none(), "nothing is gathered");
    let one = flush_of(&mut log, 100).expect("nothing is in flight");
    let two = flush_of(&mut log, 100).expect("one is in flight");
    assert!(flush_of(&mut log, 100).is_none(), "the limit is reached");
    log.append(RecordKind(1), &[b"gathers too"]);
    assert_eq!(log.gathered_bytes(), BLOCK_BYTES);
    assert_eq!((one.id, two.id), (FlushId(1), FlushId(2)));
    assert_eq!((one.offset, two.offset), (BLOCK_BYTES, 2 * BLOCK_BYTES));

    log.flushed(two.id);
    assert_eq!(log.durable(), Lsn(0), "the first is not there yet");
    assert!(log.take_flush().is_none());
    log.flushed(one.id);
    assert_eq!(log.durable(), Lsn(2));
    let three = log.take_flush().expect("there is room in flight again");
    assert_eq!((three.first, three.last), (Lsn(3), Lsn(4)));
    assert_eq!(log.gathered_bytes(), 0);
}

#[test]
fn flushes_are_aligned_whole_blocks_and_payloads_are_aligned_in_them() {
    let mut log = appender(Limits::default());
    for bytes in [0, 1, 15, 16, 17, 4_000, 5_000, 100_000] {
        let flush = flush_of(&mut log, bytes).expect("nothing is in flight");
        assert_eq!(flush.bytes().as_ptr().align_offset(4096), 0);
        assert_eq!(flush.bytes().len() % 4096, 0);
        assert!(flush.bytes().len() < bytes + 2 * 4096);
        // Flush header, record header, payload, and nothing but zeros.
        assert!(flush.bytes()[80..80 + bytes].iter().all(|byte| *byte == 1));
        assert!(
            flush.bytes()[80 + bytes..].iter().all(|byte| *byte == 0),
            "buffers are used again, but clean"
        );
        log.flushed(flush.id);
    }
}

#[test]
fn the_flushes_in_flight_fit_the_window_or_are_one() {
    let mut log = appender(Limits { in_flight_count: 100, ..Limits::default() });
    let half = usize::try_from(WINDOW_BYTES / 2).expect("small") - 80;
    let one = flush_of(&mut log, half).expect("nothing is in flight");
    let two = flush_of(&mut log, half).expect("just fits");
    assert!(flush_of(&mut log, 1).is_none(), "beyond the window");
    log.flushed(two.id);
    assert!(log.take_flush().is_none(), "the first still is in flight, so its place may turn out bad");
    log.flushed(one.id);
    let three = log.take_flush().expect("the window is free");
    assert!(flush_of(&mut log, 3 * half).is_none(), "too large to go with others");
    log.flushed(three.id);
    let large = log.take_flush().expect("it goes alone");
    assert!(flush_of(&mut log, 1).is_none(), "nothing goes with it");
    log.flushed(large.id);
    assert!(log.take_flush().is_some());
}

#[test]
fn gathered_records_go_out_in_flushes_of_the_usual_size() {
    let mut log = appender(Limits { in_flight_count: 1, flush_bytes: 16 << 10 });
    for _ in 0..20 {
        log.append(RecordKind(1), &[&[1; 4_000]]);
    }
    log.append(RecordKind(1), &[&[1; 50_000]]);
    // This one still fits into the last block of the large one's flush.
    log.append(RecordKind(1), &[&[1; 10]]);
    let gathered = log.gathered_bytes();
    let mut sizes = Vec::new();
    while let Some(flush) = log.take_flush() {
        sizes.push(flush.bytes().len());
        log.flushed(flush.id);
    }
    assert_eq!(sizes, [16384, 16384, 16384, 16384, 16384, 53248]);
    assert_eq!(gathered, sizes.iter().sum::<usize>() as u64);
    assert_eq!(log.durable(), log.appended());
}

#[test]
fn a_flush_that_does_not_fit_waits_for_a_segment() {
    let mut log = appender(Limits::default());
    assert_eq!(log.wants_segment(), Some(2 * BLOCK_BYTES), "there should always be a spare one");
    let bytes = usize::try_from(SIZE).expect("small");
    assert!(flush_of(&mut log, bytes).is_none());
    let least = log.wants_segment().expect("it does not fit");
    log.provide_segment(SegmentId(2), 64 << 10);
    assert_eq!(log.wants_segment(), Some(least), "the one provided is too small");
    log.provide_segment(SegmentId(3), least);
    assert_eq!(log.wants_segment(), None);
    assert_eq!(log.room_bytes(), SIZE - BLOCK_BYTES + (64 << 10) - BLOCK_BYTES + least - BLOCK_BYTES);
    let flush = log.take_flush().expect("there is room");
    assert_eq!((flush.segment, flush.offset), (SegmentId(3), BLOCK_BYTES));
    assert_eq!(log.room_bytes(), 0, "smaller ones are left behind, and it fills its own");
    assert_eq!(log.next_segment(), SegmentId(4));
}
