//! One connection: the task that drives it, and the PING by which a backend that is gone is noticed.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, SendStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout};

use crate::circuit::Place;

/// What a backend may send before it was asked for more: on one stream, and on all together.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// What h2 may spend on keeping small DATA frames that no client has taken yet, by its own reckoning of 256 bytes a frame.
/// More than the windows let through of gRPC's smallest messages (5 bytes): one client that does not read must not end the
/// connection that others' requests are on.
const SMALL_FRAMES: usize = 64 * 1024 * 1024;

/// Streams that a backend allows which has said nothing of it; it cannot say this.
const UNKNOWN: usize = usize::MAX - 1;

/// What waits to be sent on one stream, at most; besides a piece of the body.
const SEND_BUFFER: usize = 256 * 1024;

/// A larger header list is an error of the backend.
const MAX_HEAD: u32 = 128 * 1024;

/// Streams that were reset from here and whose late frames are expected, and for how long. Those of others count as the
/// backend's errors.
const RESET_STREAMS: usize = 4096;
const RESET_EXPECTED: Duration = Duration::from_secs(30);

/// A backend that says nothing on any open stream for as long is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(10);

/// And has so long to answer.
const PONG: Duration = Duration::from_secs(5);

/// A backend that answers nothing but PING is asked this rarely: gRPC's servers end connections with more of them
/// (`too_many_pings`).
const SPARING: Duration = Duration::from_secs(300);

/// See the module. Ends once nobody holds it and its streams have ended.
pub(super) struct Connection {
    requests: RefCell<SendRequest<Bytes>>,
    pub(super) state: Rc<State>,
    idled: Cell<u8>,
}

/// What the driver and the streams tell each other.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Streams that requests hold.
    pub(super) streams: Cell<usize>,
    /// A head or a piece of a body came since somebody looked.
    pub(super) heard: Cell<bool>,
    /// The connection has ended.
    pub(super) ended: Cell<bool>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connection").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Connection {
    /// Begins to speak over `io`; a task of its own goes on with it once the backend's settings have come, by which it is
    /// known to speak HTTP/2, and how many streams it allows. It holds its `place`.
    ///
    /// # Errors
    /// When it says something else, or ends.
    pub(super) async fn begin(
        io: impl AsyncRead + AsyncWrite + Unpin + 'static,
        place: Option<Place>,
    ) -> io::Result<Rc<Self>> {
        let handshake = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .data_frame_budget(SMALL_FRAMES)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(MAX_HEAD)
            .max_concurrent_reset_streams(RESET_STREAMS)
            .reset_stream_duration(RESET_EXPECTED)
            .enable_push(false)
            .initial_max_send_streams(UNKNOWN)
            .handshake(io);
        let (requests, mut driver) = handshake.await.map_err(io::Error::other)?;
        poll_fn(|cx| match Pin::new(&mut driver).poll(cx) {
            Poll::Ready(_) => Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionAborted))),
            Poll::Pending if driver.max_concurrent_send_streams() == UNKNOWN => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await?;
        let state = Rc::<State>::default();
        let pings = driver.ping_pong();
        let told = Rc::clone(&state);
        tokio::task::spawn_local(async move {
            // Held for as long as the connection lasts.
            let _place = place;
            tokio::select! {
                _ = driver => {}
                () = until_mute(pings, &told) => {}
            }
            told.ended.set(true);
        });
        Ok(Rc::new(Self { requests: RefCell::new(requests), state, idled: Cell::new(0) }))
    }

    /// Whether it takes no further streams: it has ended, or the backend said GOAWAY.
    pub(super) fn is_over(&self) -> bool {
        // Never pending: no stream was opened by this very handle.
        let ready = self.requests.borrow_mut().poll_ready(&mut Context::from_waker(Waker::noop()));
        self.state.ended.get() || matches!(ready, Poll::Ready(Err(_)))
    }

    /// Whether the backend allows another stream now.
    pub(super) fn has_room(&self) -> bool {
        self.state.streams.get() < self.requests.borrow().current_max_send_streams()
    }

    /// Opens a stream.
    pub(super) fn open(
        &self,
        request: Request<()>,
        no_body: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut requests = self.requests.borrow().clone();
        requests.send_request(request, no_body)
    }

    /// One more sweep; tells how many it went through without a stream.
    pub(super) fn idled(&self) -> u8 {
        self.idled.set(if self.state.streams.get() > 0 { 0 } else { self.idled.get().saturating_add(1) });
        self.idled.get()
    }
}

/// Ends when the backend does not answer a PING in time.
async fn until_mute(pings: Option<PingPong>, state: &State) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    // When it was asked last, if it said nothing else since.
    let mut asked: Option<Instant> = None;
    loop {
        sleep(SILENCE).await;
        if state.heard.take() {
            asked = None;
        } else if state.streams.get() > 0 && asked.is_none_or(|asked| asked.elapsed() >= SPARING) {
            asked = Some(Instant::now());
            match timeout(PONG, pings.ping(Ping::opaque())).await {
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests;
