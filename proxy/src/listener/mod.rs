//! Listeners: sockets bound by the control plane, accepted from by every worker.

mod accept;
mod bind;
mod handshake;
mod proxy_header;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use patchgate_config::snapshot::Listener;

pub(crate) use accept::accept;
pub(crate) use bind::bind;

/// What makes a listener the same over a reload: its address, so that it can be renamed; its name, where the port is
/// chosen by the kernel.
pub(crate) fn key(listener: &Listener) -> String {
    if listener.address.port() == 0 { listener.name.clone() } else { listener.address.to_string() }
}

/// A worker's handle to a listener's rules; follows the snapshot in force, so that a reload reaches open connections.
#[derive(Debug, Clone)]
pub(crate) struct ListenerRef(Rc<RefCell<Arc<Listener>>>);

impl ListenerRef {
    pub(crate) fn new(listener: Arc<Listener>) -> Self {
        Self(Rc::new(RefCell::new(listener)))
    }

    /// The rules in force.
    pub(crate) fn get(&self) -> Arc<Listener> {
        Arc::clone(&self.0.borrow())
    }

    /// Looks at the rules in force without taking a share in them.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Listener) -> T) -> T {
        look(&self.0.borrow())
    }

    pub(crate) fn set(&self, listener: Arc<Listener>) {
        *self.0.borrow_mut() = listener;
    }
}

/// Open connections of one listener over all workers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections(Arc<AtomicUsize>);

/// One connection's place in [`Connections`].
#[derive(Debug)]
pub(crate) struct ConnectionPermit(Arc<AtomicUsize>);

impl Connections {
    /// A place, unless `limit` are taken.
    fn enter(&self, limit: usize) -> Option<ConnectionPermit> {
        // Relaxed: a statistic with a bound; nothing else is published with it.
        if self.0.fetch_add(1, Ordering::Relaxed) < limit {
            return Some(ConnectionPermit(Arc::clone(&self.0)));
        }
        self.0.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One worker's share of a listener: its own socket on the common port.
#[derive(Debug)]
pub(crate) struct BoundListener {
    pub(crate) listener: Arc<Listener>,
    pub(crate) socket: std::net::TcpListener,
    pub(crate) connections: Connections,
}

impl BoundListener {
    /// Binds `listener` for every one of `workers`; also tells the address really bound. `alone`: a port that anybody
    /// listens on is refused.
    ///
    /// # Errors
    /// That of the operating system.
    pub(crate) fn bind(
        listener: &Arc<Listener>,
        workers: usize,
        alone: bool,
    ) -> std::io::Result<(SocketAddr, Vec<Self>)> {
        let sockets = bind(listener.address, workers, alone)?;
        let address = sockets[0].local_addr()?;
        let connections = Connections::default();
        let shares = sockets
            .into_iter()
            .map(|socket| Self { listener: Arc::clone(listener), socket, connections: connections.clone() })
            .collect();
        Ok((address, shares))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let connections = Connections::default();
        let first = connections.enter(2);
        let second = connections.enter(2);
        assert!(first.is_some() && second.is_some());
        assert!(connections.enter(2).is_none());
        drop(first);
        assert!(connections.enter(2).is_some());
    }
}
