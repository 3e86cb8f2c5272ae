//! A log read from its first byte without its lock, for tools that look at one that may be in use, or may be damaged.
//!
//! It changes nothing. Of a log in use, the end may be half written: that is told as torn.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::disk::{Disk, RealDisk, io_error};
use super::error::{Damage, FileError};
use super::segment;
use super::walk::Walk;
use crate::store::{Head, Record};

/// Begins at the first record of the log in the data directory `data`.
///
/// # Errors
/// If there is no log, or it cannot be listed.
pub fn scan(data: &Path) -> Result<Scan, FileError> {
    Scan::on(Arc::new(RealDisk), data)
}

/// The records of a log, each verified: header, checksum, sequence, chain. Damage is the last item; before it come all
/// records of batches that are whole.
#[derive(Debug)]
pub struct Scan {
    walk: Walk,
    /// Records of a whole batch, still to be given.
    whole: VecDeque<Record>,
}

impl Scan {
    pub(super) fn on(disk: Arc<dyn Disk>, data: &Path) -> Result<Self, FileError> {
        let log = segment::log_dir(data);
        let walk = Walk::new(disk, &log).map_err(io_error("list", &log))?;
        Ok(Self { walk, whole: VecDeque::new() })
    }

    fn next_batch(&mut self) -> Result<(), Damage> {
        while let Some(verified) = self.walk.next()? {
            let Head { sequence, hash } = verified.head;
            self.whole.push_back(Record { sequence, hash, payload: Bytes::copy_from_slice(verified.payload) });
            if !verified.goes_on {
                break;
            }
        }
        Ok(())
    }
}

impl Iterator for Scan {
    type Item = Result<Record, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.whole.is_empty()
            && let Err(damage) = self.next_batch()
        {
            self.whole.clear();
            return Some(Err(damage));
        }
        self.whole.pop_front().map(Ok)
    }
}
