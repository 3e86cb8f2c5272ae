//! A client's socket under the parsers: sees what moves, gathers HTTP/2 frames.
//!
//! HTTP/2 frames are written once a turn of the event loop instead of once a DATA frame: a system call for many
//! responses instead of one for each.
//!
//! A [`Wire`] outlives the parsers put on it: an idle connection keeps its wire and drops its parser and buffers.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};

use crate::flat::FlatIo;
use crate::h1::ReadBuffer;
use crate::socket::Socket as Stream;

/// HTTP/2 frames gathered before they are written in any case.
const GATHER: usize = 64 * 1024;

/// What a connection's watch knows of its traffic.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Bytes of a head came in that is not whole yet; HTTP/1.1 only.
    pub(crate) head_open: Cell<bool>,
    /// A write waits for the client to read.
    pub(crate) write_blocked: Cell<bool>,
    /// Bytes written so far.
    pub(crate) written: Cell<u64>,
    /// Requests between head and end of response.
    pub(crate) in_flight: Cell<usize>,
    /// Requests begun so far.
    pub(crate) requests: Cell<u64>,
}

/// A client's socket.
#[derive(Debug)]
pub(super) struct Wire {
    socket: RefCell<Socket>,
    pub(super) traffic: Rc<Traffic>,
}

#[derive(Debug)]
struct Socket {
    stream: FlatIo,
    /// Bytes read before the parser took over.
    prefix: Bytes,
    /// Frames that wait for the end of this turn; HTTP/2 only.
    gathered: BytesMut,
}

/// hyper's view of a [`Wire`].
#[derive(Debug)]
pub(super) struct WireIo(pub(super) Rc<Wire>);

// === impl Wire ===

impl Wire {
    pub(super) fn new(stream: Stream) -> Rc<Self> {
        let socket = Socket { stream: FlatIo::new(stream), prefix: Bytes::new(), gathered: BytesMut::new() };
        Rc::new(Self { socket: RefCell::new(socket), traffic: Rc::default() })
    }

    /// Ready once there is something to read, or the end.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.borrow().stream.stream().poll_read_ready(cx)
    }

    /// Reads what is there; `WouldBlock` if nothing is.
    pub(super) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.socket.borrow_mut().stream.stream_mut().try_read(into)
    }

    /// Writes `bytes` if the socket takes them at once; for a last word before a close.
    pub(super) fn say(&self, bytes: &[u8]) {
        // A client that does not even read is told nothing.
        let _ = self.socket.borrow_mut().stream.stream_mut().try_write(bytes);
    }

    /// Ends TLS in an orderly way, if that can be done at once; without TLS the close itself says as much.
    pub(super) fn say_goodbye(&self) {
        let stream = &mut self.socket.borrow_mut().stream;
        if stream.stream().is_tls() {
            let _ = Pin::new(stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// Gives the next parser bytes that were read already.
    pub(super) fn put_back(&self, bytes: Bytes) {
        self.socket.borrow_mut().prefix = bytes;
    }

    /// The bytes that were read already.
    pub(super) fn take_prefix(&self) -> Bytes {
        std::mem::take(&mut self.socket.borrow_mut().prefix)
    }

    /// Reads some more into `read`; 0 is the end.
    pub(super) fn poll_fill(&self, cx: &mut Context<'_>, read: &mut ReadBuffer) -> Poll<io::Result<usize>> {
        read.poll_fill(cx, self.socket.borrow_mut().stream.stream_mut())
    }

    /// Writes some of `pieces`; tells how many bytes.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket.borrow_mut().stream).poll_write_vectored(cx, pieces);
        self.traffic.wrote(&result);
        result
    }

    /// Tells the client that nothing more comes.
    pub(super) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket.borrow_mut().stream).poll_shutdown(cx)
    }

    /// Has the client see a failure when the socket is closed, instead of an end.
    pub(super) fn reset_on_close(&self) {
        // Fails for a socket that is no more, which is as good.
        let _ = self.socket.borrow().stream.stream().set_zero_linger();
    }

    pub(super) fn has_gathered(&self) -> bool {
        !self.socket.borrow().gathered.is_empty()
    }

    /// Writes all that is gathered.
    pub(super) fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.borrow_mut().poll_drain(&self.traffic, cx)
    }
}

impl Socket {
    fn poll_drain(&mut self, traffic: &Traffic, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let result = Pin::new(&mut self.stream).poll_write(cx, &self.gathered);
            traffic.wrote(&result);
            let written = ready!(result)?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gathered.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl Traffic {
    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(written)) => {
                self.write_blocked.set(false);
                self.written.set(self.written.get() + *written as u64);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.write_blocked.set(true),
        }
    }
}

// === impl WireIo ===

impl Read for WireIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let socket = &mut *self.0.socket.borrow_mut();
        if !socket.prefix.is_empty() {
            let take = socket.prefix.len().min(buf.remaining());
            buf.put_slice(&socket.prefix[..take]);
            socket.prefix.advance(take);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut socket.stream).poll_read(cx, buf)
    }
}

impl Write for WireIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(piece)])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let socket = &mut *self.0.socket.borrow_mut();
        if socket.gathered.len() >= GATHER {
            ready!(socket.poll_drain(&self.0.traffic, cx))?;
        }
        pieces.iter().for_each(|piece| socket.gathered.extend_from_slice(piece));
        Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Gathered frames go out at the end of the turn (`http2::Turn`); a TCP stream itself has nothing to flush.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = &mut *self.0.socket.borrow_mut();
        ready!(socket.poll_drain(&self.0.traffic, cx))?;
        Pin::new(&mut socket.stream).poll_shutdown(cx)
    }
}
