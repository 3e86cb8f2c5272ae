//! Small writes in one piece: a head and a small body copied together and sent with one `send`, which is cheaper than
//! a `writev`. Large ones stay vectored.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;

use crate::socket::Socket;

/// Up to this many bytes a vectored write is flattened.
const FLATTEN: usize = 16 * 1024;

thread_local! {
    /// Where a worker puts the pieces together.
    static FLAT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A socket that writes so.
#[derive(Debug)]
pub(crate) struct FlatIo(TokioIo<Socket>);

impl FlatIo {
    pub(crate) fn new(stream: Socket) -> Self {
        Self(TokioIo::new(stream))
    }

    pub(crate) fn stream_mut(&mut self) -> &mut Socket {
        self.0.inner_mut()
    }

    pub(crate) fn stream(&self) -> &Socket {
        self.0.inner()
    }
}

impl Read for FlatIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for FlatIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, piece)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.0);
        match pieces {
            [piece] => stream.poll_write(cx, piece),
            pieces if pieces.iter().map(|piece| piece.len()).sum::<usize>() <= FLATTEN => {
                FLAT.with_borrow_mut(|flat| {
                    flat.clear();
                    pieces.iter().for_each(|piece| flat.extend_from_slice(piece));
                    stream.poll_write(cx, flat)
                })
            }
            pieces => stream.poll_write_vectored(cx, pieces),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
