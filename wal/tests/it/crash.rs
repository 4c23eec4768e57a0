//! A random workload is cut off at each of its steps in turn, by a power loss or by a kill, sometimes again while
//! the tail is repaired, and goes on in a new incarnation. After every recovery: each record that had been reported
//! durable is there, what is there is a prefix of what was appended, and repairing again changes nothing.

use wal::{Appender, Flush, Incarnation, Limits, Lsn, RecordKind, Tail};

use crate::disk::Disk;

const SEGMENT_BYTES: u64 = 96 << 10;
const LIMITS: Limits = Limits { in_flight_count: 4, flush_bytes: 8 << 10 };

/// A log, its disk, and what the test knows of both.
struct World {
    disk: Disk,
    appender: Appender,
    in_flight: Vec<Flush>,
    /// Every payload appended, as far as the log goes back to it: index = LSN - 1.
    history: Vec<Vec<u8>>,
    rng: fastrand::Rng,
    seed: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let disk = Disk::new(SEGMENT_BYTES);
        let tail = disk.scan().expect("a fresh log").tail().clone();
        Self {
            appender: Appender::resume(&tail, tail.next_incarnation(), LIMITS),
            disk,
            in_flight: Vec::new(),
            history: Vec::new(),
            rng: fastrand::Rng::with_seed(seed),
            seed,
        }
    }

    fn step(&mut self) {
        match self.rng.usize(..10) {
            0..5 => self.append(),
            5..8 => self.flush(),
            _ => self.complete(),
        }
    }

    fn append(&mut self) {
        let bytes = match self.rng.usize(..20) {
            0 => self.rng.usize(..40_000),
            1..4 => self.rng.usize(..4_000),
            4 => 0,
            _ => self.rng.usize(..200),
        };
        // Zeros are what an unwritten disk holds, so they are what is most easily mistaken.
        let byte = if self.rng.bool() { 0 } else { self.rng.u8(..) };
        let payload = vec![byte; bytes];
        let (one, two) = payload.split_at(bytes / 3);
        let lsn = self.appender.append(RecordKind(byte), &[one, two]);
        self.history.push(payload);
        assert_eq!(lsn, Lsn(self.history.len() as u64));
    }

    fn flush(&mut self) {
        if let Some(least) = self.appender.wants_segment() {
            let id = self.appender.next_segment();
            self.disk.add_segment(id, least.max(SEGMENT_BYTES));
            self.appender.provide_segment(id, least.max(SEGMENT_BYTES));
        }
        self.in_flight.extend(self.appender.take_flush());
    }

    fn complete(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let flush = self.in_flight.swap_remove(self.rng.usize(..self.in_flight.len()));
        self.disk.write_durably(&flush);
        self.appender.flushed(flush.id);
    }

    fn crash_and_recover(&mut self) {
        let acknowledged = self.appender.durable();
        let incarnation = self.appender.incarnation();
        self.crash();
        let tail = loop {
            let tail = self.check(acknowledged);
            let power_fails_again = self.rng.usize(..3) == 0;
            let after = if power_fails_again { self.rng.usize(..4) } else { usize::MAX };
            if self.disk.repair(&tail, after) {
                break tail;
            }
            self.disk.lose_power(&[], &mut self.rng);
        };
        self.history.truncate(usize::try_from(tail.last.0).expect("small"));
        let again = self.check(tail.last);
        assert_eq!(again.repairs, [], "{}", self.place());
        assert_eq!((again.end(), again.last), (tail.end(), tail.last), "{}", self.place());

        let next = tail.next_incarnation();
        assert!(next <= incarnation.next(), "{}: incarnations are not made up", self.place());
        self.appender = Appender::resume(&tail, next, LIMITS);
    }

    fn crash(&mut self) {
        let mut in_flight = std::mem::take(&mut self.in_flight);
        if self.rng.bool() {
            self.disk.lose_power(&in_flight, &mut self.rng);
            return;
        }
        // A kill: what was in flight lands whole or not at all, in any order, into the cache of the device.
        self.rng.shuffle(&mut in_flight);
        for flush in in_flight {
            if self.rng.bool() {
                self.disk.write(flush.segment, flush.offset, flush.bytes());
            }
        }
    }

    fn check(&self, acknowledged: Lsn) -> Tail {
        let scan = self.disk.scan().unwrap_or_else(|error| panic!("{}: {error}", self.place()));
        let mut count = 0;
        for (record, expected) in scan.records().zip(&self.history) {
            count += 1;
            assert_eq!(record.lsn, Lsn(count), "{}", self.place());
            assert_eq!(record.payload, expected, "{}: record {count}", self.place());
            assert_eq!(record.place.offset % 16, 0, "payloads are aligned");
        }
        assert_eq!(scan.tail().last, Lsn(count), "{}: more was read than appended", self.place());
        assert!(scan.tail().last >= acknowledged, "{}: lost {acknowledged}, only {count} left", self.place());
        let from = Lsn(u64::from(self.seed as u32 % 50));
        assert!(
            scan.records_from(from).eq(scan.records().skip_while(|record| record.lsn < from)),
            "{}",
            self.place()
        );
        scan.tail().clone()
    }

    fn place(&self) -> String {
        format!("seed {}", self.seed)
    }
}

#[test]
fn a_crash_at_any_step_loses_nothing_acknowledged() {
    for steps in 0..400 {
        for round in 0..3 {
            let seed = steps * 3 + round;
            let mut world = World::new(seed);
            for _ in 0..steps {
                world.step();
            }
            // Further lives, cut off early and late: remains of several incarnations meet.
            for _ in 0..4 {
                world.crash_and_recover();
                for _ in 0..world.rng.usize(..40) {
                    world.step();
                }
            }
            world.crash_and_recover();
        }
    }
}

#[test]
fn a_log_ends_where_it_was_closed() {
    let mut world = World::new(7);
    for _ in 0..500 {
        world.step();
    }
    while world.appender.gathered_bytes() > 0 || !world.in_flight.is_empty() {
        world.flush();
        world.complete();
    }
    assert_eq!(world.appender.durable(), world.appender.appended());
    let tail = world.check(world.appender.appended());
    assert_eq!(tail.repairs, []);
    assert_eq!(tail.last, world.appender.appended());
    assert_eq!(tail.incarnation, Incarnation(1));
}
