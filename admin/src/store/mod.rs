//! The event log: where records are kept, in one order, each chained to the one before.
//!
//! A store knows bytes and their order; what an event means is of `rollout`. Hash `n` is
//! `BLAKE3(hash n-1 ‖ payload n)` over the very bytes that are stored, hash 0 is 32 zero bytes: whoever has the payloads
//! can recompute the chain without this code.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

/// Place of a record in the log, from 1; 0 is before the first.
pub type Sequence = u64;

/// Hash of a record and of all before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash([u8; 32]);

/// The newest record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its place; 0 if there is none.
    pub sequence: Sequence,
    /// Its hash.
    pub hash: ChainHash,
}

/// A record as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place.
    pub sequence: Sequence,
    /// Its hash, which covers all before it.
    pub hash: ChainHash,
    /// The event's bytes.
    pub payload: Bytes,
}

/// How an append ended.
#[derive(Debug)]
pub enum Append {
    /// All of it is durable; this is the new head.
    Committed(Head),
    /// Somebody else was first; nothing of it is stored. `actual` is the head they left.
    Conflict {
        /// The head in force.
        actual: Head,
        /// The newest record, which tells who was first.
        newest: Option<Record>,
    },
    /// Nothing of it is stored, nor will be.
    Refused(StoreError),
    /// It may or may not be stored, now or later: read back, or try again with the same command id.
    Unknown(StoreError),
}

/// Why a store cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system or the network said no.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, with its path or address.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A payload is larger than a record may be.
    #[error("a record of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most there may be.
        limit: usize,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// An append-only log with optimistic concurrency.
#[async_trait]
pub trait EventStore: Send + Sync + fmt::Debug {
    /// The newest record that is known to be durable.
    fn head(&self) -> Head;

    /// Appends `payloads` after the record at `expected`: all of them or none, durable before this returns.
    async fn append(&self, expected: Sequence, payloads: Vec<Bytes>) -> Append;

    /// At most `limit` records from `from` on, in order; fewer only at the end of the log.
    ///
    /// # Errors
    /// If they cannot be read.
    async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<Record>, StoreError>;
}

// === impl ChainHash ===

impl ChainHash {
    /// The hash before the first record.
    pub const ZERO: Self = Self([0; 32]);

    /// The hash of the record that follows this one and has these bytes.
    #[must_use]
    pub fn next(self, payload: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0).update(payload);
        Self(*hasher.finalize().as_bytes())
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for ChainHash {
    /// Lower-case hex, 64 characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Head ===

impl Head {
    /// Of an empty log.
    pub const EMPTY: Self = Self { sequence: 0, hash: ChainHash::ZERO };
}
