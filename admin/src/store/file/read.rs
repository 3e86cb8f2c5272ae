//! Reading records while others are appended: each read opens the files it needs and stops at the head.
//!
//! What is before the head never changes, so readers and the writer need not wait for each other.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use super::disk::{Disk, io_error};
use super::error::{Damage, Fault};
use super::frame::Frame;
use super::index::{Index, Point};
use super::segment;
use super::window::Window;
use crate::store::{Record, Sequence, StoreError};

/// Reads one log.
#[derive(Debug)]
pub(super) struct Reader {
    pub disk: Arc<dyn Disk>,
    pub log: PathBuf,
    pub index: Arc<RwLock<Index>>,
}

impl Reader {
    /// At most `limit` records from `from` on, up to record `head`.
    pub(super) fn read(&self, from: Sequence, limit: usize, head: Sequence) -> Result<Vec<Record>, StoreError> {
        let from = from.max(1);
        let last = head.min((from - 1).saturating_add(limit as u64));
        let mut records = Vec::with_capacity(usize::try_from((last + 1).saturating_sub(from)).unwrap_or_default());
        let mut next = from;
        while next <= last {
            let point = self.index.read().unwrap_or_else(PoisonError::into_inner).locate(next);
            let point = point.expect("every record up to the head is behind a point");
            self.read_segment(point, next, last, &mut records)?;
            next = records.last().map_or(from, |record| record.sequence + 1);
        }
        Ok(records)
    }

    /// The records from `from` to `last`, as far as they are in the segment of `point`; at least one.
    fn read_segment(
        &self,
        point: Point,
        from: Sequence,
        last: Sequence,
        records: &mut Vec<Record>,
    ) -> Result<(), StoreError> {
        let file = segment::path(&self.log, point.segment);
        let mut window = self.disk.open(&file).and_then(Window::new).map_err(io_error("open", &file))?;
        let (mut sequence, mut offset) = (point.sequence, point.offset);
        while sequence <= last && (offset < window.end() || sequence <= from) {
            let frame = Frame::read(&mut window, offset).and_then(|frame| match frame.head.sequence {
                found if found == sequence => Ok(frame),
                found => Err(Fault::Sequence(found)),
            });
            let frame =
                frame.map_err(|fault| Damage { file: file.clone(), offset, lost: sequence, torn: false, fault });
            let frame = frame.map_err(|damage| StoreError::Damaged(damage.into()))?;
            if sequence >= from {
                let payload = Bytes::copy_from_slice(frame.payload(&window, offset));
                records.push(Record { sequence, hash: frame.head.hash, payload });
            }
            offset += frame.size();
            sequence += 1;
        }
        Ok(())
    }
}
