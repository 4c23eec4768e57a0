//! How fast the next segment is filled with zeros.
//!
//! Zeros and flushes share the device: filled at full speed, a segment keeps it busy for a tenth of a second or more, and
//! every flush of that time waits behind zeros. So the zeros go out a little at a time, and no faster than they are needed.
//!
//! **Needed when**: the filling keeps ahead of the room that flushes use up. When a part `u` of the room that was left at the
//! start is used, `u / DONE_AT` of the segment is filled, so it is whole when `DONE_AT` of the room is used, however fast or
//! unevenly that goes. Of a log that is written at the rate `r`, segments all of one size, zeros thus take `r / DONE_AT`
//! of the device: the least would be `r`. If the device cannot do both, the filling falls behind its schedule, writes large pieces
//! without a pause, and the log waits for its segment at the end, as it must.
//!
//! A log that is hardly written has its segment after [`FILL_TIME`] all the same, for the burst that may come. And if what
//! waits to be written leaves less than [`URGENT_BYTES`] of room, there is no schedule: the segment is needed now.
//!
//! **Seldom**: a flush that goes out beside even a small piece takes twice its time, because the device makes both durable.
//! With one piece to every 32 blocks of flushes most flushes have the device for themselves.

use std::time::Duration;

/// The part of the room after which the segment is whole, in hundredths. What remains is for the sync of the file and for a
/// burst at the end: at 64 MiB a segment it is 6 MiB, which a disk of 450 MB/s takes in 14 ms.
const DONE_AT: u64 = 90;
/// How long the filling of any segment takes at most, unless the device is slower: 64 MiB take 1 % of a disk of 450 MB/s.
const FILL_TIME: Duration = Duration::from_secs(16);
/// With less room than that left there is no time for pauses.
const URGENT_BYTES: u64 = 1 << 20;
/// The least written at a time. Measured with one write of a block after another, on two shards: p50 154 us and p99 380 us with
/// pieces of 32 KiB, 115 us and 550 us with 128 KiB, 115 us and 1,700 us with 1 MiB.
const PIECE_BYTES_MIN: u64 = 128 << 10;
/// The most written at a time, when the filling is behind. There is one piece on its way at a time, and a busy shard may come to the
/// next one only once for every few flushes: then as much must go out as they took.
pub(crate) const PIECE_BYTES_MAX: u64 = 1 << 20;

/// The schedule of one filling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Size of the segment to be filled.
    segment_bytes: u64,
    /// Room at the start.
    room_bytes: u64,
}

impl Pace {
    /// Begins to fill a segment of `segment_bytes` while there is room for `room_bytes`.
    pub(crate) fn new(segment_bytes: u64, room_bytes: u64) -> Self {
        Self { segment_bytes, room_bytes }
    }

    /// How much shall be written now, if anything, when `filled` bytes are, after `elapsed`, with room for `room_bytes`.
    pub(crate) fn piece(&self, filled: u64, elapsed: Duration, room_bytes: u64) -> Option<u64> {
        let (rest, least) = (self.segment_bytes - filled, self.least(filled));
        let late = self.due(elapsed, room_bytes).saturating_sub(filled);
        // Whole pieces: what is due beyond them waits for the next.
        let whole = late.min(rest.min(PIECE_BYTES_MAX)) / PIECE_BYTES_MIN * PIECE_BYTES_MIN;
        (late >= least).then_some(whole.max(least))
    }

    /// How long after the start the next piece is due, even if no more room is used.
    pub(crate) fn due_after(&self, filled: u64) -> Duration {
        let bytes = u128::from(filled + self.least(filled));
        let us = (bytes * FILL_TIME.as_micros()).div_ceil(u128::from(self.segment_bytes));
        Duration::from_micros(u64::try_from(us).expect("it is at most the time of the whole segment"))
    }

    /// How much is written at a time, unless it is late.
    fn least(&self, filled: u64) -> u64 {
        PIECE_BYTES_MIN.min(self.segment_bytes - filled)
    }

