//! The producing end of a ring.

use super::spill::{Reference, Spill};
use super::*;
use std::collections::VecDeque;

/// The ring has no room for the message now; it will have once the consumer has released more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ring is full")]
pub struct Full;

/// The one who publishes. There is one at a time, enforced by [`Producer::attach`].
pub struct Producer {
    memory: RingMemory,
    /// What the index in memory says.
    published: u64,
    /// Where the newest published message begins; `published` if there is none.
    newest_start: u64,
    newest_label: u64,
    /// The newest message, if it lies in a spill and was there on attach.
    newest_spill: Option<Spill>,
    /// Where the next frame goes: `published`, and what has been appended since.
    tail: u64,
    /// Start and label of the newest appended message.
    appended: (u64, u64),
    /// As last seen; space up to there is free.
    released: u64,
    /// Start positions of spills that exist, in order.
    spills: VecDeque<u64>,
}

impl Producer {
    /// Continues the ring where the last producer left it.
    pub fn attach(memory: &RingMemory) -> Result<Producer, RingError> {
        memory.take_end(End::Producer)?;
        let mut producer = Producer {
            memory: memory.clone(),
            published: 0,
            newest_start: 0,
            newest_label: memory.base_label(),
            newest_spill: None,
            tail: 0,
            appended: (0, 0),
            released: 0,
            spills: VecDeque::new(),
        };
        // On an error the drop of `producer` frees the end again.
        producer.recover()?;
        Ok(producer)
    }

    fn recover(&mut self) -> Result<(), RingError> {
        let Indexes { published, released } = self.memory.indexes()?;
        (self.published, self.released, self.tail) = (published, released, published);
        self.newest_start = published;
        if published > 0 {
            self.find_newest()?;
        }
        self.appended = (self.newest_start, self.newest_label);
        let spills = &self.memory.0.spills;
        let found = spills
            .positions()
            .map_err(|source| RingError::Io { ring: self.memory.0.name.clone(), source })?;
        for position in found {
            if position >= published {
                spills.remove(position);
            } else {
                self.spills.push_back(position);
            }
        }
        self.drop_spills();
        Ok(())
    }

    fn find_newest(&mut self) -> Result<(), RingError> {
        let (memory, published) = (&self.memory, self.published);
        let start = published - memory.footer(published)?;
        let (header, end) = memory.header(start, published)?;
        if end != published {
            return Err(memory.bad_frame(start, "the newest frame does not end at the published index"));
        }
        // SAFETY: only this producer writes, and never over the newest message.
        let payload = unsafe { memory.payload(start, header.length) };
        memory.verify(start, end, &header, payload)?;
        if header.kind == Kind::Spill {
            self.newest_spill = Some(memory.0.spills.read(memory, start, payload)?);
        }
        (self.newest_start, self.newest_label) = (start, header.label);
        Ok(())
    }

    /// The newest published message with its label; before the first, the ring's base label and nothing. A message that
    /// was published since the attach from a spill is not kept here.
    pub fn newest(&self) -> (u64, Option<&[u8]>) {
        if let Some(spill) = &self.newest_spill {
            return (self.newest_label, Some(spill.bytes()));
        }
        let read = || {
            let (header, _) = self.memory.header(self.newest_start, self.published).ok()?;
            // SAFETY: only this producer writes, and while `self` is borrowed it does not.
            let payload = unsafe { self.memory.payload(self.newest_start, header.length) };
            (header.kind == Kind::Message).then_some(payload)
        };
        let message = (self.newest_start < self.published).then(read);
        (self.newest_label, message.flatten())
    }

    /// The label of the newest published message, or the base label.
    pub fn published_label(&self) -> u64 {
        self.newest_label
    }

    /// The consumer's released index as it is in memory now. A hint: it changes when room is made.
    #[inline]
    pub fn released_hint(&self) -> u64 {
        self.memory.index(RELEASED_AT).load(Ordering::Relaxed)
    }

    /// Whether everything appended has been published, and everything published has been released.
    pub fn is_drained(&mut self) -> bool {
        self.load_released();
        self.released == self.tail
    }

    /// Publishes a message.
    pub fn push(&mut self, label: u64, payload: &[u8]) -> Result<(), Full> {
        self.append(label, payload)?;
        self.publish();
        Ok(())
    }

