//! Rings against a queue, with ends that die at any point.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::path::PathBuf;

/// Fills a message so that its contents tell which one it is.
pub(super) fn message(label: u64, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|k| (label as usize * 31 + k * 7) as u8).collect()
}

pub(super) fn file_path(name: &str) -> PathBuf {
    let path = PathBuf::from(format!("/dev/shm/sakia-ring-test-{}-{name}", std::process::id()));
    // A run that was killed may have left it; usually there is nothing.
    let _ = RingMemory::remove(&path);
    path
}

#[derive(Clone, Debug)]
enum Move {
    Append {
        bytes: usize,
    },
    Publish,
    /// Look at that many messages ahead.
    Look {
        count: usize,
    },
    Advance {
        count: usize,
    },
    Release {
        count: usize,
    },
    KillProducer,
    KillConsumer,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let bytes = prop_oneof![4 => 0usize..40, 2 => 0usize..120, 1 => 100usize..3000];
    let one = prop_oneof![
        8 => bytes.prop_map(|bytes| Move::Append { bytes }),
        4 => Just(Move::Publish),
        3 => (1usize..5).prop_map(|count| Move::Look { count }),
        6 => (1usize..5).prop_map(|count| Move::Advance { count }),
        6 => (1usize..5).prop_map(|count| Move::Release { count }),
        1 => Just(Move::KillProducer),
        1 => Just(Move::KillConsumer),
    ];
    prop::collection::vec(one, 1..300)
}

/// What a ring must hold, kept the simple way.
#[derive(Default)]
struct Model {
    unpublished: Vec<(u64, Vec<u8>)>,
    /// Published and not released.
    kept: VecDeque<(u64, Vec<u8>)>,
    /// How many of `kept` have been read.
    read: usize,
    newest: Option<(u64, Vec<u8>)>,
    /// Tokens of those read, in order.
    tokens: VecDeque<Token>,
}

/// Runs the moves over the ring and the model, and compares whatever can be seen.
fn check_against_model(memory: &RingMemory, base: u64, moves: &[Move]) {
    let mut producer = Producer::attach(memory).expect("attaches");
    let mut consumer = Consumer::attach(memory).expect("attaches");
    let (mut model, mut label) = (Model::default(), base);
    for step in moves {
        match *step {
            Move::Append { bytes } => {
                let payload = message(label + 1, bytes);
                if producer.append(label + 1, &payload).is_ok() {
                    label += 1;
                    model.unpublished.push((label, payload));
                } else {
                    let empty = model.kept.is_empty() && model.unpublished.is_empty();
                    assert!(!empty, "a ring with nothing to release takes any message");
                }
            }
            Move::Publish => {
                producer.publish();
                model.newest = model.unpublished.last().cloned().or(model.newest);
                model.kept.extend(model.unpublished.drain(..));
            }
            Move::Look { count } => {
                let mut at = consumer.position();
                for expected in model.kept.iter().skip(model.read).take(count) {
                    let frame = consumer.peek_at(at).expect("whole").expect("there");
                    assert_eq!((frame.label, frame.payload), (expected.0, &expected.1[..]));
                    assert_eq!(frame.payload.as_ptr() as usize % ALIGNMENT, 0);
                    at = frame.token;
                }
            }
            Move::Advance { count } => {
                for _ in 0..count.min(model.kept.len() - model.read) {
                    let frame = consumer.peek().expect("whole").expect("there");
                    let expected = &model.kept[model.read];
                    assert_eq!((frame.label, frame.payload), (expected.0, &expected.1[..]));
                    let token = frame.token;
                    consumer.advance(token);
                    model.tokens.push_back(token);
                    model.read += 1;
                }
                if model.read == model.kept.len() {
                    assert_eq!(consumer.peek().expect("whole"), None);
                    assert!(!consumer.has_more());
                }
            }
            Move::Release { count } => {
                let count = count.min(model.read);
                if let Some(token) = model.tokens.drain(..count).next_back() {
                    consumer.release(token);
                    model.kept.drain(..count);
                    model.read -= count;
                }
            }
            Move::KillProducer => {
                // Nothing is lost with it but what was not published, whose labels its successor gives again.
                drop(producer);
                producer = Producer::attach(memory).expect("attaches");
                model.unpublished.clear();
                label = model.newest.as_ref().map_or(base, |(label, _)| *label);
                assert_eq!(producer.published_label(), label);
                let newest = model.newest.as_ref().map(|(_, bytes)| &bytes[..]);
                assert_eq!(producer.newest().expect("whole"), (label, newest));
            }
            Move::KillConsumer => {
                drop(consumer);
                consumer = Consumer::attach(memory).expect("attaches");
                model.read = 0;
                model.tokens.clear();
            }
        }
    }
    check_spills(memory, &model);
}

