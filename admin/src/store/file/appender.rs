//! The end of the log: the only place that writes frames and makes segments.
//!
//! What [`Appender::append`] took is durable. What it did not take is cut away again before anything follows it: bytes
//! in doubt are never built upon. It knows neither batches nor who waits for them.
//!
//! # What a crash leaves
//!
//! - While frames are written, or before they are synced: all of them, or a torn end. None was acknowledged.
//! - While a segment is made: no file, an empty one, less than a header, or a whole header. The segment before is
//!   synced by then, and nothing follows in it any more, so each of these is a good end of the log.
//! - While the end is cut: the file as long as before or as after; both are a good end of the log.
//!
//! After a failed sync the system may forget that bytes are not on disk. They are cut before the file is synced again,
//! so that success then speaks of none of them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile, io_error};
use super::index::Point;
use super::segment;
use crate::store::{Head, Sequence, StoreError};

/// Appends frames.
#[derive(Debug)]
pub(super) struct Appender {
    disk: Arc<dyn Disk>,
    log: PathBuf,
    /// A segment that would grow beyond is followed by another.
    segment_bytes: u64,
    file: Box<dyn DiskFile>,
    /// What is acknowledged ends here.
    end: End,
    /// The file may have bytes beyond its end.
    doubtful: bool,
    /// The next segment may be there already; a frame in this one would contradict its name.
    rolling: bool,
}

/// Where a log ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// The first record that the last segment has or will have.
    pub segment: Sequence,
    /// Where in it the next frame begins.
    pub offset: u64,
    /// The last record.
    pub head: Head,
}

/// Why frames were not taken.
#[derive(Debug)]
pub(super) enum Failed {
    /// None of them is in the log, nor will be.
    Refused(StoreError),
    /// They may be found there after a crash, unless something else is appended before.
    Unknown(StoreError),
}

impl Appender {
    /// Makes the first segment of a log.
    pub(super) fn create(disk: Arc<dyn Disk>, log: &Path, segment_bytes: u64) -> Result<Self, StoreError> {
        let (file, end) = make_segment(&*disk, log, Head::EMPTY)?;
        Ok(Self::new(disk, log, segment_bytes, file, end))
    }

    /// Goes on at the end of a log, which is durable.
    pub(super) fn resume(disk: Arc<dyn Disk>, log: &Path, segment_bytes: u64, end: End) -> Result<Self, StoreError> {
        let path = segment::path(log, end.segment);
        let file = disk.edit(&path).map_err(io_error("open", &path))?;
        Ok(Self::new(disk, log, segment_bytes, file, end))
    }

    fn new(disk: Arc<dyn Disk>, log: &Path, segment_bytes: u64, file: Box<dyn DiskFile>, end: End) -> Self {
        Self { disk, log: log.to_path_buf(), segment_bytes, file, end, doubtful: false, rolling: false }
    }

    /// The last record that is acknowledged.
    pub(super) fn head(&self) -> Head {
        self.end.head
    }

    /// Appends whole batches of frames, the last of which is that of `head`. Tells where the first begins.
    pub(super) fn append(&mut self, frames: &[u8], head: Head) -> Result<Point, Failed> {
        self.heal().map_err(Failed::Refused)?;
        let bytes = frames.len() as u64;
        let full = self.end.offset > segment::HEADER as u64 && self.end.offset + bytes > self.segment_bytes;
        if full || self.rolling {
            self.roll().map_err(Failed::Refused)?;
        }
        self.doubtful = true;
        if let Err(error) = self.file.write_all_at(frames, self.end.offset) {
            let error = self.error("write to", error);
            return Err(match self.heal() {
                Ok(()) => Failed::Refused(error),
                Err(_) => Failed::Unknown(error),
            });
        }
        if let Err(error) = self.file.sync_data() {
            // Tried at once, so that a crash finds as little in doubt as can be; if in vain, the next append tries.
            let _ = self.heal();
            return Err(Failed::Unknown(self.error("sync", error)));
        }
        self.doubtful = false;
        let End { segment, offset, head: before } = self.end;
        self.end = End { segment, offset: offset + bytes, head };
        Ok(Point { segment, sequence: before.sequence + 1, offset })
    }

    /// Cuts what is in doubt; after an error the next append tries again.
    pub(super) fn heal(&mut self) -> Result<(), StoreError> {
        if self.doubtful {
            cut(&mut *self.file, self.end.offset).map_err(|error| self.error("cut the end of", error))?;
            self.doubtful = false;
        }
        Ok(())
    }

    fn roll(&mut self) -> Result<(), StoreError> {
        self.rolling = true;
        (self.file, self.end) = make_segment(&*self.disk, &self.log, self.end.head)?;
        self.rolling = false;
        Ok(())
    }

    fn error(&self, what: &str, error: io::Error) -> StoreError {
        io_error(what, &segment::path(&self.log, self.end.segment))(error)
    }
}

/// Cuts a file, durably.
pub(super) fn cut(file: &mut dyn DiskFile, len: u64) -> io::Result<()> {
    file.set_len(len)?;
    file.sync_all()
}

/// Makes the segment that follows `before`, durably. A failed attempt's file is written over.
fn make_segment(disk: &dyn Disk, log: &Path, before: Head) -> Result<(Box<dyn DiskFile>, End), StoreError> {
    let segment = before.sequence + 1;
    let path = segment::path(log, segment);
    let make = || {
        let mut file = disk.create(&path)?;
        file.write_all_at(&segment::header(before), 0)?;
        file.sync_all()?;
        disk.sync_dir(log)?;
        Ok(file)
    };
    let file = make().map_err(io_error("make the segment", &path))?;
    Ok((file, End { segment, offset: segment::HEADER as u64, head: before }))
}
