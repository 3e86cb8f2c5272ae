//! Responses that their client does not take, on HTTP/2.
//!
//! A stream without window is not asked for its body, so the body cannot notice that time passes; the backend's
//! connection would be held as long as the client likes. Each tick of the connection's watch looks here instead.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use crate::exchange::{Exchange, Finish};

/// The responses under way on one connection.
#[derive(Debug, Default)]
pub(crate) struct Streams(RefCell<Slab<Stream>>);

#[derive(Debug)]
struct Stream {
    exchange: Weak<Exchange>,
    /// What had been handed on at the last look, and since when nothing has.
    pieces: u64,
    since: Instant,
}

impl Streams {
    pub(crate) fn enter(&self, exchange: &Rc<Exchange>) -> usize {
        let pieces = exchange.download.pieces.get();
        self.0.borrow_mut().insert(Stream { exchange: Rc::downgrade(exchange), pieces, since: Instant::now() })
    }

    pub(crate) fn leave(&self, key: usize) {
        self.0.borrow_mut().try_remove(key);
    }

    /// Gives up on responses whose client took nothing for `idle`, or that took too long altogether: their backend's
    /// connection is closed, and the stream is reset once the client lets it be written to.
    pub(super) fn cut_stalled(&self, now: Instant, idle: Duration) {
        let mut stalled = Vec::new();
        for (_, stream) in self.0.borrow_mut().iter_mut() {
            let Some(exchange) = stream.exchange.upgrade() else { continue };
            let pieces = exchange.download.pieces.get();
            if pieces != stream.pieces || exchange.download.waits_for_backend.get() {
                stream.pieces = pieces;
                stream.since = now;
            }
            if now.duration_since(stream.since) >= idle || now >= exchange.total_at.get() {
                stalled.push(exchange);
            }
        }
        for exchange in stalled {
            exchange.download.lease.take();
            exchange.finish(Finish::TimedOut);
        }
    }
}