/// Spills are never more than the unreleased messages, the newest and what has just been appended.
fn check_spills(memory: &RingMemory, model: &Model) {
    let count = memory.spills().positions().expect("lists").len();
    assert!(count <= model.kept.len() + model.unpublished.len() + 1 + memory.capacity() / 48);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_ring_on_the_heap_is_a_queue_that_survives_its_ends(
        capacity in 8u32..13, base in 0u64..1000, moves in moves()
    ) {
        check_against_model(&RingMemory::heap(1 << capacity, base), base, &moves);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_ring_in_a_file_is_a_queue_that_survives_its_ends(base in 0u64..1000, moves in moves()) {
        let path = file_path("queue");
        {
            let created = RingMemory::create(&path, 1024, base).expect("creates");
            drop(created);
            let memory = RingMemory::open(&path).expect("opens");
            check_against_model(&memory, base, &moves);
        }
        RingMemory::remove(&path).expect("removes");
    }
}

#[test]
fn the_base_label_is_the_newest_before_the_first_message() {
    let memory = RingMemory::heap(256, 77);
    let mut producer = Producer::attach(&memory).expect("attaches");
    assert_eq!(producer.newest().expect("whole"), (77, None));
    producer.push(80, b"abc").expect("room");
    assert_eq!(producer.newest().expect("whole"), (80, Some(&b"abc"[..])));
}

#[test]
fn the_newest_message_stays_until_the_next_one() {
    for bytes in [10, 40, 5000] {
        let memory = RingMemory::heap(256, 0);
        for label in 1..100 {
            let mut producer = Producer::attach(&memory).expect("attaches");
            producer.push(label, &message(label, bytes)).expect("room");
            let mut consumer = Consumer::attach(&memory).expect("attaches");
            let token = consumer.peek().expect("whole").expect("there").token;
            consumer.advance(token);
            consumer.release(token);
            drop(producer);
            let producer = Producer::attach(&memory).expect("attaches");
            assert_eq!(producer.newest().expect("whole"), (label, Some(&message(label, bytes)[..])));
            assert!(memory.spills().positions().expect("lists").len() <= 1);
        }
    }
}

#[test]
fn an_end_is_attached_once() {
    let path = file_path("once");
    let memory = RingMemory::create(&path, 256, 0).expect("creates");
    let other = RingMemory::open(&path).expect("opens");
    let producer = Producer::attach(&memory).expect("attaches");
    assert!(matches!(Producer::attach(&memory), Err(RingError::InUse { .. })));
    assert!(matches!(Producer::attach(&other), Err(RingError::InUse { .. })));
    let consumer = Consumer::attach(&other).expect("the other end is free");
    drop(producer);
    let producer = Producer::attach(&other).expect("it is free again");
    drop((producer, consumer));
    RingMemory::remove(&path).expect("removes");
}

#[test]
fn a_file_that_is_no_ring_is_an_error_that_names_it() {
    let path = file_path("foreign");
    for (bytes, what) in [(10, "too short"), (FRAMES_AT + 1000, "bad capacity")] {
        std::fs::write(&path, vec![0u8; bytes]).expect("writes");
        let error = RingMemory::open(&path).err().expect("refuses").to_string();
        assert!(error.contains("foreign") && error.contains(what), "{error}");
    }
    std::fs::remove_file(&path).expect("removes");
    drop(RingMemory::create(&path, 256, 0).expect("creates"));
    let mut bytes = std::fs::read(&path).expect("reads");
    bytes[4] = 9;
    std::fs::write(&path, bytes).expect("writes");
    let error = RingMemory::open(&path).err().expect("refuses").to_string();
    assert!(error.contains("unknown version"), "{error}");
    std::fs::remove_file(&path).expect("removes");
}

#[test]
fn two_threads_pass_messages_of_all_sizes() {
    for capacity in [256, 4096] {
        let memory = RingMemory::heap(capacity, 0);
        let sizes = |label: u64| (label as usize * 7919) % if label.is_multiple_of(500) { 3000 } else { 60 };
        let count = 100_000;
        let mut producer = Producer::attach(&memory).expect("attaches");
        let mut consumer = Consumer::attach(&memory).expect("attaches");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for label in 1..=count {
                    while producer.append(label, &message(label, sizes(label))).is_err() {
                        producer.publish();
                        std::thread::yield_now();
                    }
                    if label.is_multiple_of(3) || label == count {
                        producer.publish();
                    }
                }
            });
            for label in 1..=count {
                let token = loop {
                    match consumer.peek().expect("whole") {
                        Some(frame) => {
                            assert_eq!(frame.label, label);
                            assert_eq!(frame.payload, message(label, sizes(label)));
                            break frame.token;
                        }
                        None => std::thread::yield_now(),
                    }
                };
                consumer.advance(token);
                if label.is_multiple_of(2) {
                    consumer.release(token);
                }
            }
        });
    }
}
