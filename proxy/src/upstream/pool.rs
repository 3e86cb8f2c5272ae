//! The kept-alive connections of one worker to one endpoint: last in, first out.
//!
//! The most recently used connection is the least likely to be stale and the likeliest to be in the cache.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use patchgate_config::tls::BackendTls;
use tokio::io::AsyncWriteExt;

use super::h1::Connection;
use crate::balance::Load;
use crate::socket::Socket;

/// Kept connections of one worker to one endpoint; a burst's further ones are closed when they come back.
const MAX_IDLE: usize = 1024;

/// A connection unused for this many sweeps is closed.
const SWEEPS_UNUSED: u8 = 3;

/// Connections to one endpoint.
#[derive(Debug)]
pub(crate) struct Pool {
    endpoint: SocketAddr,
    tls: Option<Arc<BackendTls>>,
    idle: RefCell<Vec<Idle>>,
    retired: Cell<bool>,
    /// What this worker sees of the endpoint.
    pub(crate) load: Load,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    sweeps: u8,
}

/// A connection lent to one request. Dropped: closed. Given [back](Lease::give_back): kept.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Rc<Pool>,
    /// Boxed for as long as it lasts: it changes hands several times a request.
    pub(crate) connection: Box<Connection>,
    /// Whether it served a request before: then it may be stale.
    pub(crate) reused: bool,
}

/// Why no connection could be made.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// The endpoint refused, or could not be reached.
    Failed,
    /// It was reached, and no TLS could be agreed on.
    Tls,
    /// No answer in time.
    TimedOut,
}

impl Pool {
    pub(crate) fn new(endpoint: SocketAddr, tls: Option<Arc<BackendTls>>) -> Self {
        Self { endpoint, tls, idle: RefCell::default(), retired: Cell::new(false), load: Load::default() }
    }

    pub(crate) fn endpoint(&self) -> SocketAddr {
        self.endpoint
    }

    /// A kept connection, if there is one that the endpoint has not closed meanwhile.
    pub(crate) fn reuse(self: &Rc<Self>) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut connection, .. }) = idle.pop() {
            if !connection.is_stale() {
                return Some(Lease { pool: Rc::clone(self), connection, reused: true });
            }
        }
        None
    }

    /// A new connection, under TLS if that is asked for, which begins with `introduction`.
    pub(crate) async fn connect(
        self: &Rc<Self>,
        timeout: Duration,
        introduction: Option<Bytes>,
    ) -> Result<Lease, ConnectError> {
        let made = tokio::time::timeout(timeout, self.make(introduction)).await;
        let connection = Box::new(Connection::new(made.map_err(|_| ConnectError::TimedOut)??));
        Ok(Lease { pool: Rc::clone(self), connection, reused: false })
    }

    async fn make(&self, introduction: Option<Bytes>) -> Result<Socket, ConnectError> {
        let failed = |_| ConnectError::Failed;
        let mut socket = Socket::connect(self.endpoint).await.map_err(failed)?;
        if let Some(introduction) = introduction {
            socket.write_all(&introduction).await.map_err(failed)?;
        }
        let Some(tls) = &self.tls else { return Ok(socket) };
        socket.secure(tls, tls.config(), self.endpoint).await.map_err(|error| {
            tracing::debug!(endpoint = %self.endpoint, %error, "no TLS could be agreed on with a backend");
            ConnectError::Tls
        })
    }

    /// Closes what is kept and keeps nothing any more.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
    }

    /// Closes connections that were not used for some sweeps, or that the endpoint closed.
    pub(crate) fn sweep(&self) {
        self.idle.borrow_mut().retain_mut(|idle| {
            idle.sweeps += 1;
            idle.sweeps <= SWEEPS_UNUSED && !idle.connection.is_stale()
        });
    }
}

impl Lease {
    /// Keeps the connection for the next request. Only to be called once request and response went through whole.
    pub(crate) fn give_back(self) {
        let mut idle = self.pool.idle.borrow_mut();
        if !self.pool.retired.get() && idle.len() < MAX_IDLE {
            idle.push(Idle { connection: self.connection, sweeps: 0 });
        }
    }
}
