//! The file store on a disk that fails, fills up, rots and loses power, in memory: every byte and every step of it.

mod crash;
mod cut;
mod faults;
mod random;
mod rot;
mod sim;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Runtime;

use self::sim::SimDisk;
use super::{FileError, FileStore, Opened, Options, Scan, segment};
use crate::store::{Append, ChainHash, EventStore, Head, Record, Sequence, StoreError};

/// The data directory on a simulated disk.
const DATA: &str = "/data";

fn data() -> &'static Path {
    Path::new(DATA)
}

/// The file of the segment that begins with `first`.
fn segment_file(first: Sequence) -> PathBuf {
    segment::path(&segment::log_dir(data()), first)
}

fn options(segment_bytes: u64) -> Options {
    Options { segment_bytes, ..Options::default() }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn open(disk: &SimDisk, segment_bytes: u64) -> Result<Opened, FileError> {
    FileStore::open_on(Arc::new(disk.clone()), data(), options(segment_bytes), None)
}

fn append(runtime: &Runtime, store: &FileStore, expected: Sequence, payloads: &[Bytes]) -> Append {
    runtime.block_on(store.append(expected, payloads.to_vec()))
}

/// Appends what has to be taken.
#[track_caller]
fn commit(runtime: &Runtime, store: &FileStore, payloads: &[Bytes]) -> Head {
    match append(runtime, store, store.head().sequence, payloads) {
        Append::Committed(head) => head,
        other => panic!("not committed but {other:?}"),
    }
}

/// All records, after a look at whether they are chained and end with the head.
#[track_caller]
fn records(runtime: &Runtime, store: &FileStore) -> Vec<Record> {
    let records = runtime.block_on(store.read(1, usize::MAX)).unwrap();
    let head = records.iter().fold(Head::EMPTY, |head, record| {
        let next = head.next(&record.payload);
        assert_eq!((record.sequence, record.hash), (next.sequence, next.hash));
        next
    });
    assert_eq!(store.head(), head);
    records
}

/// The payloads of all records.
#[track_caller]
fn payloads(runtime: &Runtime, store: &FileStore) -> Vec<Bytes> {
    records(runtime, store).into_iter().map(|record| record.payload).collect()
}

fn scan(disk: &SimDisk) -> Scan {
    Scan::on(Arc::new(disk.clone()), data()).unwrap()
}

/// A log that is written without the code under test, by the tables in its documentation.
#[derive(Debug, Default)]
struct ByHand {
    /// The segment's bytes.
    bytes: Vec<u8>,
    sequence: Sequence,
    hash: [u8; 32],
    /// Where each batch ends, and how many records there are by then.
    batches: Vec<(usize, Sequence)>,
    /// Where each frame begins.
    frames: Vec<usize>,
}

impl ByHand {
    /// Begins the segment after another.
    fn after(before: &Self) -> Self {
        let (sequence, hash) = (before.sequence, before.hash);
        let mut bytes = Vec::new();
        bytes.extend(b"PGATELOG");
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend((sequence + 1).to_le_bytes());
        bytes.extend(hash);
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        Self { bytes, sequence, hash, ..Self::default() }
    }

    fn batch(&mut self, payloads: &[Vec<u8>]) {
        for (index, payload) in payloads.iter().enumerate() {
            self.sequence += 1;
            self.hash = *blake3::hash(&[&self.hash[..], payload].concat()).as_bytes();
            let more = u32::from(index + 1 < payloads.len()) << 31;
            let length = (payload.len() as u32 | more).to_le_bytes();
            let rest = [&self.sequence.to_le_bytes()[..], &self.hash, payload].concat();
            self.frames.push(self.bytes.len());
            self.bytes.extend(length);
            self.bytes.extend(crc32c::crc32c(&[&length[..], &rest].concat()).to_le_bytes());
            self.bytes.extend(rest);
        }
        self.batches.push((self.bytes.len(), self.sequence));
    }

    fn head(&self) -> Head {
        Head { sequence: self.sequence, hash: ChainHash::from_bytes(self.hash) }
    }
}

/// Batches of one and more records of all kinds of lengths, in one segment.
fn by_hand(after: &ByHand, batches: usize) -> ByHand {
    let mut log = ByHand::after(after);
    for number in 0..batches {
        let payload = |record| vec![b"abc"[record]; (number * 7 + record) % 23];
        log.batch(&(0..=number % 3).map(payload).collect::<Vec<_>>());
    }
    log
}
