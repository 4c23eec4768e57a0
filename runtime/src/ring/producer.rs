//! The producing end of a ring.

use super::frame::{Kind, frame_bytes, frame_crc, length_word};
use super::memory::{End, Indexes};
use super::spill::{Reference, Spill};
use super::*;
use crate::map::Map;
use std::collections::VecDeque;

/// Why a message was not put on a ring.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The ring has no room for it now; it will have once the consumer has released more.
    #[error("the ring is full")]
    Full,
    /// The ring cannot be used any more.
    #[error(transparent)]
    Ring(#[from] RingError),
}

/// The one who publishes. There is one at a time, enforced by [`Producer::attach`].
pub struct Producer<S: Storage = Map> {
    pub(super) memory: RingMemory<S>,
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

impl<S: Storage> Producer<S> {
    /// Continues the ring where the last producer left it.
    pub fn attach(memory: &RingMemory<S>) -> Result<Producer<S>, RingError> {
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
        let spills = self.memory.spills();
        let found = spills
            .positions()
            .map_err(|source| RingError::Io { ring: self.memory.name().to_owned(), source })?;
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
            self.newest_spill = Some(memory.spills().read(memory, start, payload)?);
        }
        (self.newest_start, self.newest_label) = (start, header.label);
        Ok(())
    }

    /// The newest published message with its label; before the first, the ring's base label and nothing. A message that
    /// was published since the attach from a spill is not kept here.
    pub fn newest(&self) -> Result<(u64, Option<&[u8]>), RingError> {
        if let Some(spill) = &self.newest_spill {
            return Ok((self.newest_label, Some(spill.bytes())));
        }
        if self.newest_start == self.published {
            return Ok((self.newest_label, None));
        }
        let (start, memory) = (self.newest_start, &self.memory);
        let (header, end) = memory.header(start, self.published)?;
        // SAFETY: only this producer writes, and while `self` is borrowed it does not.
        let payload = unsafe { memory.payload(start, header.length) };
        memory.verify(start, end, &header, payload)?;
        Ok((header.label, (header.kind == Kind::Message).then_some(payload)))
    }

    /// The label of the newest published message, or the base label.
    pub fn published_label(&self) -> u64 {
        self.newest_label
    }

    /// A number that changes when room is made. A hint, like [`Consumer::published_hint`].
    #[inline]
    pub fn released_hint(&self) -> u64 {
        self.memory.index_hint(RELEASED_AT)
    }

    /// Publishes a message.
    pub fn push(&mut self, label: u64, payload: &[u8]) -> Result<(), PushError> {
        self.append(label, payload)?;
        self.publish();
        Ok(())
    }

    /// Writes a message behind the others without publishing it. Several can be published with one [`Self::publish`];
    /// when the ring is full, publishing what has been appended may be what makes room.
    pub fn append(&mut self, label: u64, payload: &[u8]) -> Result<(), PushError> {
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
        self.memory.set_index(PUBLISHED_AT, self.tail);
        self.published = self.tail;
        (self.newest_start, self.newest_label) = self.appended;
        self.newest_spill = None;
    }

    fn append_spill(&mut self, label: u64, payload: &[u8]) -> Result<(), PushError> {
        // The spill is named by where its frame will lie, so the room is made sure of first.
        let start = self.room_for(frame_bytes(spill::REFERENCE_BYTES))?;
        // No memory for the file is the same as no room in the ring: it may come back, and nothing else helps.
        self.memory.spills().write(start, payload).map_err(|_| PushError::Full)?;
        self.spills.push_back(start);
        let reference = Reference::of(payload).encode();
        self.append_frame(Kind::Spill, label, &reference).expect("its room was there");
        assert_eq!(self.appended.0, start);
        Ok(())
    }

    fn append_frame(&mut self, kind: Kind, label: u64, payload: &[u8]) -> Result<(), PushError> {
        let size = frame_bytes(payload.len());
        let start = self.room_for(size)?;
        if start != self.tail {
            self.write_header(self.tail, Kind::Skip, 0, &[]);
        }
        self.write_header(start, kind, label, payload);
        let place = FRAMES_AT + self.memory.place(start);
        let footer = (size as u64) | u64::from(!(size as u32)) << 32;
        let storage = self.memory.storage();
        // SAFETY: `room_for` has found these bytes to be free: beyond what is published, and neither unreleased nor the
        // newest message of the lap before. Only this producer writes there and the consumer does not look there.
        unsafe {
            storage.write(place + HEADER_BYTES, payload);
            storage.write(place + size - FOOTER_BYTES, &footer.to_le_bytes());
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
        unsafe { self.memory.storage().write(FRAMES_AT + self.memory.place(position), &header) };
    }

    /// Where a frame of that size would begin, if there is room for it: at the tail, or at the next lap.
    fn room_for(&mut self, size: usize) -> Result<u64, PushError> {
        assert!(size <= self.memory.frame_bytes_max());
        let rest = self.memory.capacity() - self.memory.place(self.tail);
        let start = if size <= rest { self.tail } else { self.tail + rest as u64 };
        if !self.fits(start + size as u64) {
            self.load_released()?;
            self.drop_spills();
            if !self.fits(start + size as u64) {
                return Err(PushError::Full);
            }
        }
        if start + size as u64 > index::POSITION_MAX {
            return Err(self.memory.corrupt(PUBLISHED_AT, "the ring is worn out").into());
        }
        Ok(start)
    }

    fn fits(&self, end: u64) -> bool {
        end - self.released.min(self.newest_start) <= self.memory.capacity() as u64
    }

    fn load_released(&mut self) -> Result<(), RingError> {
        self.released = self.memory.index(RELEASED_AT, self.released, self.published)?;
        Ok(())
    }

    /// Goes as far as a ring can go, as if that much had been published and released.
    #[cfg(test)]
    pub(super) fn wear_out(&mut self) {
        (self.published, self.newest_start) = (index::POSITION_MAX, index::POSITION_MAX);
        (self.tail, self.released) = (index::POSITION_MAX, index::POSITION_MAX);
    }

    /// Removes the spills of frames that are released and not the newest.
    fn drop_spills(&mut self) {
        let free = self.released.min(self.newest_start);
        while self.spills.front().is_some_and(|&start| start < free) {
            let start = self.spills.pop_front().expect("there is one");
            self.memory.spills().remove(start);
        }
    }
}

impl<S: Storage> Drop for Producer<S> {
    fn drop(&mut self) {
        self.memory.free_end(End::Producer);
    }
}
