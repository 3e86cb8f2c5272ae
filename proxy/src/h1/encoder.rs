//! A message on its way out: the head, then the body piece by piece in its framing (RFC 9112 §6 and §7).
//!
//! Nothing is copied here: head, framing and piece are written from where they lie, in one call, which puts small ones
//! together (`flat`).

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};

/// How a body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Pieces with their lengths.
    Chunked,
    /// All until the connection ends; responses only.
    ToClose,
}

/// A body that is not as long as its head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WrongLength;

/// Why a message was not written to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RelayError {
    /// The connection failed.
    Io,
    /// The body failed, or was not as long as it said.
    Body,
}

impl From<WrongLength> for RelayError {
    fn from(_: WrongLength) -> Self {
        Self::Body
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Encoder {
    framing: Framing,
    /// The head; what is left of it.
    text: Bytes,
    /// What goes before the piece: the chunk's size.
    size: BytesMut,
    /// A piece of body.
    data: Bytes,
    /// What goes behind the piece: the chunk's end, the body's end.
    tail: Bytes,
    /// Bytes of a body of known length that are still to come.
    missing: u64,
    /// All of the body is in the buffers.
    ended: bool,
    takes_trailers: bool,
}

impl Encoder {
    pub(crate) fn new(framing: Framing) -> Self {
        Self {
            framing,
            text: Bytes::new(),
            size: BytesMut::new(),
            data: Bytes::new(),
            tail: Bytes::new(),
            missing: if let Framing::Length(length) = framing { length } else { 0 },
            ended: matches!(framing, Framing::None | Framing::Length(0)),
            takes_trailers: true,
        }
    }

    /// The receiver knows no trailer fields: they are left out.
    pub(crate) fn leave_trailers_out(&mut self) {
        self.takes_trailers = false;
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// Puts a head in front of what is to be written.
    pub(crate) fn head(&mut self, head: Bytes) {
        self.text = head;
    }

    /// Whether all of the body was given.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the next piece, or the end, can be given.
    fn takes_more(&self) -> bool {
        !self.ended && self.data.is_empty() && self.tail.is_empty()
    }

    /// Whether all that was given is written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.text.is_empty() && self.size.is_empty() && self.data.is_empty() && self.tail.is_empty()
    }

    /// The next piece of the body.
    ///
    /// # Errors
    /// The piece is longer than what was said: the rest would be read as the next message.
    fn piece(&mut self, data: Bytes) -> Result<(), WrongLength> {
        debug_assert!(self.takes_more(), "one piece at a time");
        if data.is_empty() {
            return Ok(());
        }
        match self.framing {
            Framing::None => return Err(WrongLength),
            Framing::Length(_) => {
                self.missing = self.missing.checked_sub(data.len() as u64).ok_or(WrongLength)?;
            }
            Framing::Chunked => {
                let written = write!((&mut self.size).writer(), "{:x}\r\n", data.len());
                debug_assert!(written.is_ok(), "a growing buffer takes every write");
                self.tail = Bytes::from_static(b"\r\n");
            }
            Framing::ToClose => {}
        }
        self.data = data;
        Ok(())
    }

    /// The end of the body; may be told at once with the last piece.
    ///
    /// # Errors
    /// The body is shorter than what was said.
    fn end(&mut self) -> Result<(), WrongLength> {
        match self.framing {
            Framing::Length(_) if self.missing > 0 => return Err(WrongLength),
            Framing::Chunked if self.tail.is_empty() => self.tail = Bytes::from_static(b"0\r\n\r\n"),
            Framing::Chunked => self.tail = Bytes::from_static(b"\r\n0\r\n\r\n"),
            Framing::None | Framing::Length(_) | Framing::ToClose => {}
        }
        self.ended = true;
        Ok(())
    }

    /// The end of the body with these fields behind it; only a chunked one has room for them.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    fn trailers(&mut self, fields: &HeaderMap) -> Result<(), WrongLength> {
        if self.framing != Framing::Chunked || !self.takes_trailers {
            return self.end();
        }
        let mut tail = BytesMut::from(&self.tail[..]);
        tail.extend_from_slice(b"0\r\n");
        for (name, value) in fields {
            tail.extend_from_slice(name.as_str().as_bytes());
            tail.extend_from_slice(b": ");
            tail.extend_from_slice(value.as_bytes());
            tail.extend_from_slice(b"\r\n");
        }
        tail.extend_from_slice(b"\r\n");
        self.tail = tail.freeze();
        self.ended = true;
        Ok(())
    }

    /// Writes what was given and the rest of `body`, as it comes; ready when all is written. `write` takes pieces and
    /// tells how many bytes it wrote.
    pub(crate) fn poll_relay<B>(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut B,
        mut write: impl FnMut(&mut Context<'_>, &[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    ) -> Poll<Result<(), RelayError>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        loop {
            // A piece that is there already leaves with the head.
            let waits = self.takes_more() && self.poll_take(cx, body)?.is_pending();
            ready!(self.poll_flush(cx, &mut write)).map_err(|_| RelayError::Io)?;
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if waits {
                return Poll::Pending;
            }
        }
    }

    /// Takes what there is of the body, one piece at most; pending when that is nothing yet.
    fn poll_take<B>(&mut self, cx: &mut Context<'_>, body: &mut B) -> Poll<Result<(), RelayError>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                match frame.into_data() {
                    Ok(data) => self.piece(data)?,
                    Err(frame) => self.other(frame)?,
                }
                // What ends the body leaves with the last of it.
                if !self.ended && body.is_end_stream() {
                    self.end()?;
                }
            }
            Some(Err(_)) => return Poll::Ready(Err(RelayError::Body)),
            None => self.end()?,
        }
        Poll::Ready(Ok(()))
    }

    fn other(&mut self, frame: Frame<Bytes>) -> Result<(), WrongLength> {
        frame.into_trailers().map_or(Ok(()), |fields| self.trailers(&fields))
    }

    /// Writes all that was given by `write`, which takes pieces and tells how many bytes it wrote.
    fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&mut Context<'_>, &[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        while !self.is_flushed() {
            let pieces = [&self.text[..], &self.size, &self.data, &self.tail];
            let mut slices = [IoSlice::new(&[]); 4];
            let mut used = 0;
            for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
                slices[used] = IoSlice::new(piece);
                used += 1;
            }
            let written = ready!(write(cx, &slices[..used]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        for piece in [&mut self.text as &mut dyn Buf, &mut self.size, &mut self.data, &mut self.tail] {
            let taken = written.min(piece.remaining());
            piece.advance(taken);
            written -= taken;
        }
    }
}

#[cfg(test)]
mod tests;
