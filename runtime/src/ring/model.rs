//! A producer and a consumer in all their interleavings, and with every value that the memory orders let a load return.
//!
//! The ring's own code runs over a storage whose words are those of the model checker loom, and whose bytes it watches:
//! a write that does not come after the last read of the same place, or a read that does not come after the last write,
//! in the order that the indexes make, is an error even where the bytes happen to be right.

use super::tests::message;
use super::*;
use crate::ring::spill::Spills;
use loom::cell;
use loom::sync::atomic::AtomicU64;
use std::cell::UnsafeCell;
use std::fs::File;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::Ordering;

const CAPACITY: usize = CAPACITY_MIN;
/// The largest payload that is not spilt; four frames of it fill the ring.
const PAYLOAD_BYTES: usize = 40;
/// Bytes that are watched as one: the smallest piece that the ring writes.
const PIECE_BYTES: usize = 8;
const INDEXES_AT: [usize; 3] = [PUBLISHED_AT, READ_AT, RELEASED_AT];

/// Storage watched by loom.
struct Model {
    indexes: [AtomicU64; 3],
    /// Written before the threads begin, and so of no interest to the checker.
    header: [std::sync::atomic::AtomicU64; 4],
    bytes: Box<[UnsafeCell<u8>]>,
    pieces: Box<[cell::UnsafeCell<()>]>,
    /// The index that is stored without order, to see the checker notice.
    relaxed_at: Option<usize>,
}

// SAFETY: loom runs its threads one at a time, and reports accesses to the bytes that would race if it did not.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Model {
    fn new(relaxed_at: Option<usize>) -> Model {
        Model {
            indexes: Default::default(),
            header: Default::default(),
            bytes: (0..CAPACITY).map(|_| UnsafeCell::new(0)).collect(),
            pieces: (0..CAPACITY / PIECE_BYTES).map(|_| cell::UnsafeCell::new(())).collect(),
            relaxed_at,
        }
    }

    fn index(&self, offset: usize) -> Option<&AtomicU64> {
        Some(&self.indexes[INDEXES_AT.iter().position(|at| *at == offset)?])
    }

    fn pieces(&self, offset: usize, length: usize) -> &[cell::UnsafeCell<()>] {
        let start = offset - FRAMES_AT;
        &self.pieces[start / PIECE_BYTES..(start + length).div_ceil(PIECE_BYTES)]
    }
}

impl Storage for Model {
    fn load(&self, offset: usize, order: Ordering) -> u64 {
        self.index(offset).map_or_else(|| self.header[offset / 8].load(order), |index| index.load(order))
    }

    fn store(&self, offset: usize, word: u64, order: Ordering) {
        let order = if self.relaxed_at == Some(offset) { Ordering::Relaxed } else { order };
        match self.index(offset) {
            Some(index) => index.store(word, order),
            None => self.header[offset / 8].store(word, order),
        }
    }

    unsafe fn slice(&self, offset: usize, length: usize) -> &[u8] {
        self.pieces(offset, length).iter().for_each(|piece| piece.with(|_| ()));
        let bytes = &self.bytes[offset - FRAMES_AT..][..length];
        // SAFETY: as long as the pieces say so, nobody writes here.
        unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), length) }
    }

    unsafe fn write(&self, offset: usize, bytes: &[u8]) {
        self.pieces(offset, bytes.len()).iter().for_each(|piece| piece.with_mut(|_| ()));
        let target = &self.bytes[offset - FRAMES_AT..][..bytes.len()];
        for (cell, byte) in target.iter().zip(bytes) {
            // SAFETY: as long as the pieces say so, nobody else is here.
            unsafe { *cell.get() = *byte };
        }
    }

    fn file(&self) -> Option<&File> {
        None
    }
}

/// Has loom run `test` with a full ring: messages 4 to 6, and the third, which has been read and not yet released.
fn check(
    relaxed_at: Option<usize>,
    test: impl Fn(Producer<Model>, Consumer<Model>, Token) + Send + Sync + 'static,
) {
    let mut builder = loom::model::Builder::new();
    // Two switches against the will of a thread find what more of them find, in the experience of loom's authors.
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let memory = RingMemory::make("model".into(), Model::new(relaxed_at), CAPACITY, 0, Spills::heap());
        let mut producer = Producer::attach(&memory).expect("attaches");
        let mut consumer = Consumer::attach(&memory).expect("attaches");
        (1..=4).for_each(|label| push(&mut producer, label));
        let tokens: Vec<Token> = (1..=3).map(|label| read(&mut consumer, label)).collect();
        consumer.release(tokens[1]);
        (5..=6).for_each(|label| push(&mut producer, label));
        test(producer, consumer, tokens[2]);
    });
}

fn push(producer: &mut Producer<Model>, label: u64) {
    loop {
        match producer.push(label, &message(label, PAYLOAD_BYTES)) {
            Ok(()) => return,
            Err(PushError::Full) => loom::thread::yield_now(),
            Err(PushError::Ring(error)) => panic!("{error}"),
        }
    }
}

fn read(consumer: &mut Consumer<Model>, label: u64) -> Token {
    loop {
        if let Some(frame) = consumer.peek().expect("whole") {
            assert_eq!(frame.label, label);
            assert_eq!(frame.payload, message(label, PAYLOAD_BYTES));
            let token = frame.token;
            consumer.advance(token);
            return token;
        }
        loom::thread::yield_now();
    }
}

fn pass_messages(mut producer: Producer<Model>, mut consumer: Consumer<Model>, mut read_last: Token) {
    let producing = loom::thread::spawn(move || (7..=8).for_each(|label| push(&mut producer, label)));
    for label in 4..=8 {
        consumer.release(read_last);
        read_last = read(&mut consumer, label);
    }
    producing.join().expect("it ends");
}

#[test]
fn messages_pass_whole_and_in_order() {
    check(None, pass_messages);
}

#[test]
fn ends_may_die_while_the_other_works() {
    check(None, |mut producer, mut consumer, read_last| {
        let memory = producer.memory.clone();
        let producing = loom::thread::spawn(move || {
            push(&mut producer, 7);
            // It dies with a frame written and not published.
            let _ = producer.append(99, b"never seen");
            drop(producer);
            let mut producer = Producer::attach(&memory).expect("attaches");
            assert_eq!(producer.newest().expect("whole").0, 7);
            push(&mut producer, 8);
        });
        let memory = consumer.memory.clone();
        consumer.release(read_last);
        read(&mut consumer, 4);
        drop(consumer);
        let mut consumer = Consumer::attach(&memory).expect("attaches");
        for label in 4..=8 {
            let token = read(&mut consumer, label);
            consumer.release(token);
        }
        producing.join().expect("it ends");
    });
}

#[test]
fn an_index_without_order_is_noticed() {
    for at in [PUBLISHED_AT, RELEASED_AT] {
        let checked = panic::catch_unwind(AssertUnwindSafe(|| check(Some(at), pass_messages)));
        assert!(checked.is_err(), "the index at {at} needs no order?");
    }
}
