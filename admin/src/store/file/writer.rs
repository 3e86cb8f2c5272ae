//! The writer: one thread that owns the end of the log, takes all appends that wait, writes them as one group and
//! answers when they are durable.
//!
//! Appends of a group are judged in the order in which they came, each against the head that those before it leave. If
//! the group is not taken, nothing of it happened, and nobody is told of a head that came to nothing.

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use super::appender::{Appender, Failed};
use super::disk::io_error;
use super::frame;
use super::index::{Index, Point};
use super::lock::Lock;
use crate::store::{Append, Head, Record, Sequence, StoreError};

/// Bytes of frames after which a group is closed.
const GROUP_BYTES: usize = 4 << 20;

/// An append that waits.
#[derive(Debug)]
pub(super) struct Request {
    pub expected: Sequence,
    /// Within the limits.
    pub payloads: Vec<Bytes>,
    /// Nobody may be there any more to hear it.
    pub answer: oneshot::Sender<Append>,
}

/// Owns the end of the log.
#[derive(Debug)]
pub(super) struct Writer {
    pub appender: Appender,
    pub newest: Option<Record>,
    pub index: Arc<RwLock<Index>>,
    pub heads: watch::Sender<Head>,
    /// Given back after the last write. A disk in a test has none.
    pub lock: Option<Lock>,
}

/// Appends that are written and synced together.
#[derive(Debug)]
struct Group {
    frames: Vec<u8>,
    /// The head once the group is durable, and its record.
    head: Head,
    newest: Option<Record>,
    /// First records of the batches, and where their frames begin in `frames`.
    batches: Vec<(Sequence, usize)>,
    /// All who asked.
    asked: Vec<Asked>,
}

#[derive(Debug)]
struct Asked {
    request: Request,
    /// It has frames in the group.
    written: bool,
    /// The answer if the group becomes durable.
    planned: Append,
}

impl Writer {
    /// Starts the thread. It ends when the queue does.
    pub(super) fn start(
        mut self,
        data: &Path,
        mut queue: mpsc::Receiver<Request>,
    ) -> Result<JoinHandle<()>, StoreError> {
        let run = move || {
            while let Some(request) = queue.blocking_recv() {
                self.serve(request, &mut queue);
            }
            // Nobody is left to be told, and the next open cuts what this leaves.
            let _ = self.appender.heal();
            drop(self.lock);
        };
        let thread = std::thread::Builder::new().name("event-log".to_owned()).spawn(run);
        thread.map_err(io_error("start the thread that writes", data))
    }

    /// Serves an append and those that wait behind it.
    pub(super) fn serve(&mut self, request: Request, queue: &mut mpsc::Receiver<Request>) {
        let mut group = Group::new(self.appender.head(), self.newest.clone());
        group.add(request);
        while group.frames.len() < GROUP_BYTES
            && let Ok(request) = queue.try_recv()
        {
            group.add(request);
        }
        if group.frames.is_empty() {
            return group.asked.into_iter().for_each(Asked::succeed);
        }
        match self.appender.append(&group.frames, group.head) {
            Ok(begins) => self.publish(begins, group),
            Err(failed) => {
                let newest = &self.newest;
                let head = self.appender.head();
                group.asked.into_iter().for_each(|asked| asked.fail(&failed, head, newest));
            }
        }
    }

    /// Lets readers find the group's records, then tells of them.
    fn publish(&mut self, begins: Point, group: Group) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        for (sequence, at) in group.batches {
            index.note(Point { sequence, offset: begins.offset + at as u64, ..begins });
        }
        drop(index);
        self.newest = group.newest;
        self.heads.send_replace(group.head);
        group.asked.into_iter().for_each(Asked::succeed);
    }
}

impl Group {
    fn new(head: Head, newest: Option<Record>) -> Self {
        Self { frames: Vec::new(), head, newest, batches: Vec::new(), asked: Vec::new() }
    }

    fn add(&mut self, request: Request) {
        let fits = request.expected == self.head.sequence;
        let written = fits && !request.payloads.is_empty();
        if written {
            self.encode(&request.payloads);
        }
        let planned = if fits {
            Append::Committed(self.head)
        } else {
            Append::Conflict { actual: self.head, newest: self.newest.clone() }
        };
        self.asked.push(Asked { request, written, planned });
    }

    fn encode(&mut self, payloads: &[Bytes]) {
        self.batches.push((self.head.sequence + 1, self.frames.len()));
        for (index, payload) in payloads.iter().enumerate() {
            self.head = self.head.next(payload);
            let goes_on = index + 1 < payloads.len();
            frame::encode(self.head, goes_on, payload, &mut self.frames);
        }
        let Head { sequence, hash } = self.head;
        self.newest = payloads.last().map(|payload| Record { sequence, hash, payload: payload.clone() });
    }
}

impl Asked {
    fn succeed(self) {
        let _ = self.request.answer.send(self.planned);
    }

    /// The group was not taken: `head` and `newest` are still what they were before it.
    fn fail(self, failed: &Failed, head: Head, newest: &Option<Record>) {
        let answer = match failed {
            Failed::Unknown(error) if self.written => Append::Unknown(again(error)),
            Failed::Refused(error) if self.written => Append::Refused(again(error)),
            _ if self.request.expected != head.sequence => Append::Conflict { actual: head, newest: newest.clone() },
            _ if self.request.payloads.is_empty() => Append::Committed(head),
            // It lost against one of the group, which is not stored either.
            Failed::Unknown(error) | Failed::Refused(error) => Append::Refused(again(error)),
        };
        let _ = self.request.answer.send(answer);
    }
}

/// One more of an error, for each who waits: the operating system's cannot be cloned.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Io { what, source } => {
            let number = source.raw_os_error().map(io::Error::from_raw_os_error);
            let source = number.unwrap_or_else(|| io::Error::new(source.kind(), source.to_string()));
            StoreError::Io { what: what.clone(), source }
        }
        StoreError::TooLarge { .. }
        | StoreError::BatchTooLarge { .. }
        | StoreError::Damaged(_)
        | StoreError::Closed => StoreError::Closed,
    }
}
