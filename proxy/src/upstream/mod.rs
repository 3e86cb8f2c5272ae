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
use std::sync::Arc;

use patchgate_config::snapshot::Snapshot;
use patchgate_config::tls::BackendTls;

pub(crate) use h1::{Outgoing, ReadError, ResponseHead, SendError, framing_of, write_framing};
pub(crate) use pool::{ConnectError, Lease, Pool};

/// All pools of one worker.
#[derive(Debug, Default)]
pub(crate) struct Upstreams {
    pools: RefCell<HashMap<Key, Rc<Pool>>>,
}

/// An endpoint, and [by what TLS](BackendTls::id) it is spoken to.
type Key = (SocketAddr, Option<u128>);

fn key(endpoint: SocketAddr, tls: Option<&Arc<BackendTls>>) -> Key {
    (endpoint, tls.map(|tls| tls.id()))
}

impl Upstreams {
    /// The pool of an endpoint, made at first need.
    pub(crate) fn pool(&self, endpoint: SocketAddr, tls: Option<&Arc<BackendTls>>) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(key(endpoint, tls)).or_insert_with(|| Rc::new(Pool::new(endpoint, tls.cloned())));
        Rc::clone(pool)
    }

    /// Lets go of pools that `snapshot` does not name; connections in use end with their request.
    pub(crate) fn reconcile(&self, snapshot: &Snapshot) {
        let backends = snapshot.backends.iter().flat_map(|backend| {
            let tls = snapshot.service(backend.service).tls.as_ref();
            backend.endpoints.iter().map(move |&endpoint| key(endpoint, tls))
        });
        let mirrors = snapshot.services.iter().flat_map(|service| {
            let mirror = service.mirror.as_ref();
            let endpoints = mirror.map(|mirror| mirror.endpoints.as_slice()).unwrap_or_default();
            endpoints.iter().map(|&endpoint| key(endpoint, service.tls.as_ref()))
        });
        let named: HashSet<Key> = backends.chain(mirrors).collect();
        self.pools.borrow_mut().retain(|key, pool| {
            let keep = named.contains(key);
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
