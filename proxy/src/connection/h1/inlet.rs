//! What a client sends on an HTTP/1.1 connection, read off one buffer: heads and bodies, one after the other.
//!
//! A request's body is read by whoever forwards it, when it is asked for, so a slow backend slows its client and
//! nobody else. Never reads ahead of the request that is served, but for one read that tells whether the client left.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::Frame;

use super::head::{Bounds, Head, Kept, Refusal, parse};
use crate::connection::wire::Wire;
use crate::h1::{Decoder, Malformed, ReadBuffer};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The most that one read takes: what a client can have us hold that nobody asked for.
const READ_AT_MOST: usize = 64 * 1024;

/// What is left of a request body is read and thrown away up to this size, if it is here already, so that the
/// connection can be used again.
const DRAINED: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Inlet {
    wire: Rc<Wire>,
    inner: RefCell<Inner>,
}

#[derive(Debug)]
struct Inner {
    read: ReadBuffer,
    kept: Kept,
    /// What is left of the present request's body.
    body: Decoder,
    /// The body broke off or is malformed: nothing behind it can be told.
    broken: bool,
    /// What is left to write of an interim response that the client waits for.
    interim: &'static [u8],
}

/// A request's body on HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Upload(Rc<Inlet>);

/// Why it is not whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// The connection ended in it.
    #[error("the client's connection ended in the body")]
    Closed,
    /// Its framing is broken.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Why there is no further request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoHead {
    /// The client left.
    Closed,
    /// What it sent is refused.
    Refused(Refusal),
}

// === impl Inlet ===

impl Inlet {
    /// `begun`: bytes that were read already.
    pub(super) fn new(wire: &Rc<Wire>, begun: &[u8]) -> Rc<Self> {
        let mut read = ReadBuffer::new(READ_AT_MOST);
        if !begun.is_empty() {
            read.bytes = BytesMut::from(begun);
        }
        let inner = Inner { read, kept: Kept::default(), body: Decoder::Done, broken: false, interim: &[] };
        Rc::new(Self { wire: Rc::clone(wire), inner: RefCell::new(inner) })
    }

    /// The next request's head. The body of the last one must have been read.
    pub(super) fn poll_head(&self, cx: &mut Context<'_>, bounds: Bounds) -> Poll<Result<Head, NoHead>> {
        let inner = &mut *self.inner.borrow_mut();
        debug_assert!(inner.body.is_done(), "a request behind an unread body");
        loop {
            match parse(&mut inner.read.bytes, bounds, &mut inner.kept) {
                Ok(Some(head)) => {
                    inner.body = head.body;
                    inner.interim = if head.expects_continue { CONTINUE } else { &[] };
                    self.wire.traffic.head_open.set(false);
                    return Poll::Ready(Ok(head));
                }
                Ok(None) => {}
                Err(refusal) => return Poll::Ready(Err(NoHead::Refused(refusal))),
            }
            self.wire.traffic.head_open.set(!inner.read.bytes.is_empty());
            if !matches!(ready!(self.wire.poll_fill(cx, &mut inner.read)), Ok(1..)) {
                return Poll::Ready(Err(NoHead::Closed));
            }
        }
    }

    /// The present request's body, if it has one.
    pub(super) fn upload(self: &Rc<Self>) -> Option<Upload> {
        (!self.inner.borrow().body.is_done()).then(|| Upload(Rc::clone(self)))
    }

    /// All that comes behind a request without a body, for a tunnel.
    pub(super) fn what_follows(self: &Rc<Self>) -> Upload {
        Upload(Rc::clone(self))
    }

    /// Whether somebody holds the present request's body.
    pub(super) fn is_held(self: &Rc<Self>) -> bool {
        Rc::strong_count(self) > 1
    }