    /// How much shall be filled by now.
    fn due(&self, elapsed: Duration, room_bytes: u64) -> u64 {
        if room_bytes < URGENT_BYTES {
            return self.segment_bytes;
        }
        // Room only grows by a segment, and then this one is whole.
        let used = self.room_bytes.saturating_sub(room_bytes);
        let by_use = u128::from(self.segment_bytes) * u128::from(used) * 100
            / u128::from(self.room_bytes.max(1) * DONE_AT);
        let by_time = u128::from(self.segment_bytes) * elapsed.as_micros() / FILL_TIME.as_micros();
        u64::try_from(by_use.max(by_time)).unwrap_or(u64::MAX).min(self.segment_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often room is used.
    const BETWEEN_FLUSHES: Duration = Duration::from_micros(300);

    /// Fills a segment on a device of 400 MB/s while the log is written at `rate` bytes a second. Returns when the filling
    /// is done, the part of the room left then, and how long the device was filling.
    fn fill(segment_bytes: u64, room_bytes: u64, rate: f64) -> (Duration, f64, Duration) {
        let pace = Pace::new(segment_bytes, room_bytes);
        let (mut now, mut filled, mut busy) = (Duration::ZERO, 0, Duration::ZERO);
        let left = |now: Duration| room_bytes.saturating_sub((rate * now.as_secs_f64()) as u64);
        while filled < segment_bytes {
            match pace.piece(filled, now, left(now)) {
                Some(bytes) => {
                    assert!((1..=PIECE_BYTES_MAX).contains(&bytes), "{bytes}");
                    let time = Duration::from_nanos(bytes * 5 / 2);
                    filled += bytes;
                    busy += time;
                    now += time;
                }
                None => now += BETWEEN_FLUSHES,
            }
        }
        assert_eq!(filled, segment_bytes);
        (now, left(now) as f64 / room_bytes as f64, busy)
    }

    #[test]
    fn a_segment_is_whole_before_the_room_is_used_up() {
        const SEGMENT: u64 = 64 << 20;
        for rate in [0.0, 1e5, 1e6, 1e7, 3e7, 1e8, 2e8] {
            let (_, left, _) = fill(SEGMENT, SEGMENT, rate);
            assert!(left > 0.06, "{left} of the room left at {rate} bytes/s");
        }
        // After a restart far into a segment.
        for rate in [0.0, 1e6, 1e7] {
            let (_, left, _) = fill(SEGMENT, 8 << 20, rate);
            assert!(left > 0.05, "{left} of the room left at {rate} bytes/s");
        }
    }

    #[test]
    fn the_device_is_left_to_the_flushes() {
        let (time, _, busy) = fill(64 << 20, 64 << 20, 0.0);
        assert!(time <= FILL_TIME + FILL_TIME / 10, "{time:?}");
        assert!(busy < time / 20, "{busy:?} of {time:?}");
        let (time, _, busy) = fill(64 << 20, 64 << 20, 32e6);
        assert!(busy < time / 8, "{busy:?} of {time:?}");
    }

    #[test]
    fn an_unused_log_has_a_piece_due_exactly_when_it_says() {
        const SEGMENT: u64 = (1 << 20) + 4096;
        let pace = Pace::new(SEGMENT, SEGMENT);
        let mut filled = 4096;
        while filled < SEGMENT {
            let due = pace.due_after(filled);
            assert_eq!(pace.piece(filled, due - Duration::from_micros(1), SEGMENT), None);
            let bytes = pace.piece(filled, due, SEGMENT).expect("it is due");
            assert_eq!(bytes, PIECE_BYTES_MIN.min(SEGMENT - filled));
            filled += bytes;
        }
        assert_eq!(pace.due_after(SEGMENT), FILL_TIME);
    }

    #[test]
    fn a_segment_that_is_needed_now_is_filled_without_a_pause() {
        let (time, _, busy) = fill(64 << 20, URGENT_BYTES - 1, 0.0);
        assert_eq!(time, busy);
        assert_eq!(Pace::new(8192, 0).piece(0, Duration::ZERO, 0), Some(8192));
    }
}