    /// Writes a message behind the others without publishing it. Several can be published with one [`Self::publish`];
    /// when the ring is full, publishing what has been appended may be what makes room.
    pub fn append(&mut self, label: u64, payload: &[u8]) -> Result<(), Full> {
        assert!(payload.len() <= MESSAGE_BYTES_MAX, "messages are split long before this size");
        if frame_bytes(payload.len()) <= self.memory.frame_bytes_max() {
            self.append_frame(Kind::Message, label, payload)
        } else {
            self.append_spill(label, payload)
        }
    }

    /// Makes all that has been appended visible to the consumer, at once.
    pub fn publish(&mut self) {
        if self.tail == self.published {
            return;
        }
        // Release: pairs with the consumer's Acquire load, so whoever sees the index sees the frames.
        self.memory.index(PUBLISHED_AT).store(self.tail, Ordering::Release);
        self.published = self.tail;
        (self.newest_start, self.newest_label) = self.appended;
        self.newest_spill = None;
    }

    fn append_spill(&mut self, label: u64, payload: &[u8]) -> Result<(), Full> {
        // The spill is named by where its frame will lie, so the room is made sure of first.
        let start = self.room_for(frame_bytes(spill::REFERENCE_BYTES))?;
        // No memory for the file is the same as no room in the ring: it may come back, and nothing else helps.
        self.memory.0.spills.write(start, payload).map_err(|_| Full)?;
        self.spills.push_back(start);
        let reference = Reference::of(payload).encode();
        self.append_frame(Kind::Spill, label, &reference).expect("its room was there");
        assert_eq!(self.appended.0, start);
        Ok(())
    }

    fn append_frame(&mut self, kind: Kind, label: u64, payload: &[u8]) -> Result<(), Full> {
        let size = frame_bytes(payload.len());
        let start = self.room_for(size)?;
        if start != self.tail {
            self.write_header(self.tail, Kind::Skip, 0, &[]);
        }
        self.write_header(start, kind, label, payload);
        let place = FRAMES_AT + self.memory.place(start);
        let footer = (size as u64) | u64::from(!(size as u32)) << 32;
        let map = &self.memory.0.map;
        // SAFETY: `room_for` has found these bytes to be free: beyond what is published, and neither unreleased nor the
        // newest message of the lap before. Only this producer writes there and the consumer does not look there.
        unsafe {
            map.write(place + HEADER_BYTES, payload);
            map.write(place + size - FOOTER_BYTES, &footer.to_le_bytes());
        }
        self.appended = (start, label);
        self.tail = start + size as u64;
        Ok(())
    }

    fn write_header(&mut self, position: u64, kind: Kind, label: u64, payload: &[u8]) {
        let word = length_word(kind, payload.len());
        let crc = frame_crc(position, word, label, payload);
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&word.to_le_bytes());
        header[4..8].copy_from_slice(&crc.to_le_bytes());
        header[8..].copy_from_slice(&label.to_le_bytes());
        // SAFETY: as in `append_frame`; a skip lies in the same free stretch as the frame after it.
        unsafe { self.memory.0.map.write(FRAMES_AT + self.memory.place(position), &header) };
    }

    /// Where a frame of that size would begin, if there is room for it: at the tail, or at the next lap.
    fn room_for(&mut self, size: usize) -> Result<u64, Full> {
        assert!(size <= self.memory.frame_bytes_max());
        let rest = self.memory.capacity() - self.memory.place(self.tail);
        let start = if size <= rest { self.tail } else { self.tail + rest as u64 };
        if !self.fits(start + size as u64) {
            self.load_released();
            self.drop_spills();
            if !self.fits(start + size as u64) {
                return Err(Full);
            }
        }
        Ok(start)
    }

    fn fits(&self, end: u64) -> bool {
        end - self.released.min(self.newest_start) <= self.memory.capacity() as u64
    }

    /// A released index that makes no sense frees nothing; the consumer will find it on its next attach.
    fn load_released(&mut self) {
        // Acquire: pairs with the consumer's Release store, so its reads are over before the space is written to.
        let released = self.memory.index(RELEASED_AT).load(Ordering::Acquire);
        if released > self.released && released <= self.published && released.is_multiple_of(ALIGNMENT as u64)
        {
            self.released = released;
        }
    }

    /// Removes the spills of frames that are released and not the newest.
    fn drop_spills(&mut self) {
        let free = self.released.min(self.newest_start);
        while self.spills.front().is_some_and(|&start| start < free) {
            let start = self.spills.pop_front().expect("there is one");
            self.memory.0.spills.remove(start);
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.memory.free_end(End::Producer);
    }
}
