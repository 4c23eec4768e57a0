//! Frames: how a message lies in a ring, and how one is read back without trust.

use super::{ALIGNMENT, FOOTER_BYTES, FRAMES_AT, HEADER_BYTES, RingError, RingMemory, Storage};

/// Kinds of frame, in the upper bits of the length word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Message = 1,
    Skip = 2,
    Spill = 3,
}

pub(super) const KIND_SHIFT: u32 = 28;

/// The header of a frame, decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) length: usize,
    crc: u32,
    pub(super) label: u64,
}

/// The whole size of a frame with that much payload.
pub(super) const fn frame_bytes(payload_bytes: usize) -> usize {
    (HEADER_BYTES + payload_bytes + FOOTER_BYTES).next_multiple_of(ALIGNMENT)
}

pub(super) fn length_word(kind: Kind, length: usize) -> u32 {
    assert!(length < 1 << KIND_SHIFT);
    (kind as u32) << KIND_SHIFT | length as u32
}

/// The position is part of the checksum so that a frame of an earlier lap never passes for one of this lap.
pub(super) fn frame_crc(position: u64, length_word: u32, label: u64, payload: &[u8]) -> u32 {
    let mut prefix = [0; 20];
    prefix[..8].copy_from_slice(&position.to_le_bytes());
    prefix[8..12].copy_from_slice(&length_word.to_le_bytes());
    prefix[12..].copy_from_slice(&label.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&prefix);
    hasher.update(payload);
    hasher.finalize()
}

impl<S: Storage> RingMemory<S> {
    /// Reads the header of the frame at `position`, which must lie below `published` (as loaded with Acquire).
    /// Returns it with the position after the frame.
    pub(super) fn header(&self, position: u64, published: u64) -> Result<(Header, u64), RingError> {
        let place = self.place(position);
        // SAFETY: 16 bytes from a 16-aligned place below a capacity that is a multiple of 16 lie within the memory; the
        // producer does not write below `published` before they are released.
        let bytes = unsafe { self.storage().slice(FRAMES_AT + place, HEADER_BYTES) };
        let word = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"));
        let crc = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes"));
        let label = u64::from_le_bytes(bytes[8..].try_into().expect("eight bytes"));
        let length = (word & ((1 << KIND_SHIFT) - 1)) as usize;
        let kind = match word >> KIND_SHIFT {
            1 => Kind::Message,
            2 => Kind::Skip,
            3 => Kind::Spill,
            _ => return Err(self.bad_frame(position, "unknown kind of frame")),
        };
        let size = if kind == Kind::Skip { self.capacity() - place } else { frame_bytes(length) };
        let end = position + size as u64;
        let fits = size <= self.frame_bytes_max() && place + size <= self.capacity() && end <= published;
        if !fits || (kind == Kind::Skip && end == published) {
            return Err(self.bad_frame(position, "bad frame length"));
        }
        Ok((Header { kind, length, crc, label }, end))
    }

    /// The payload of the frame at `position`, whose header has been read.
    ///
    /// # Safety
    /// The frame must not be overwritten while the slice lives: it is not released, or it is the newest.
    pub(super) unsafe fn payload(&self, position: u64, length: usize) -> &[u8] {
        // SAFETY: `header` has checked that the frame lies within the memory; the caller vouches for the rest.
        unsafe { self.storage().slice(FRAMES_AT + self.place(position) + HEADER_BYTES, length) }
    }

    /// Checks a frame's checksum and footer.
    pub(super) fn verify(
        &self,
        position: u64,
        end: u64,
        header: &Header,
        payload: &[u8],
    ) -> Result<(), RingError> {
        let word = length_word(header.kind, header.length);
        if frame_crc(position, word, header.label, payload) != header.crc {
            return Err(self.bad_frame(position, "frame fails its checksum"));
        }
        if header.kind != Kind::Skip && self.footer(end)? != end - position {
            return Err(self.bad_frame(end - FOOTER_BYTES as u64, "footer does not match its frame"));
        }
        Ok(())
    }

    /// The size of the frame that ends at `end`.
    pub(super) fn footer(&self, end: u64) -> Result<u64, RingError> {
        let at = end - FOOTER_BYTES as u64;
        // SAFETY: the eight bytes before a 16-aligned position lie within the memory; the producer does not write
        // below `published` while the frame is the newest or unreleased.
        let bytes = unsafe { self.storage().slice(FRAMES_AT + self.place(at), FOOTER_BYTES) };
        let size = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"));
        let inverted = u32::from_le_bytes(bytes[4..].try_into().expect("four bytes"));
        let whole = size == !inverted && (size as usize) <= self.frame_bytes_max() && u64::from(size) <= end;
        if whole && (size as usize).is_multiple_of(ALIGNMENT) && size as usize > HEADER_BYTES {
            return Ok(u64::from(size));
        }
        Err(self.bad_frame(at, "bad footer"))
    }
}
