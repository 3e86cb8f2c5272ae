//! A file seen through a buffer that moves along: how the log is read, in bounded memory.
//!
//! It hands out bytes in place and knows nothing of what they mean.

use std::io;

use super::disk::DiskFile;

/// Bytes that are read at once, unless more are asked for.
const CHUNK: usize = 128 * 1024;

/// The bytes of a file up to where it ended when the window was opened: what is written meanwhile may be half there.
#[derive(Debug)]
pub(super) struct Window {
    file: Box<dyn DiskFile>,
    end: u64,
    /// Of the file, the bytes from `start` on; `filled` of them are valid.
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
}

impl Window {
    pub(super) fn new(file: Box<dyn DiskFile>) -> io::Result<Self> {
        let end = file.len()?;
        Ok(Self { file, end, buffer: Vec::new(), start: 0, filled: 0 })
    }

    /// Where the file ends.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The `len` bytes from `offset` on; fewer only where the file ends.
    pub(super) fn at(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let len = self.until_end(offset, len);
        if self.held(offset, len).len() < len {
            self.fill(offset, len)?;
            return Ok(&self.buffer[..self.filled.min(len)]);
        }
        Ok(self.held(offset, len))
    }

    /// The same bytes once more, or a part of them, after [`at`](Self::at) gave them; nothing if it did not.
    pub(super) fn held(&self, offset: u64, len: usize) -> &[u8] {
        let skip = offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.buffer[..self.filled].get(skip..skip.saturating_add(len))).unwrap_or_default()
    }

    fn until_end(&self, offset: u64, len: usize) -> usize {
        usize::try_from(self.end.saturating_sub(offset)).map_or(len, |left| left.min(len))
    }

    fn fill(&mut self, offset: u64, len: usize) -> io::Result<()> {
        let wanted = self.until_end(offset, len.max(CHUNK));
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        (self.start, self.filled) = (offset, 0);
        while self.filled < wanted {
            match self.file.read_at(&mut self.buffer[self.filled..wanted], offset + self.filled as u64) {
                // Somebody cut the file meanwhile.
                Ok(0) => {
                    self.end = offset + self.filled as u64;
                    break;
                }
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.filled = 0;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}
