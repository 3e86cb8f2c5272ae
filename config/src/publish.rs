//! One cell that holds the current snapshot: one [`Publisher`] writes it, cloneable [`Reader`]s look.

use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use crate::snapshot::Snapshot;

/// Makes the cell.
#[must_use]
pub fn channel(initial: Arc<Snapshot>) -> (Publisher, Reader) {
    let cell = Arc::new(ArcSwap::new(initial));
    (Publisher { cell: Arc::clone(&cell) }, Reader { cell })
}

/// The only writer.
#[derive(Debug)]
pub struct Publisher {
    cell: Arc<ArcSwap<Snapshot>>,
}

/// Looks at the current snapshot.
#[derive(Debug, Clone)]
pub struct Reader {
    cell: Arc<ArcSwap<Snapshot>>,
}

/// A reader with a memory: looking costs one load of an atomic pointer. One a worker.
#[derive(Debug)]
pub struct CachedReader {
    cache: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
}

impl Publisher {
    /// Makes `next` the snapshot that every later look sees.
    pub fn publish(&self, next: Arc<Snapshot>) {
        self.cell.store(next);
    }

    /// The snapshot in force.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.cell.load_full()
    }
}

impl Reader {
    /// The snapshot in force, owned, so that it can be held across an await.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.cell.load_full()
    }

    /// A reader of its own for a worker.
    #[must_use]
    pub fn cached(&self) -> CachedReader {
        CachedReader { cache: Cache::new(Arc::clone(&self.cell)) }
    }
}

impl CachedReader {
    /// The snapshot in force.
    pub fn load(&mut self) -> &Arc<Snapshot> {
        self.cache.load()
    }
}
