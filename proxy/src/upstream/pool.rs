//! The kept-alive connections of one worker to one endpoint: of HTTP/1.1 last in, first out; of HTTP/2 shared.
//!
//! The most recently used connection is the least likely to be stale and the likeliest to be in the cache.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use patchgate_config::snapshot::BackendProtocol;
use patchgate_config::tls::BackendTls;
use tokio::io::AsyncWriteExt;

use super::Channel;
use super::h1::Connection;
use super::h2::Connections;
use crate::balance::Load;
use crate::circuit::Place;
use crate::socket::Socket;

/// Kept connections of one worker to one endpoint; a burst's further ones are closed when they come back.
const MAX_IDLE: usize = 1024;

/// A connection unused for this many sweeps is closed.
const SWEEPS_UNUSED: u8 = 3;

/// Connections to one endpoint.
#[derive(Debug)]
pub(crate) struct Pool {
    endpoint: SocketAddr,
    protocol: BackendProtocol,
    tls: Option<Arc<BackendTls>>,
    idle: RefCell<Vec<Idle>>,
    /// Those of HTTP/2.
    shared: Connections,
    retired: Cell<bool>,
    /// What this worker sees of the endpoint.
    pub(crate) load: Load,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    sweeps: u8,
}

/// A connection, or a stream of it, lent to one request. Dropped: closed, or reset. Given [back](Lease::give_back): kept.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Rc<Pool>,
    pub(crate) channel: Channel,
    /// Whether the connection served a request before: then it may be stale.
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
    pub(crate) fn new(endpoint: SocketAddr, protocol: BackendProtocol, tls: Option<Arc<BackendTls>>) -> Self {
        Self {
            endpoint,
            protocol,
            tls,
            idle: RefCell::default(),
            shared: Connections::default(),
            retired: Cell::new(false),
            load: Load::default(),
        }
    }

    pub(crate) fn endpoint(&self) -> SocketAddr {
        self.endpoint
    }

    pub(crate) fn protocol(&self) -> BackendProtocol {
        self.protocol
    }

    /// A kept connection, if there is one that the endpoint has not closed meanwhile.
    pub(crate) fn reuse(self: &Rc<Self>) -> Option<Lease> {
        if self.protocol == BackendProtocol::Http2 {
            return self.shared.stream().map(|stream| self.lease(Channel::Http2(Box::new(stream)), true));
        }
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut connection, .. }) = idle.pop() {
            if !connection.is_stale() {
                return Some(self.lease(Channel::Http1(connection), true));
            }
        }
        None
    }

    /// A new connection, under TLS if that is asked for, which begins with `introduction` and holds its
    /// `place`; or a stream on one that
    /// somebody else has made meanwhile.
    pub(crate) async fn connect(
        self: &Rc<Self>,
        timeout: Duration,
        introduction: Option<Bytes>,
        place: Option<Place>,
    ) -> Result<Lease, ConnectError> {
        let made = self.make(introduction);
        let channel = async {
            Ok(match self.protocol {
                BackendProtocol::Http1 => Channel::Http1(Box::new(Connection::new(made.await?, place))),
                BackendProtocol::Http2 => Channel::Http2(Box::new(self.shared.make(made, place).await?)),
            })
        };
        let channel = tokio::time::timeout(timeout, channel).await.map_err(|_| ConnectError::TimedOut)??;
        Ok(self.lease(channel, false))
    }

    fn lease(self: &Rc<Self>, channel: Channel, reused: bool) -> Lease {
        Lease { pool: Rc::clone(self), channel, reused }
    }

    async fn make(&self, introduction: Option<Bytes>) -> Result<Socket, ConnectError> {
        let failed = |_| ConnectError::Failed;
        let mut socket = Socket::connect(self.endpoint).await.map_err(failed)?;
        if let Some(introduction) = introduction {
            socket.write_all(&introduction).await.map_err(failed)?;
        }
        let Some(tls) = &self.tls else { return Ok(socket) };
        let config = match self.protocol {
            BackendProtocol::Http1 => tls.config(),
            BackendProtocol::Http2 => tls.http2_config(),
        };
        socket.secure(tls, config, self.endpoint).await.map_err(|error| {
            tracing::debug!(endpoint = %self.endpoint, %error, "no TLS could be agreed on with a backend");
            ConnectError::Tls
        })
    }

    /// Closes what is kept and keeps nothing any more.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
        self.shared.clear();
    }

    /// Closes connections that were not used for some sweeps, or that the endpoint closed.
    pub(crate) fn sweep(&self) {
        self.shared.sweep(SWEEPS_UNUSED);
        self.idle.borrow_mut().retain_mut(|idle| {
            idle.sweeps += 1;
            idle.sweeps <= SWEEPS_UNUSED && !idle.connection.is_stale()
        });
    }
}

impl Lease {
    /// Keeps the connection for the next request. Only to be called once request and response went through whole.
    pub(crate) fn give_back(self) {
        // A stream has ended; its connection is kept anyway.
        let Channel::Http1(mut connection) = self.channel else { return };
        connection.lines.clear();
        let mut idle = self.pool.idle.borrow_mut();
        if !self.pool.retired.get() && idle.len() < MAX_IDLE {
            idle.push(Idle { connection, sweeps: 0 });
        }
    }

    /// Whether a failure may be that of a connection that was kept for too long.
    pub(crate) fn may_be_stale(&self) -> bool {
        self.reused && self.channel.has_lost_connection()
    }
}
