//! Rings that somebody has written to who should not: whatever is read is what was written, or an error that names the
//! file and the place; nothing panics, leaves the memory or goes on for ever.

use super::tests::{file_path, message};
use super::*;
use crate::map::Map;
use proptest::prelude::*;
use std::sync::atomic::Ordering;

const CAPACITY: usize = 1024;
const INDEXES_AT: [usize; 3] = [PUBLISHED_AT, READ_AT, RELEASED_AT];
/// A ring full of the smallest frames has fewer.
const MESSAGE_COUNT_MAX: usize = CAPACITY / ALIGNMENT;

fn set(memory: &RingMemory, at: usize, word: u64) {
    memory.storage().word(at).store(word, Ordering::Relaxed);
}

/// A ring with three messages read, of which one is released, and two not read.
fn ring_in_use(memory: &RingMemory) -> (Producer, Consumer) {
    let mut producer = Producer::attach(memory).expect("attaches");
    let mut consumer = Consumer::attach(memory).expect("attaches");
    for label in 1..=5 {
        producer.push(label, &message(label, 30)).expect("room");
    }
    for label in 1..=3 {
        let token = consumer.peek().expect("whole").expect("there").token;
        consumer.advance(token);
        if label == 1 {
            consumer.release(token);
        }
    }
    (producer, consumer)
}

/// Words that no index can be, and some that look like one.
fn garbage() -> Vec<u64> {
    let mut words = vec![0, u64::MAX, 1, 15, u64::MAX - 15, 0xdead_beef_dead_beef];
    words.extend((0..64).map(|bit| index::encode(160) ^ 1 << bit));
    let positions = [0, 16, CAPACITY as u64, 2 * CAPACITY as u64 + 16, 1 << 40, index::POSITION_MAX];
    words.extend(positions.map(index::encode));
    words
}

/// Whether a word can pass for an index: it is whole, and what it says lies within reach of the others.
fn may_pass(word: u64) -> bool {
    index::decode(word).is_some_and(|position| position <= 2 * CAPACITY as u64)
}

/// Reads all there is; ends because a ring holds no more than its capacity.
fn read_all(consumer: &mut Consumer) -> Result<Vec<u64>, RingError> {
    let mut labels = Vec::new();
    while let Some(frame) = consumer.peek()? {
        assert_eq!(frame.payload, message(frame.label, 30), "a message that nobody wrote");
        labels.push(frame.label);
        assert!(labels.len() <= MESSAGE_COUNT_MAX);
        let token = frame.token;
        consumer.advance(token);
    }
    Ok(labels)
}

/// Pushes until the ring is full, which it is after what fits its capacity.
fn push_all(producer: &mut Producer) -> Result<(), RingError> {
    for label in 100..100 + MESSAGE_COUNT_MAX as u64 {
        match producer.push(label, &message(label, 30)) {
            Ok(()) => {}
            Err(PushError::Full) => return Ok(()),
            Err(PushError::Ring(error)) => return Err(error),
        }
    }
    panic!("a ring takes no more than it has room for");
}

fn assert_names(error: &RingError, file: &str, at: usize) {
    let RingError::Corrupt { ring, offset, .. } = error else { panic!("{error} is not the error of damage") };
    assert!(ring.contains(file), "{error}");
    let frames = FRAMES_AT as u64..;
    assert!(*offset == at as u64 || frames.contains(offset), "{error} is not about the word at {at}");
}

#[test]
fn garbage_in_an_index_is_an_error_to_whoever_attaches() {
    let path = file_path("garbage");
    let memory = RingMemory::create(&path, CAPACITY, 0).expect("creates");
    drop(ring_in_use(&memory));
    for at in INDEXES_AT {
        let before = memory.storage().word(at).load(Ordering::Relaxed);
        for word in garbage() {
            set(&memory, at, word);
            for error in [Producer::attach(&memory).err(), Consumer::attach(&memory).err()] {
                match error {
                    Some(RingError::Corrupt { ring, offset, .. }) => {
                        assert!(ring.contains("garbage"));
                        assert!(INDEXES_AT.contains(&(offset as usize)) || offset >= FRAMES_AT as u64);
                    }
                    Some(other) => panic!("{other} is not the error of damage"),
                    None => assert!(may_pass(word), "{word:x}"),
                }
            }
            // A consumer that attached has begun to read again from the released index.
            set(&memory, READ_AT, index::encode(48 * 3));
            set(&memory, at, before);
        }
    }
    drop(memory);
    RingMemory::remove(&path).expect("removes");
}

