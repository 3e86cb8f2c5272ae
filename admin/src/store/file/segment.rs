//! A segment: one file of the log, `log/00000000000000000001.log`, named after the first record it has or will have.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..8 | `PGATELOG` |
//! | 8..12 | version of the format, 1, `u32` little-endian |
//! | 12..20 | sequence of the first record, `u64` little-endian |
//! | 20..52 | chain hash before it |
//! | 52..56 | CRC32C of bytes 0..52, `u32` little-endian |
//! | 56.. | frames |
//!
//! The header is durable before a frame follows it.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::error::Fault;
use super::frame::{u32_at, u64_at};
use crate::store::{ChainHash, Head, Sequence};

/// Bytes before the first frame.
pub(super) const HEADER: usize = 56;

const MAGIC: &[u8; 8] = b"PGATELOG";
const VERSION: u32 = 1;
const SUFFIX: &str = ".log";
const DIGITS: usize = 20;

/// The directory of the segments in a data directory.
pub(super) fn log_dir(data: &Path) -> PathBuf {
    data.join("log")
}

/// The file of the segment that begins with record `first`.
pub(super) fn path(log: &Path, first: Sequence) -> PathBuf {
    log.join(format!("{first:0DIGITS$}{SUFFIX}"))
}

/// The first records of all segments, in order. Files of other names are none of ours; a segment that was renamed is
/// missed by its neighbours.
pub(super) fn list(disk: &dyn Disk, log: &Path) -> io::Result<Vec<Sequence>> {
    let mut firsts: Vec<_> = disk.list(log)?.iter().filter_map(|name| first(name)).collect();
    firsts.sort_unstable();
    Ok(firsts)
}

fn first(name: &str) -> Option<Sequence> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The header of the segment that follows `before`.
pub(super) fn header(before: Head) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..20].copy_from_slice(&(before.sequence + 1).to_le_bytes());
    bytes[20..52].copy_from_slice(before.hash.as_bytes());
    let crc = crc32c::crc32c(&bytes[..52]);
    bytes[52..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// What a segment follows, by its header.
pub(super) fn before(bytes: &[u8]) -> Result<Head, Fault> {
    if bytes.len() < HEADER {
        return Err(Fault::HeaderIncomplete);
    }
    if !bytes.starts_with(MAGIC) || u32_at(bytes, 52) != crc32c::crc32c(&bytes[..52]) {
        return Err(Fault::HeaderChecksum);
    }
    let version = u32_at(bytes, 8);
    if version != VERSION {
        return Err(Fault::Version(version));
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(&bytes[20..52]);
    let sequence = u64_at(bytes, 12).checked_sub(1).ok_or(Fault::HeaderSequence(0))?;
    Ok(Head { sequence, hash: ChainHash::from_bytes(hash) })
}
