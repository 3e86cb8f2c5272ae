//! The event log: where records are kept, in one order, each chained to the one before.
//!
//! A store knows bytes and their order; what an event means is of `rollout`. Hash `n` is
//! `BLAKE3(hash n-1 ‖ payload n)` over the very bytes that are stored, hash 0 is 32 zero bytes: whoever has the payloads
//! can recompute the chain without this code.
//!
//! - [`memory`]: what a store is, in the fewest lines; for tests;
//! - [`mod@file`]: the default, a directory on this machine;
//! - `conformance`: the suite that each of them passes, behind the feature of that name.

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod file;
pub mod memory;

use std::borrow::Cow;
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::watch;

/// Bytes that a record's payload may have.
pub const MAX_RECORD_BYTES: usize = 1 << 20;

/// Bytes that the payloads of one append may have together.
pub const MAX_BATCH_BYTES: usize = 8 << 20;

/// Records that one append may have.
pub const MAX_BATCH_RECORDS: usize = 1_000;

/// Place of a record in the log, from 1; 0 is before the first.
pub type Sequence = u64;

/// Hash of a record and of all before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
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
#[must_use = "only what is committed is stored for certain"]
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
    /// An append is larger than one may be.
    #[error(
        "an append of {records} records and {bytes} bytes is over the limit of {MAX_BATCH_RECORDS} records \
         and {MAX_BATCH_BYTES} bytes; divide it"
    )]
    BatchTooLarge {
        /// Records in it.
        records: usize,
        /// Bytes of their payloads.
        bytes: usize,
    },
    /// What is stored is not what was appended.
    #[error("{0}")]
    Damaged(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// An append-only log with optimistic concurrency.
#[async_trait]
pub trait EventStore: Send + Sync + fmt::Debug {
    /// Tells of every new head, latest only; a head is told when it is durable.
    fn watch(&self) -> watch::Receiver<Head>;

    /// The newest record that is known to be durable.
    fn head(&self) -> Head {
        *self.watch().borrow()
    }

    /// Appends `payloads` after the record at `expected`: all of them or none, durable before this returns. Without
    /// payloads it asks whether `expected` is the head.
    ///
    /// Dropping the future takes nothing back: what was under way may still be stored.
    async fn append(&self, expected: Sequence, payloads: Vec<Bytes>) -> Append;

    /// At most `limit` records from `from` on, in order; fewer only at the end of the log.
    ///
    /// # Errors
    /// If they cannot be read.
    async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<Record>, StoreError>;
}

/// Refuses what no store takes.
///
/// # Errors
/// [`StoreError::TooLarge`] or [`StoreError::BatchTooLarge`].
pub(crate) fn check_size(payloads: &[Bytes]) -> Result<(), StoreError> {
    if let Some(large) = payloads.iter().find(|payload| payload.len() > MAX_RECORD_BYTES) {
        return Err(StoreError::TooLarge { bytes: large.len(), limit: MAX_RECORD_BYTES });
    }
    let (records, bytes) = (payloads.len(), payloads.iter().map(Bytes::len).sum());
    if records > MAX_BATCH_RECORDS || bytes > MAX_BATCH_BYTES {
        return Err(StoreError::BatchTooLarge { records, bytes });
    }
    Ok(())
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

impl Serialize for ChainHash {
    /// As hex.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChainHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hex = Cow::<'de, str>::deserialize(deserializer)?;
        let hash = blake3::Hash::from_hex(hex.as_bytes()).map_err(D::Error::custom)?;
        Ok(Self(*hash.as_bytes()))
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

    /// The head once a record with these bytes follows.
    #[must_use]
    pub fn next(self, payload: &[u8]) -> Self {
        Self { sequence: self.sequence + 1, hash: self.hash.next(payload) }
    }
}
