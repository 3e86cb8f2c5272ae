//! The way through the whole log, frame by frame, on which everything is checked: headers, checksums, sequences, chain,
//! batches, and that no segment is missing.
//!
//! It reads, in bounded memory, and changes nothing. It stops at the first damage, and says whether that is a torn end.
//!
//! # Torn or damaged
//!
//! A crash while the log grows leaves a last frame that is incomplete or has a wrong checksum, or a batch without its
//! end, or a last segment with less than a header. Nothing of that was acknowledged. So it is a torn end if it is in the
//! last segment *and* no whole frame follows; anything else is damage. Two cases look like the other one:
//!
//! - Rot of the very last batch looks like a torn end. It is cut, told of, and its bytes are kept.
//! - A power cut may leave a later page of one group of appends on disk and an earlier one not: whole frames after a
//!   torn one, none of them acknowledged. That looks like rot and is refused, as rot would lose what was acknowledged.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;
use super::error::{Damage, Fault};
use super::frame::{self, Frame};
use super::segment;
use super::window::Window;
use crate::store::{Head, Sequence};

/// Where the last whole batch ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    /// The segment that it is in, or that is to have the next; none in a directory without segments.
    pub segment: Option<Sequence>,
    /// Where in the file the next frame begins.
    pub offset: u64,
    /// The last record.
    pub head: Head,
    /// Where the last record's frame begins, in the segment that has it.
    pub newest: Option<(Sequence, u64)>,
}

/// A frame that belongs where it is.
#[derive(Debug)]
pub(super) struct Verified<'a> {
    /// The first record of its segment.
    pub segment: Sequence,
    /// Where it begins.
    pub offset: u64,
    /// The record's place and hash.
    pub head: Head,
    /// The next frame is of the same batch.
    pub goes_on: bool,
    /// The event's bytes.
    pub payload: &'a [u8],
}

/// The walker.
#[derive(Debug)]
pub(super) struct Walk {
    disk: Arc<dyn Disk>,
    log: PathBuf,
    /// First records of the segments.
    firsts: Vec<Sequence>,
    /// Segments entered so far.
    entered: usize,
    /// The segment it is in.
    window: Option<Window>,
    /// The next frame.
    offset: u64,
    /// The last frame.
    head: Head,
    whole: Whole,
}

impl Walk {
    /// Begins before the first record.
    pub(super) fn new(disk: Arc<dyn Disk>, log: &Path) -> io::Result<Self> {
        let firsts = segment::list(&*disk, log)?;
        let whole = Whole { segment: None, offset: 0, head: Head::EMPTY, newest: None };
        Ok(Self { disk, log: log.to_path_buf(), firsts, entered: 0, window: None, offset: 0, head: Head::EMPTY, whole })
    }

    /// Where the last whole batch of those seen ends.
    pub(super) fn whole(&self) -> Whole {
        self.whole
    }

    /// The next frame; none at the end. After damage there is no next one.
    pub(super) fn next(&mut self) -> Result<Option<Verified<'_>>, Damage> {
        while self.window.as_ref().is_none_or(|window| self.offset >= window.end()) {
            if !self.enter()? {
                return Ok(None);
            }
        }
        let (segment, offset) = (self.firsts[self.entered - 1], self.offset);
        let frame = self.check().map_err(|fault| self.stop(fault))?;
        self.offset += frame.size();
        self.head = frame.head;
        if !frame.goes_on {
            let newest = Some((segment, offset));
            self.whole = Whole { segment: Some(segment), offset: self.offset, head: self.head, newest };
        }
        let Frame { head, goes_on, .. } = frame;
        let payload = self.window.as_ref().map(|window| frame.payload(window, offset)).unwrap_or_default();
        Ok(Some(Verified { segment, offset, head, goes_on, payload }))
    }

    /// The frame where the walker is, if it is the one that belongs there.
    fn check(&mut self) -> Result<Frame, Fault> {
        let window = self.window.as_mut().expect("it is asked within a segment");
        let frame = Frame::read(window, self.offset)?;
        let next = self.head.next(frame.payload(window, self.offset));
        if frame.head.sequence != next.sequence {
            return Err(Fault::Sequence(frame.head.sequence));
        }
        if frame.head.hash != next.hash {
            return Err(Fault::Chain);
        }
        Ok(frame)
    }

    /// Goes into the next segment; false after the last.
    fn enter(&mut self) -> Result<bool, Damage> {
        if self.head != self.whole.head {
            return Err(self.stop(Fault::Batch));
        }
        let Some(&first) = self.firsts.get(self.entered) else { return Ok(false) };
        if first != self.head.sequence + 1 {
            return Err(self.stop(Fault::Gap(first)));
        }
        (self.entered, self.offset, self.window) = (self.entered + 1, 0, None);
        self.header(first).map_err(|fault| self.stop(fault))?;
        self.offset = segment::HEADER as u64;
        self.whole = Whole { segment: Some(first), offset: self.offset, ..self.whole };
        Ok(true)
    }

    fn header(&mut self, first: Sequence) -> Result<(), Fault> {
        let file = self.disk.open(&segment::path(&self.log, first))?;
        let window = self.window.insert(Window::new(file)?);
        let before = segment::before(window.at(0, segment::HEADER)?)?;
        if before.sequence != self.head.sequence {
            return Err(Fault::HeaderSequence(before.sequence + 1));
        }
        if before.hash != self.head.hash {
            return Err(Fault::HeaderChain);
        }
        Ok(())
    }

    /// The damage at this place; there is no way past it.
    fn stop(&mut self, fault: Fault) -> Damage {
        let lost = self.whole.head.sequence + 1;
        let segment = self.entered.checked_sub(1).map_or(1, |index| self.firsts[index]);
        let (file, offset) = (segment::path(&self.log, segment), self.offset);
        let (torn, fault) = match self.is_torn(&fault, lost) {
            Ok(torn) => (torn, fault),
            Err(error) => (false, error.into()),
        };
        (self.entered, self.window) = (self.firsts.len(), None);
        self.head = self.whole.head;
        Damage { file, offset, lost, torn, fault }
    }

    fn is_torn(&mut self, fault: &Fault, lost: Sequence) -> io::Result<bool> {
        let Some(window) = self.window.as_mut().filter(|_| self.entered == self.firsts.len()) else { return Ok(false) };
        match fault {
            // A longer file has frames, and before those its header was durable.
            Fault::HeaderIncomplete | Fault::HeaderChecksum => Ok(window.end() <= segment::HEADER as u64),
            Fault::Incomplete | Fault::Length | Fault::Checksum => Ok(!frame::any_from(window, self.offset + 1, lost)?),
            Fault::Batch => Ok(true),
            Fault::HeaderSequence(_)
            | Fault::HeaderChain
            | Fault::Version(_)
            | Fault::Gap(_)
            | Fault::Sequence(_)
            | Fault::Chain
            | Fault::Unreadable(_) => Ok(false),
        }
    }
}
