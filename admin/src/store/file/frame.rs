//! A frame: one record as it lies in a segment.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..4 | length of the payload, `u32` little-endian; its highest bit says that the batch goes on in the next frame |
//! | 4..8 | CRC32C of all of the frame but itself, `u32` little-endian |
//! | 8..16 | sequence, `u64` little-endian |
//! | 16..48 | chain hash |
//! | 48.. | payload, at most 1 MiB |
//!
//! Here bytes become frames and frames bytes. Whether a frame is the one that belongs there is of [`walk`](super::walk).

use std::io;

use super::error::Fault;
use super::window::Window;
use crate::store::{ChainHash, Head, MAX_RECORD_BYTES, Sequence};

/// Bytes before the payload.
pub(super) const HEADER: usize = 48;

/// The batch has more frames.
const GOES_ON: u32 = 1 << 31;

/// No log gets here; a number above it is noise.
const LAST_SEQUENCE: Sequence = 1 << 48;

/// Bytes searched at once for a frame after damage.
const SEARCHED: usize = 2 * (HEADER + MAX_RECORD_BYTES);

/// A frame whose checksum is right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// The record's place and hash.
    pub head: Head,
    /// The next frame is of the same batch.
    pub goes_on: bool,
    /// Bytes of the payload.
    length: usize,
}

impl Frame {
    /// The frame at `offset`.
    pub(super) fn read(window: &mut Window, offset: u64) -> Result<Self, Fault> {
        let header = window.at(offset, HEADER)?;
        if header.len() < HEADER {
            return Err(Fault::Incomplete);
        }
        let size = size(header).ok_or(Fault::Length)?;
        let bytes = window.at(offset, size)?;
        if bytes.len() < size {
            return Err(Fault::Incomplete);
        }
        Self::decode(bytes).ok_or(Fault::Checksum)
    }

    /// The payload of this frame, which was just read at `offset`.
    pub(super) fn payload<'a>(&self, window: &'a Window, offset: u64) -> &'a [u8] {
        window.held(offset + HEADER as u64, self.length)
    }

    /// Its bytes in the file.
    pub(super) fn size(&self) -> u64 {
        (HEADER + self.length) as u64
    }

    /// The frame that is exactly `bytes`, which are at least a header; none if the checksum is wrong.
    fn decode(bytes: &[u8]) -> Option<Self> {
        if u32_at(bytes, 4) != checksum(bytes) {
            return None;
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(&bytes[16..HEADER]);
        Some(Self {
            head: Head { sequence: u64_at(bytes, 8), hash: ChainHash::from_bytes(hash) },
            goes_on: u32_at(bytes, 0) & GOES_ON != 0,
            length: bytes.len() - HEADER,
        })
    }
}

/// Appends a frame to `out`. The payload is within the limit.
pub(super) fn encode(head: Head, goes_on: bool, payload: &[u8], out: &mut Vec<u8>) {
    let at = out.len();
    let length = u32::try_from(payload.len()).expect("a payload's size is checked before it gets here");
    out.extend_from_slice(&(if goes_on { length | GOES_ON } else { length }).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&head.sequence.to_le_bytes());
    out.extend_from_slice(head.hash.as_bytes());
    out.extend_from_slice(payload);
    let crc = checksum(&out[at..]);
    out[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
}

/// Whether a frame of a record from `least` on is anywhere at or after `offset`: at every byte, since after damage
/// nothing says where frames begin.
///
/// A payload that has such a frame in it counts, too; then an open refuses what it could have cut, which loses nothing.
pub(super) fn any_from(window: &mut Window, mut offset: u64, least: Sequence) -> io::Result<bool> {
    loop {
        let bytes = window.at(offset, SEARCHED)?;
        if bytes.len() < HEADER {
            return Ok(false);
        }
        let ends_here = bytes.len() < SEARCHED;
        // Within the first half every frame that begins there is whole in view.
        let starts = if ends_here { bytes.len() - HEADER + 1 } else { SEARCHED / 2 };
        for at in 0..starts {
            // Cheap questions first: of noise, the length alone leaves one place in two thousand.
            if let Some(size) = size(&bytes[at..])
                && (least..LAST_SEQUENCE).contains(&u64_at(bytes, at + 8))
                && let Some(frame) = bytes.get(at..at + size)
                && Frame::decode(frame).is_some()
            {
                return Ok(true);
            }
        }
        if ends_here {
            return Ok(false);
        }
        offset += starts as u64;
    }
}

/// The size of the frame that begins so; none if no frame does.
fn size(header: &[u8]) -> Option<usize> {
    let length = usize::try_from(u32_at(header, 0) & !GOES_ON).ok()?;
    (length <= MAX_RECORD_BYTES).then_some(HEADER + length)
}

fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[8..])
}

/// The number at `at`, which is within `bytes`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// The number at `at`, which is within `bytes`.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
