//! Upstream connections of one worker: a pool for each endpoint that any backend names, in the protocol that it speaks.
//!
//! Pools are the worker's own, so that lending a connection takes no lock and a request never changes threads. They
//! outlive snapshots: an endpoint that a reload keeps, keeps its connections; one that it drops loses them.

mod channel;
mod h1;
mod h2;
mod outgoing;
mod pool;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;

use patchgate_config::snapshot::{BackendProtocol, Service, Snapshot};

pub(crate) use channel::{Channel, ReadError, SendError};
pub(crate) use h1::ResponseHead;
pub(crate) use outgoing::{Outgoing, framing_of, write_framing};
pub(crate) use pool::{ConnectError, Lease, Pool};

/// All pools of one worker.
#[derive(Debug, Default)]
pub(crate) struct Upstreams {
    pools: RefCell<HashMap<Key, Rc<Pool>>>,
}

/// An endpoint, the protocol that it speaks, and [by what TLS](patchgate_config::tls::BackendTls::id).
type Key = (SocketAddr, BackendProtocol, Option<u128>);

fn key(endpoint: SocketAddr, service: &Service) -> Key {
    (endpoint, service.protocol, service.tls.as_ref().map(|tls| tls.id()))
}

impl Upstreams {
    /// The pools of a service's endpoints, each made at first need.
    pub(crate) fn pools(&self, service: &Service, endpoints: &[SocketAddr]) -> Vec<Rc<Pool>> {
        let mut pools = self.pools.borrow_mut();
        let pool = |&endpoint: &SocketAddr| {
            let new = || Rc::new(Pool::new(endpoint, service.protocol, service.tls.clone()));
            Rc::clone(pools.entry(key(endpoint, service)).or_insert_with(new))
        };
        endpoints.iter().map(pool).collect()
    }

    /// Lets go of pools that `snapshot` does not name; connections in use end with their request.
    pub(crate) fn reconcile(&self, snapshot: &Snapshot) {
        let backends = snapshot.backends.iter().flat_map(|backend| {
            let service = snapshot.service(backend.service);
            backend.endpoints.iter().map(move |&endpoint| key(endpoint, service))
        });
        let mirrors = snapshot.services.iter().flat_map(|service| {
            let mirror = service.mirror.as_ref();
            let endpoints = mirror.map(|mirror| mirror.endpoints.as_slice()).unwrap_or_default();
            endpoints.iter().map(move |&endpoint| key(endpoint, service))
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
