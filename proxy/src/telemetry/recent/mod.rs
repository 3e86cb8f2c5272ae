//! The last decisions of each worker by trace id: what became of a request that somebody just sent.
//!
//! Written at a request's end by its worker, read from any thread, in fixed memory. An entry is guarded by a version
//! instead of a lock (a seqlock): the one writer never waits, and a reader that finds a version odd or changed takes
//! the entry as not there. All of it is atomics, so that what a reader throws away was no data race either.

mod record;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Instant;

pub use record::{RecentDecision, Record};

/// Entries of one worker; the oldest is written over.
pub const ENTRIES: usize = 1024;

/// The rings of all workers.
#[derive(Debug)]
pub struct Recent {
    rings: Box<[Arc<Ring>]>,
}

/// One worker's entries.
#[derive(Debug)]
pub struct Ring {
    entries: Box<[Entry]>,
    /// What records' times count from.
    epoch: Instant,
}

/// The one who writes a ring. Not [`Sync`]: a ring has one writer.
#[derive(Debug)]
pub struct Writer {
    ring: Arc<Ring>,
    next: Cell<usize>,
}

#[derive(Debug, Default)]
struct Entry {
    /// Even while the words are whole, odd while they are written; 0: never written.
    version: AtomicU64,
    words: [AtomicU64; Record::WORDS],
}

// === impl Recent ===

impl Recent {
    /// A ring for each worker.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { rings: (0..workers).map(|_| Arc::new(Ring::new(ENTRIES))).collect() }
    }

    /// The writer of one worker. Ask once for each.
    #[must_use]
    pub fn writer(&self, worker: usize) -> Writer {
        Writer { ring: Arc::clone(&self.rings[worker]), next: Cell::new(0) }
    }

    /// What is still known of a trace, newest first; one that comes by several times has as many.
    #[must_use]
    pub fn find(&self, trace_id: u128) -> Vec<Record> {
        let all = self.rings.iter().flat_map(|ring| ring.records());
        let mut found: Vec<Record> = all.filter(|record| record.trace_id == trace_id).collect();
        found.sort_by_key(|record| std::cmp::Reverse(record.at));
        found
    }
}

// === impl Ring ===

impl Ring {
    fn new(entries: usize) -> Self {
        Self { entries: (0..entries).map(|_| Entry::default()).collect(), epoch: Instant::now() }
    }

    fn records(&self) -> impl Iterator<Item = Record> {
        self.entries.iter().filter_map(|entry| Record::decode(entry.read()?, self.epoch))
    }
}

// === impl Writer ===

impl Writer {
    /// Writes over the oldest entry.
    pub fn write(&self, record: &Record) {
        let at = self.next.get();
        let entries = &self.ring.entries;
        self.next.set(if at + 1 == entries.len() { 0 } else { at + 1 });
        entries[at].write(record.encode(self.ring.epoch));
    }
}

// === impl Entry ===

impl Entry {
    fn write(&self, words: [u64; Record::WORDS]) {
        // ORDERING: Relaxed: this thread alone writes the version.
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version | 1, Ordering::Relaxed);
        // ORDERING: this Release fence pairs with the Acquire fence in `read`: a reader that got one of the words
        // stored below sees the odd version, or a later one, in its second look.
        fence(Ordering::Release);
        for (slot, word) in self.words.iter().zip(words) {
            slot.store(word, Ordering::Relaxed);
        }
        // ORDERING: Release pairs with the Acquire of `read`'s first look: who sees this version sees these words.
        self.version.store((version | 1).wrapping_add(1), Ordering::Release);
    }

    /// The words, if they are whole.
    fn read(&self) -> Option<[u64; Record::WORDS]> {
        // ORDERING: Acquire pairs with the Release of the last store in `write`.
        let before = self.version.load(Ordering::Acquire);
        if before == 0 || before & 1 == 1 {
            return None;
        }
        // ORDERING: Relaxed: whether they belong together is what the versions tell.
        let words = std::array::from_fn(|at| self.words[at].load(Ordering::Relaxed));
        // ORDERING: this Acquire fence pairs with the Release fence in `write`: see there.
        fence(Ordering::Acquire);
        let after = self.version.load(Ordering::Relaxed);
        (before == after).then_some(words)
    }
}

#[cfg(test)]
mod tests;