#[test]
fn garbage_in_an_index_is_an_error_to_an_attached_end_or_written_over() {
    for at in INDEXES_AT {
        for word in garbage() {
            let memory = RingMemory::heap(CAPACITY, 0);
            let (mut producer, mut consumer) = ring_in_use(&memory);
            set(&memory, at, word);
            match (at, read_all(&mut consumer)) {
                // What the consumer knows of, it reads; to learn of more it looks at the damaged word.
                (PUBLISHED_AT, Ok(_)) => panic!("word {word:x} passed for a published index"),
                (PUBLISHED_AT, Err(error)) => assert_names(&error, "heap", at),
                (_, labels) => assert_eq!(labels.expect("its own indexes are not read"), [4, 5]),
            }
            match (at, push_all(&mut producer)) {
                (RELEASED_AT, Ok(())) => assert!(may_pass(word), "{word:x}"),
                (RELEASED_AT, Err(error)) => assert_names(&error, "heap", at),
                (_, pushed) => pushed.expect("the producer does not read these"),
            }
            assert_eq!(producer.newest().expect("whole").1.map(<[u8]>::len), Some(30));
        }
    }
}

#[test]
fn a_worn_out_ring_is_an_error() {
    let memory = RingMemory::heap(CAPACITY, 0);
    let mut producer = Producer::attach(&memory).expect("attaches");
    producer.wear_out();
    let error = producer.push(1, b"too much").expect_err("no position is left");
    assert!(error.to_string().contains("worn out"), "{error}");
}

#[test]
fn a_newest_message_that_has_been_written_over_is_an_error() {
    let memory = RingMemory::heap(CAPACITY, 0);
    let (producer, _consumer) = ring_in_use(&memory);
    memory.storage().word(FRAMES_AT + 4 * 64 + 16).fetch_xor(1, Ordering::Relaxed);
    let error = producer.newest().expect_err("its checksum is wrong").to_string();
    assert!(error.contains("fails its checksum at offset"), "{error}");
    drop(producer);
    assert!(Producer::attach(&memory).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damage_of_any_byte_is_an_error_or_harmless(
        at in 0usize..1 << 13, bit in 0u8..8, bytes in prop::collection::vec(0usize..200, 1..12)
    ) {
        check_damage(at % (FRAMES_AT + 1024), bit, &bytes);
    }
}

/// Flips one bit of a ring with some messages: whatever is still read must be what was written, in order.
fn check_damage(at: usize, bit: u8, sizes: &[usize]) {
    let memory: RingMemory<Map> = RingMemory::heap(1024, 5);
    let mut written = Vec::new();
    let mut producer = Producer::attach(&memory).expect("attaches");
    for (k, &bytes) in sizes.iter().enumerate() {
        let label = 6 + k as u64;
        if producer.push(label, &message(label, bytes)).is_ok() {
            written.push((label, message(label, bytes)));
        }
    }
    drop(producer);
    let word = memory.storage().word(at / 8 * 8);
    word.fetch_xor(1 << (at % 8 * 8 + usize::from(bit)), Ordering::Relaxed);
    if let Ok(producer) = Producer::attach(&memory) {
        let (label, newest) = producer.newest().expect("attaching has checked it");
        let last = written.last().map(|(label, bytes)| (*label, Some(&bytes[..])));
        assert_eq!((label, newest), last.unwrap_or((5, None)));
    }
    let Ok(mut consumer) = Consumer::attach(&memory) else { return };
    let mut read = Vec::new();
    while let Ok(Some(frame)) = consumer.peek() {
        read.push((frame.label, frame.payload.to_vec()));
        let token = frame.token;
        consumer.advance(token);
    }
    assert!(written.starts_with(&read), "bit {bit} of byte {at}: read {read:?} of {written:?}");
}
