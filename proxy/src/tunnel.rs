//! The client's side of a tunnel: what it sends goes to the backend, whatever becomes of the other direction.
//!
//! A task of its own, since a client that reads nothing for a while must not be kept from sending. The backend's side
//! is a response body as any other, which lasts until its connection ends ([`crate::body`]).

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use tokio::task::AbortHandle;

use crate::connection::{RequestBody, Upload};
use crate::exchange::{Exchange, Finish};
use crate::h1::{Encoder, Framing, RelayError};

/// See the module. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Tunnel(AbortHandle);

impl Tunnel {
    /// Begins to relay what the client sends behind its request; HTTP has ended on its connection.
    pub(crate) fn begin(exchange: &Rc<Exchange>, upload: Upload) -> Self {
        upload.begin_tunnel();
        exchange.worker().telemetry.upgraded();
        let exchange = Rc::clone(exchange);
        let task = tokio::task::spawn_local(async move {
            match relay(&exchange, RequestBody::Http1(upload)).await {
                // The backend is told that nothing more comes, and ends its side when it likes.
                Ok(()) => {
                    poll_fn(|cx| match &mut *exchange.download.lease.borrow_mut() {
                        Some(lease) => lease.channel.poll_shutdown(cx).map(drop),
                        None => Poll::Ready(()),
                    })
                    .await
                }
                Err(RelayError::Body) => {
                    exchange.download.lease.take();
                    exchange.finish(Finish::ClientGone);
                    // The body looks after its connection, and finds it taken.
                    exchange.deadline.pass();
                }
                // The backend's side shows it, too.
                Err(RelayError::Io) => {}
            }
        });
        Self(task.abort_handle())
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn relay(exchange: &Exchange, mut upload: RequestBody) -> Result<(), RelayError> {
    let mut encoder = Encoder::new(Framing::ToClose);
    poll_fn(|cx| {
        encoder.poll_relay(cx, &mut upload, |cx, pieces| {
            let mut lease = exchange.download.lease.borrow_mut();
            let Some(lease) = &mut *lease else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
            let written = lease.channel.poll_write_raw(cx, pieces);
            if let Poll::Ready(Ok(written)) = written {
                exchange.upload.tunnelled.set(true);
                exchange.worker().telemetry.tunnelled("upstream", written);
            }
            written
        })
    })
    .await
}
