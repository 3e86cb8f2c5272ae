//! What happens when a log is opened: it is verified from its first byte, a torn end is cut, and the rest is durable.
//!
//! Damage stops it before anything is changed. The bytes of a torn end go to `torn/` first, so that nothing is lost.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::appender::{Appender, End, cut};
use super::disk::{Disk, io_error};
use super::error::{Damage, FileError};
use super::frame::Frame;
use super::index::{Index, Point};
use super::segment;
use super::walk::{Walk, Whole};
use super::window::Window;
use crate::store::{Record, StoreError};
use bytes::Bytes;

/// Bytes copied at once.
const COPIED: usize = 128 * 1024;

/// A torn end that was cut when the log was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The segment's file.
    pub file: PathBuf,
    /// Where it was cut; 0 if less than a header was there, and the file is gone.
    pub offset: u64,
    /// Bytes that were cut.
    pub bytes: u64,
    /// The file that has them now; none if there were none.
    pub kept: Option<PathBuf>,
}

/// A log that is whole and durable.
#[derive(Debug)]
pub(super) struct Recovered {
    pub appender: Appender,
    pub index: Index,
    pub newest: Option<Record>,
    pub torn: Option<Torn>,
}

/// Opens the log of the data directory `data`, or makes one.
pub(super) fn recover(disk: &Arc<dyn Disk>, data: &Path, segment_bytes: u64) -> Result<Recovered, FileError> {
    let log = segment::log_dir(data);
    disk.make_dir(&log).map_err(io_error("make the directory", &log))?;
    // Also if it was there: whoever made it may have died before that was durable.
    disk.sync_dir(data).map_err(io_error("sync", data))?;
    let mut walk = Walk::new(Arc::clone(disk), &log).map_err(io_error("list", &log))?;
    let mut index = Index::default();
    let ended = verify(&mut walk, &mut index);
    let whole = walk.whole();
    let torn = match ended {
        Ok(()) => None,
        Err(damage) if damage.torn => Some(cut_torn(&**disk, data, &damage, &whole)?),
        Err(damage) => return Err(damage.into()),
    };
    let newest = newest(&**disk, &log, &whole)?;
    let appender = match whole.segment {
        None => Appender::create(Arc::clone(disk), &log, segment_bytes)?,
        Some(segment) => {
            make_durable(&**disk, &log, &segment::path(&log, segment))?;
            let end = End { segment, offset: whole.offset, head: whole.head };
            Appender::resume(Arc::clone(disk), &log, segment_bytes, end)?
        }
    };
    Ok(Recovered { appender, index, newest, torn })
}

fn verify(walk: &mut Walk, index: &mut Index) -> Result<(), Damage> {
    let mut begins = None;
    while let Some(verified) = walk.next()? {
        let (segment, sequence, offset) = (verified.segment, verified.head.sequence, verified.offset);
        let begin = *begins.get_or_insert(Point { segment, sequence, offset });
        if !verified.goes_on {
            index.note(begin);
            begins = None;
        }
    }
    Ok(())
}

/// The process before may have died between a write and its sync: what was read may be in memory alone.
fn make_durable(disk: &dyn Disk, log: &Path, path: &Path) -> Result<(), StoreError> {
    disk.edit(path).and_then(|mut file| file.sync_all()).map_err(io_error("sync", path))?;
    disk.sync_dir(log).map_err(io_error("sync", log))
}

/// The last record. Its frame was verified, its bytes are read once more.
fn newest(disk: &dyn Disk, log: &Path, whole: &Whole) -> Result<Option<Record>, FileError> {
    let Some((first, offset)) = whole.newest else { return Ok(None) };
    let file = segment::path(log, first);
    let mut window = disk.open(&file).and_then(Window::new).map_err(io_error("open", &file))?;
    let lost = whole.head.sequence;
    let frame = Frame::read(&mut window, offset).map_err(|fault| Damage { file, offset, lost, torn: false, fault })?;
    let payload = Bytes::copy_from_slice(frame.payload(&window, offset));
    Ok(Some(Record { sequence: whole.head.sequence, hash: whole.head.hash, payload }))
}

fn cut_torn(disk: &dyn Disk, data: &Path, damage: &Damage, whole: &Whole) -> Result<Torn, StoreError> {
    let log = segment::log_dir(data);
    let file = damage.file.clone();
    let whole_file = whole.segment.map(|first| segment::path(&log, first));
    let headless = whole_file.as_ref() != Some(&file);
    let offset = if headless { 0 } else { whole.offset };
    let (kept, bytes) = keep(disk, data, &file, offset)?;
    if headless {
        // Durable with the directory, which is synced before anything is appended.
        disk.remove(&file).map_err(io_error("remove", &file))?;
    } else {
        disk.edit(&file)
            .and_then(|mut open| cut(&mut *open, offset))
            .map_err(io_error("cut the torn end of", &file))?;
    }
    Ok(Torn { file, offset, bytes, kept })
}

/// Copies the bytes of `file` from `offset` on into a new file in `torn/`, durably. Tells which, and how many.
fn keep(disk: &dyn Disk, data: &Path, file: &Path, offset: u64) -> Result<(Option<PathBuf>, u64), StoreError> {
    let mut window = disk.open(file).and_then(Window::new).map_err(io_error("open", file))?;
    let bytes = window.end().saturating_sub(offset);
    if bytes == 0 {
        return Ok((None, 0));
    }
    let dir = data.join("torn");
    disk.make_dir(&dir).map_err(io_error("make the directory", &dir))?;
    let taken = disk.list(&dir).map_err(io_error("list", &dir))?;
    let segment = file.file_stem().unwrap_or_default().to_string_lossy();
    let free = |number: &u64| !taken.contains(&name(&segment, offset, *number));
    let number = (1..).find(free).expect("a directory does not have all numbers");
    let path = dir.join(name(&segment, offset, number));
    let mut copy = || {
        let mut copy = disk.create(&path)?;
        let mut done = 0;
        while done < bytes {
            let piece = window.at(offset + done, COPIED)?;
            if piece.is_empty() {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            copy.write_all_at(piece, done)?;
            done += piece.len() as u64;
        }
        copy.sync_all()?;
        disk.sync_dir(&dir)
    };
    copy().map_err(io_error("keep the torn end of the log in", &path))?;
    Ok((Some(path), bytes))
}

/// An end may be torn at the same byte more than once.
fn name(segment: &str, offset: u64, number: u64) -> String {
    format!("{segment}-{offset}-{number}.torn")
}
