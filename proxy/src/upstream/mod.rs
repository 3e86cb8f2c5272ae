//! Upstream connections of one worker: a pool for each endpoint that any backend names.
//!
//! Pools are the worker's own, so that lending a connection takes no lock and a request never changes threads. They
//! outlive snapshots: an endpoint that a reload keeps, keeps its connections; one that it drops loses them.

mod h1;
mod pool;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;

use patchgate_config::snapshot::Snapshot;

use crate::forward::mirror;

pub(crate) use h1::{Outgoing, ReadError, ResponseHead, SendError, framing_of, write_framing};
pub(crate) use pool::{ConnectError, Lease, Pool};

/// All pools of one worker.
#[derive(Debug, Default)]
pub(crate) struct Upstreams {
    pools: RefCell<HashMap<SocketAddr, Rc<Pool>>>,
}

impl Upstreams {
    /// The pool of an endpoint, made at first need.
    pub(crate) fn pool(&self, endpoint: SocketAddr) -> Rc<Pool> {
        Rc::clone(self.pools.borrow_mut().entry(endpoint).or_insert_with(|| Rc::new(Pool::new(endpoint))))
    }

    /// Lets go of pools that `snapshot` does not name; connections in use end with their request.
    pub(crate) fn reconcile(&self, snapshot: &Snapshot) {
        let backends = snapshot.backends.iter().flat_map(|backend| backend.endpoints.iter().copied());
        let named: HashSet<SocketAddr> = backends.chain(mirror::endpoints(snapshot)).collect();
        self.pools.borrow_mut().retain(|endpoint, pool| {
            let keep = named.contains(endpoint);
            if !keep {
                pool.retire();
            }
            keep
        });
    }

    /// Closes connections that idled for long. Called now and then by the worker.
    pub(crate) fn sweep(&self) {
        self.pools.borrow().values().for_each(|pool| pool.sweep());
    }
}
