//! The file store does as the memory store does, through any appends, reads, reopens and cuts, on a real disk.

#![allow(clippy::unwrap_used, reason = "a test that finds something amiss panics")]

use std::fs::{self, OpenOptions};
use std::path::PathBuf;

use bytes::Bytes;
use patchgate_admin::store::file::{FileStore, Options, scan};
use patchgate_admin::store::memory::MemoryStore;
use patchgate_admin::store::{Append, EventStore, Head, Record};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const HEADER: u64 = 56;
const FRAME: u64 = 48;

#[derive(Debug, Clone)]
enum Act {
    /// Appends records of these lengths after the head, or that far beside it.
    Append(Vec<usize>, i64),
    /// Reads from this part of the log so many records.
    Read(f64, usize),
    Reopen,
    /// Closes the log, takes so many bytes from its end, and opens it.
    Cut(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let lengths = || vec(prop_oneof![9 => 0_usize..200, 1 => 0_usize..150_000], 0..5);
    prop_oneof![
        6 => lengths().prop_map(|lengths| Act::Append(lengths, 0)),
        1 => (lengths(), -3_i64..3).prop_map(|(lengths, beside)| Act::Append(lengths, beside)),
        3 => (0.0..1.2, 0_usize..20).prop_map(|(from, limit)| Act::Read(from, limit)),
        1 => Just(Act::Reopen),
        1 => (0_u64..700).prop_map(Act::Cut),
    ]
}

/// An answer, as far as it can be compared.
#[derive(Debug, PartialEq)]
enum Answer {
    Committed(Head),
    Conflict(Head, Option<Record>),
}

impl From<Append> for Answer {
    fn from(append: Append) -> Self {
        match append {
            Append::Committed(head) => Self::Committed(head),
            Append::Conflict { actual, newest } => Self::Conflict(actual, newest),
            other => panic!("{other:?}"),
        }
    }
}

struct Both {
    runtime: Runtime,
    data: TempDir,
    options: Options,
    file: Option<FileStore>,
    memory: MemoryStore,
    /// What was committed, batch by batch.
    batches: Vec<Vec<Bytes>>,
}

impl Both {
    fn new(segment_bytes: u64) -> Self {
        let (runtime, data) = (Runtime::new().unwrap(), TempDir::new().unwrap());
        let options = Options { segment_bytes, ..Options::default() };
        let file = Some(FileStore::open(data.path(), options).unwrap().store);
        Self { runtime, data, options, file, memory: MemoryStore::new(), batches: Vec::new() }
    }

    fn file(&self) -> &FileStore {
        self.file.as_ref().unwrap()
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Append(lengths, beside) => self.append(lengths, *beside),
            Act::Read(part, limit) => {
                let from = (self.memory.head().sequence as f64 * part) as u64;
                let read = |store: &dyn EventStore| self.runtime.block_on(store.read(from, *limit)).unwrap();
                assert_eq!(read(self.file()), read(&self.memory), "from {from}, limit {limit}");
            }
            Act::Reopen => self.reopen(0),
            Act::Cut(bytes) => {
                self.file = None;
                let torn = self.cut(*bytes);
                self.reopen(torn);
            }
        }
        assert_eq!(self.file().head(), self.memory.head());
    }

    fn append(&mut self, lengths: &[usize], beside: i64) {
        let head = self.memory.head().sequence;
        let number = |index: usize| u8::try_from((head as usize + index) % 251).unwrap();
        let batch: Vec<_> =
            lengths.iter().enumerate().map(|(index, &length)| Bytes::from(vec![number(index); length])).collect();
        let expected = head.saturating_add_signed(beside);
        let append =
            |store: &dyn EventStore| Answer::from(self.runtime.block_on(store.append(expected, batch.clone())));
        let answer = append(self.file());
        assert_eq!(answer, append(&self.memory));
        if matches!(answer, Answer::Committed(_)) && !batch.is_empty() {
            self.batches.push(batch);
        }
    }

    fn reopen(&mut self, torn: u64) {
        self.file = None;
        let opened = FileStore::open(self.data.path(), self.options).unwrap();
        let told = opened.torn.as_ref();
        assert_eq!(told.map_or(0, |torn| torn.bytes), torn);
        if let Some(kept) = told.and_then(|torn| torn.kept.as_ref()) {
            assert_eq!(fs::metadata(kept).unwrap().len(), torn);
        }
        self.file = Some(opened.store);
    }

    /// Takes bytes from the end of the last segment, and from the model what they were of; the bytes left over.
    fn cut(&mut self, bytes: u64) -> u64 {
        let mut segments: Vec<PathBuf> =
            fs::read_dir(self.data.path().join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
        segments.sort();
        let last = segments.pop().unwrap();
        let first: u64 = last.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let file = OpenOptions::new().write(true).open(&last).unwrap();
        let len = file.metadata().unwrap().len().saturating_sub(bytes);
        file.set_len(len).unwrap();

        let mut next = 1;
        let mut end = if len < HEADER { 0 } else { HEADER };
        let mut kept = Vec::new();
        for batch in std::mem::take(&mut self.batches) {
            let bytes: u64 = batch.iter().map(|payload| FRAME + payload.len() as u64).sum();
            if next >= first {
                if end + bytes > len || len < HEADER {
                    break;
                }
                end += bytes;
            }
            next += batch.len() as u64;
            kept.push(batch);
        }
        self.batches = kept;
        self.memory = MemoryStore::new();
        for batch in &self.batches {
            let append = self.memory.append(self.memory.head().sequence, batch.clone());
            assert!(matches!(self.runtime.block_on(append), Append::Committed(_)));
        }
        len - end
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_file_store_does_as_the_memory_store_does(
        segment_bytes in prop_oneof![Just(64), 200_u64..2_000, Just(1 << 20)],
        acts in vec(act(), 1..30),
    ) {
        let mut both = Both::new(segment_bytes);
        for act in &acts {
            both.act(act);
        }
        let all = both.runtime.block_on(both.memory.read(1, usize::MAX)).unwrap();
        // While the log is open: a scan needs no lock.
        let scanned: Result<Vec<_>, _> = scan(both.data.path()).unwrap().collect();
        prop_assert_eq!(&scanned.unwrap(), &all);
        both.reopen(0);
        prop_assert_eq!(both.runtime.block_on(both.file().read(1, usize::MAX)).unwrap(), all);
    }
}
