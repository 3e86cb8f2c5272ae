//! The lock of a data directory: one process at a time appends to its log.
//!
//! It is the operating system's lock on the file `lock`, which ends with the process, however that ends. The file itself
//! says nothing and stays.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::disk::io_error;
use super::error::FileError;

/// Held while the log is open.
#[derive(Debug)]
pub(super) struct Lock {
    /// Closing it gives the lock back.
    _file: File,
}

/// Takes the lock of the data directory `data`, which exists.
pub(super) fn take(data: &Path) -> Result<Lock, FileError> {
    let path = data.join("lock");
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(FileError::Locked { dir: data.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(io_error("lock", &path)(error).into()),
    }
}
