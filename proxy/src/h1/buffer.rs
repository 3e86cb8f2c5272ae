//! Bytes read from a socket and not yet taken, with room that follows how much comes at a time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio_util::io::poll_read_buf;

use crate::socket::Socket;

/// Room for one read; doubled while reads fill it, so that a large body takes few of them.
const LEAST_ROOM: usize = 8 * 1024;

/// See the module. Takes no memory before the first read.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    pub(crate) bytes: BytesMut,
    room: usize,
    most: usize,
}

impl ReadBuffer {
    /// `most`: bytes that one read may take.
    pub(crate) fn new(most: usize) -> Self {
        Self { bytes: BytesMut::new(), room: LEAST_ROOM, most }
    }

    /// Reads some more; 0 is the end.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, stream: &mut Socket) -> Poll<io::Result<usize>> {
        // What was taken off may still be in use, so making room costs an allocation: not for a small gain.
        if self.bytes.capacity() - self.bytes.len() < self.room / 2 {
            self.bytes.reserve(self.room);
        }
        let offered = self.bytes.capacity() - self.bytes.len();
        let read = ready!(poll_read_buf(Pin::new(stream), cx, &mut self.bytes))?;
        if read == offered {
            self.room = (self.room * 2).min(self.most);
        } else if read < self.room / 4 {
            self.room = (self.room / 2).max(LEAST_ROOM);
        }
        Poll::Ready(Ok(read))
    }
}
