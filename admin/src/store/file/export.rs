//! What is whole of a log, copied into a new one: the same records in the same batches with the same hashes.
//!
//! It reads without the lock and never writes into a log that is there.

use std::path::Path;
use std::sync::Arc;

use super::appender::{Appender, Failed};
use super::disk::{Disk, RealDisk, io_error};
use super::error::{Damage, FileError};
use super::walk::Walk;
use super::{Options, frame, lock, segment};
use crate::store::{Head, Sequence};

/// Bytes of frames that are written and synced at once, unless one batch has more.
const WRITTEN: usize = 4 << 20;

/// How an export ended.
#[derive(Debug)]
pub struct Exported {
    /// The new log's head.
    pub head: Head,
    /// Where the old log ceases to be whole, if the export came there.
    pub damage: Option<Damage>,
}

/// Copies the log of the data directory `from` into the new data directory `to`, up to record `until` or as far as it
/// is whole. A batch of which `until` is not the end is left out.
///
/// # Errors
/// If `to` has a log already, or the operating system says no. What is in `to` by then is of no use.
pub fn export(from: &Path, to: &Path, until: Option<Sequence>) -> Result<Exported, FileError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let from = segment::log_dir(from);
    let mut walk = Walk::new(Arc::clone(&disk), &from).map_err(io_error("list", &from))?;
    let log = segment::log_dir(to);
    disk.make_dir(&log).map_err(io_error("make the directory", &log))?;
    let _lock = lock::take(to)?;
    if !segment::list(&*disk, &log).map_err(io_error("list", &log))?.is_empty() {
        return Err(FileError::Occupied { dir: to.to_path_buf() });
    }
    let mut appender = Appender::create(disk, &log, Options::default().segment_bytes)?;
    let damage = copy(&mut walk, &mut appender, until.unwrap_or(Sequence::MAX))?;
    Ok(Exported { head: appender.head(), damage })
}

fn copy(walk: &mut Walk, appender: &mut Appender, until: Sequence) -> Result<Option<Damage>, FileError> {
    let mut frames = Vec::new();
    // Where in `frames` the whole batches end, and with which record.
    let (mut whole, mut head) = (0, Head::EMPTY);
    let damage = loop {
        let verified = match walk.next() {
            Ok(Some(verified)) if verified.head.sequence <= until => verified,
            Ok(_) => break None,
            Err(damage) => break Some(damage),
        };
        frame::encode(verified.head, verified.goes_on, verified.payload, &mut frames);
        if !verified.goes_on {
            (whole, head) = (frames.len(), verified.head);
        }
        if whole >= WRITTEN {
            append(appender, &frames[..whole], head)?;
            frames.drain(..whole);
            whole = 0;
        }
    };
    if whole > 0 {
        append(appender, &frames[..whole], head)?;
    }
    Ok(damage)
}

fn append(appender: &mut Appender, frames: &[u8], head: Head) -> Result<(), FileError> {
    match appender.append(frames, head) {
        Ok(_) => Ok(()),
        Err(Failed::Refused(error) | Failed::Unknown(error)) => Err(error.into()),
    }
}
