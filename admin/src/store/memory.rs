//! A log in memory: what every store means by its answers, in the fewest lines.
//!
//! For tests and as the model that other stores are compared with. It keeps nothing beyond its last clone.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use super::{Append, EventStore, Head, Record, Sequence, StoreError, check_size};

/// The log; clones share it, as if it was opened once more.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    /// Record `n` is at index `n - 1`.
    records: Arc<Mutex<Vec<Record>>>,
    heads: watch::Sender<Head>,
}

impl MemoryStore {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self { records: Arc::default(), heads: watch::Sender::new(Head::EMPTY) }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    fn watch(&self) -> watch::Receiver<Head> {
        self.heads.subscribe()
    }

    async fn append(&self, expected: Sequence, payloads: Vec<Bytes>) -> Append {
        if let Err(error) = check_size(&payloads) {
            return Append::Refused(error);
        }
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let mut head = *self.heads.borrow();
        if expected != head.sequence {
            return Append::Conflict { actual: head, newest: records.last().cloned() };
        }
        for payload in payloads {
            head = head.next(&payload);
            records.push(Record { sequence: head.sequence, hash: head.hash, payload });
        }
        // While the lock is held, so that heads are told in their order.
        self.heads.send_replace(head);
        Append::Committed(head)
    }

    async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<Record>, StoreError> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        Ok(records.iter().skip(skipped).take(limit).cloned().collect())
    }
}
