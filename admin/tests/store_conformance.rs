//! Every store keeps the promises of `store::conformance`.

#![allow(clippy::unwrap_used, reason = "a test that finds something amiss panics")]

use std::sync::Arc;

use async_trait::async_trait;
use patchgate_admin::store::EventStore;
use patchgate_admin::store::conformance::Factory;
use patchgate_admin::store::file::{FileStore, Options};
use patchgate_admin::store::memory::MemoryStore;
use tempfile::TempDir;

struct InMemory(MemoryStore);

#[async_trait]
impl Factory for InMemory {
    async fn open(&self) -> Arc<dyn EventStore> {
        Arc::new(self.0.clone())
    }
}

struct InFiles {
    data: TempDir,
    options: Options,
}

impl InFiles {
    fn new(options: Options) -> Self {
        Self { data: TempDir::new().unwrap(), options }
    }
}

#[async_trait]
impl Factory for InFiles {
    async fn open(&self) -> Arc<dyn EventStore> {
        let opened = FileStore::open(self.data.path(), self.options).unwrap();
        assert_eq!(opened.torn, None);
        Arc::new(opened.store)
    }
}

mod memory {
    use super::*;

    patchgate_admin::conformance!(InMemory(MemoryStore::new()));
}

mod file {
    use super::*;

    patchgate_admin::conformance!(InFiles::new(Options::default()));
}

/// Nearly every append begins a segment, and nearly every one waits for a place in the queue.
mod file_in_small_parts {
    use super::*;

    patchgate_admin::conformance!(InFiles::new(Options { segment_bytes: 300, queue: 1 }));
}
