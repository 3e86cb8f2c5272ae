//! HTTP/2 towards backends (RFC 9113): many requests on one connection, each on a stream of its own.
//!
//! Framing, flow control and HPACK are the h2 crate's. Here is which connection a request goes to, what of a stream's end
//! means that the backend never saw the request, and who notices that a backend is gone. A connection is driven by a task
//! of its own; a stream's body is read and written on the task of its request, as over HTTP/1.1.

mod connection;
mod stream;

use std::cell::RefCell;
use std::rc::Rc;

use tokio::sync::Semaphore;

use super::ConnectError;
use crate::circuit::Place;
use crate::socket::Socket;
use connection::Connection;
pub(crate) use stream::Stream;

/// The connections of one worker to one endpoint.
#[derive(Debug)]
pub(super) struct Connections {
    /// Those that may take another stream, now or later; the first that can does, so that the last may end.
    open: RefCell<Vec<Rc<Connection>>>,
    /// Held by whoever makes one: those who come meanwhile wait for it instead of making theirs.
    making: Semaphore,
}

impl Default for Connections {
    fn default() -> Self {
        Self { open: RefCell::default(), making: Semaphore::new(1) }
    }
}

impl Connections {
    /// A stream on a connection that has room for it.
    pub(super) fn stream(&self) -> Option<Stream> {
        let mut open = self.open.borrow_mut();
        open.retain(|connection| !connection.is_over());
        open.iter().find(|connection| connection.has_room()).map(Stream::on)
    }

    /// A stream on a connection that somebody else makes, or on one that `dial` makes now.
    ///
    /// # Errors
    /// As `dial`.
    pub(super) async fn make(
        &self,
        dial: impl Future<Output = Result<Socket, ConnectError>>,
        place: Option<Place>,
    ) -> Result<Stream, ConnectError> {
        // Never closed; without its permit there would be one connection more, and no harm.
        let _one_at_a_time = self.making.acquire().await;
        if let Some(stream) = self.stream() {
            return Ok(stream);
        }
        let connection = Connection::begin(dial.await?, place).await.map_err(|error| {
            tracing::debug!(%error, "a backend does not speak HTTP/2");
            ConnectError::Failed
        })?;
        let stream = Stream::on(&connection);
        self.open.borrow_mut().push(connection);
        Ok(stream)
    }

    /// Lets go of all; each ends with its last stream.
    pub(super) fn clear(&self) {
        self.open.borrow_mut().clear();
    }

    /// Lets go of those that are over, and of those that had no stream for so many sweeps.
    pub(super) fn sweep(&self, unused: u8) {
        self.open.borrow_mut().retain(|connection| !connection.is_over() && connection.idled() <= unused);
    }
}
