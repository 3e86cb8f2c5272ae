//! The default store: a log in a directory of this machine, durable before anybody is told, verified from its first
//! byte whenever it is opened.
//!
//! ```text
//! DIR/lock                              held by the one process that appends
//! DIR/log/00000000000000000001.log      segments, named after their first record, without a gap
//! DIR/torn/…                            torn ends that were cut, byte for byte
//! ```
//!
//! In the order in which bytes meet them:
//!
//! - `disk`: the file operations, which tests let fail; `window`: bounded reading;
//! - `frame` and `segment`: the formats; `walk`: the way through all of it, on which everything is checked;
//! - `lock`, `recover`: an open; `index`, `read`: reading while others append;
//! - `writer`, `appender`: an append; `scan`, `export`: offline tools.
//!
//! It knows bytes. Damage is never stepped over and never repaired: an open refuses, and says what is lost and how the
//! rest is saved. Only a torn end, which a crash leaves, is cut.

mod appender;
mod disk;
mod error;
mod export;
mod frame;
mod index;
mod lock;
mod read;
mod recover;
mod scan;
mod segment;
mod walk;
mod window;
mod writer;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;

pub use self::error::{Damage, Fault, FileError};
pub use self::export::{Exported, export};
pub use self::recover::Torn;
pub use self::scan::{Scan, scan};

use self::disk::{Disk, RealDisk, io_error};
use self::lock::Lock;
use self::read::Reader;
use self::writer::{Request, Writer};
use super::{Append, EventStore, Head, Record, Sequence, StoreError, check_size};

/// What of a log can be chosen. All of it may change from one open to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A segment that would grow beyond these bytes is followed by another; a batch is never divided.
    pub segment_bytes: u64,
    /// Appends that may wait for the writer; more wait for a place.
    pub queue: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, queue: 256 }
    }
}

/// An open log.
///
/// Reading needs a tokio runtime. Dropping it waits until what was under way is durable, and gives the lock back.
#[derive(Debug)]
pub struct FileStore {
    heads: watch::Receiver<Head>,
    reader: Arc<Reader>,
    /// None once it is being dropped.
    queue: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

/// How an open ended.
#[derive(Debug)]
pub struct Opened {
    /// The log.
    pub store: FileStore,
    /// What was cut from its end; the operator should be told.
    pub torn: Option<Torn>,
}

impl FileStore {
    /// Opens the log of the data directory `data`, or makes one. Reads all of it, so it takes about a second for a
    /// million records, and blocks.
    ///
    /// # Errors
    /// If another process has it, if it is damaged (then nothing was changed), or if the operating system says no.
    pub fn open(data: &Path, options: Options) -> Result<Opened, FileError> {
        RealDisk.make_dir(data).map_err(io_error("make the directory", data))?;
        let lock = lock::take(data)?;
        Self::open_on(Arc::new(RealDisk), data, options, Some(lock))
    }

    fn open_on(disk: Arc<dyn Disk>, data: &Path, options: Options, lock: Option<Lock>) -> Result<Opened, FileError> {
        let recovered = recover::recover(&disk, data, options.segment_bytes)?;
        let index = Arc::new(RwLock::new(recovered.index));
        let (told, heads) = watch::channel(recovered.appender.head());
        let (queue, requests) = mpsc::channel(options.queue.max(1));
        let (appender, newest) = (recovered.appender, recovered.newest);
        let writer = Writer { appender, newest, index: Arc::clone(&index), heads: told, lock }.start(data, requests)?;
        let reader = Arc::new(Reader { disk, log: segment::log_dir(data), index });
        let store = Self { heads, reader, queue: Some(queue), writer: Some(writer) };
        Ok(Opened { store, torn: recovered.torn })
    }
}

#[async_trait]
impl EventStore for FileStore {
    fn watch(&self) -> watch::Receiver<Head> {
        self.heads.clone()
    }

    async fn append(&self, expected: Sequence, payloads: Vec<Bytes>) -> Append {
        if let Err(error) = check_size(&payloads) {
            return Append::Refused(error);
        }
        let Some(queue) = &self.queue else { return Append::Refused(StoreError::Closed) };
        let (answer, answered) = oneshot::channel();
        if queue.send(Request { expected, payloads, answer }).await.is_err() {
            return Append::Refused(StoreError::Closed);
        }
        // The writer is gone, and may have written it before.
        answered.await.unwrap_or(Append::Unknown(StoreError::Closed))
    }

    async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<Record>, StoreError> {
        let (reader, head) = (Arc::clone(&self.reader), self.head().sequence);
        match spawn_blocking(move || reader.read(from, limit, head)).await {
            Ok(read) => read,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime shuts down.
                Err(_) => Err(StoreError::Closed),
            },
        }
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A panic there was told where it happened.
            let _ = writer.join();
        }
    }
}