    /// Ready once the client left, as far as that can be told without reading ahead: not in a body that is not asked
    /// for, nor behind a request that came already.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let inner = &mut *self.inner.borrow_mut();
        if !inner.body.is_done() || !inner.read.bytes.is_empty() {
            return Poll::Pending;
        }
        // Asked first: room for a read costs more than to know that there is nothing to read.
        if ready!(self.wire.poll_readable(cx)).is_err() {
            return Poll::Ready(());
        }
        match ready!(self.wire.poll_fill(cx, &mut inner.read)) {
            Ok(1..) => Poll::Pending,
            Ok(0) | Err(_) => Poll::Ready(()),
        }
    }

    /// Whether the client has sent more than was served, or is about to.
    pub(super) fn has_more(&self) -> bool {
        let inner = self.inner.borrow();
        !inner.body.is_done() || !inner.read.bytes.is_empty()
    }

    /// From now on no interim response may be begun: the final one is on its way. What must be written before it.
    pub(super) fn settle_interim(&self) -> &'static [u8] {
        let interim = std::mem::take(&mut self.inner.borrow_mut().interim);
        if interim.len() < CONTINUE.len() { interim } else { &[] }
    }

    /// Throws away what is left of a body that nobody wants, as far as it is here and small; whether that was all.
    pub(super) fn drain(self: &Rc<Self>, cx: &mut Context<'_>) -> bool {
        let inner = &mut *self.inner.borrow_mut();
        if inner.broken || self.is_held() {
            return inner.body.is_done();
        }
        let mut drained = 0;
        while !inner.body.is_done() && drained <= DRAINED {
            let Poll::Ready(Some(Ok(frame))) = inner.poll_frame(cx, &self.wire) else { break };
            drained += frame.data_ref().map_or(0, Bytes::len);
        }
        inner.body.is_done()
    }

    /// Reads on and throws away all that comes; ready at the end, or when that was `most` bytes.
    pub(super) fn poll_discard(&self, cx: &mut Context<'_>, most: &mut usize) -> Poll<()> {
        let inner = &mut *self.inner.borrow_mut();
        loop {
            inner.read.bytes.clear();
            match ready!(self.wire.poll_fill(cx, &mut inner.read)) {
                Ok(read @ 1..) if read < *most => *most -= read,
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl Inner {
    /// The next piece of the body, with nothing said to a client that waits for a word.
    fn poll_frame(&mut self, cx: &mut Context<'_>, wire: &Wire) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        loop {
            match self.body.decode(&mut self.read.bytes) {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) if self.body.is_done() => return Poll::Ready(None),
                Ok(None) => {}
                Err(malformed) => {
                    self.broken = true;
                    return Poll::Ready(Some(Err(malformed.into())));
                }
            }
            let read = ready!(wire.poll_fill(cx, &mut self.read));
            if matches!(read, Ok(0)) && self.body == Decoder::ToClose {
                // The end of a tunnel; no request can follow, so that the body stays what it is.
                return Poll::Ready(None);
            }
            if !matches!(read, Ok(1..)) {
                self.broken = true;
                return Poll::Ready(Some(Err(UploadError::Closed)));
            }
        }
    }
}

// === impl Upload ===

impl Upload {
    /// The next piece; `None` at the end. A client that waits for a word before it sends is given it now.
    pub(in crate::connection) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let inner = &mut *self.0.inner.borrow_mut();
        if !inner.interim.is_empty() {
            if inner.read.bytes.is_empty() {
                let interim = inner.interim;
                let Ok(written) = ready!(self.0.wire.poll_write(cx, &[std::io::IoSlice::new(interim)])) else {
                    inner.broken = true;
                    return Poll::Ready(Some(Err(UploadError::Closed)));
                };
                inner.interim = &interim[written..];
            } else if inner.interim.len() == CONTINUE.len() {
                // It did not wait.
                inner.interim = &[];
            }
        }
        inner.poll_frame(cx, &self.0.wire)
    }

    /// From now on all that the client sends is read as it is: HTTP has ended here.
    pub(crate) fn begin_tunnel(&self) {
        let inner = &mut *self.0.inner.borrow_mut();
        debug_assert!(inner.body.is_done(), "an upgrade behind an unread body");
        inner.body = Decoder::ToClose;
    }

    /// Bytes that are left, if known.
    pub(in crate::connection) fn left(&self) -> Option<u64> {
        self.0.inner.borrow().body.exact()
    }
}
