//! A connection that is a piece of memory: bytes take a drawn time, come in drawn pieces, and may never come.
//!
//! Follows TCP where a proxy can tell: closing with unread bytes resets, a reset drops what was under way, an end
//! comes behind the bytes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How bytes travel.
#[derive(Debug, Clone)]
pub struct Link {
    /// The most milliseconds that a piece takes.
    pub delay: u64,
    /// The most bytes that come in one piece.
    pub piece: usize,
    /// The most bytes under way and unread; then writes wait.
    pub room: usize,
    /// Draws.
    pub seed: u64,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Pipe {
    incoming: Rc<RefCell<Way>>,
    outgoing: Rc<RefCell<Way>>,
    timer: RefCell<Option<(Instant, Pin<Box<Sleep>>)>>,
    linger: std::cell::Cell<bool>,
}

/// Breaks a connection from outside.
#[derive(Debug, Clone)]
pub struct Breaker([Rc<RefCell<Way>>; 2]);

#[derive(Debug)]
struct Way {
    link: Link,
    random: fastrand::Rng,
    pieces: VecDeque<(Instant, VecDeque<u8>)>,
    under_way: usize,
    /// No piece overtakes another.
    last: Option<Instant>,
    end: Option<(Instant, End)>,
    reader_gone: bool,
    /// What is written is taken and never comes.
    silent: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
}

/// Both ends of a new connection.
#[must_use]
pub fn pipe(link: &Link) -> (Pipe, Pipe) {
    let way = |nth: u64| {
        Rc::new(RefCell::new(Way {
            link: link.clone(),
            random: fastrand::Rng::with_seed(link.seed.wrapping_mul(2).wrapping_add(nth)),
            pieces: VecDeque::new(),
            under_way: 0,
            last: None,
            end: None,
            reader_gone: false,
            silent: false,
            reader: None,
            writer: None,
        }))
    };
    let (here, there) = (way(0), way(1));
    let end = |incoming: &Rc<RefCell<Way>>, outgoing: &Rc<RefCell<Way>>| Pipe {
        incoming: Rc::clone(incoming),
        outgoing: Rc::clone(outgoing),
        timer: RefCell::new(None),
        linger: std::cell::Cell::new(true),
    };
    (end(&here, &there), end(&there, &here))
}

// === impl Way ===

impl Way {
    fn arrival(&mut self) -> Instant {
        let delay = Duration::from_millis(self.random.u64(0..=self.link.delay));
        let at = (Instant::now() + delay).max(self.last.unwrap_or_else(Instant::now));
        self.last = Some(at);
        at
    }

    fn finish(&mut self, end: End) {
        if self.end.is_some_and(|(_, known)| known == End::Reset || known == end) {
            return;
        }
        let at = match end {
            End::Closed => self.arrival(),
            End::Reset => {
                self.pieces.clear();
                self.under_way = 0;
                Instant::now()
            }
        };
        if !self.silent {
            self.end = Some((at, end));
        }
        self.wake();
    }

    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }

    /// When there is something to read, if there ever is.
    fn readable_at(&self) -> Option<Instant> {
        self.pieces.front().map(|(at, _)| *at).or(self.end.map(|(at, _)| at))
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let now = Instant::now();
        if let Some((at, piece)) = self.pieces.front_mut()
            && *at <= now
        {
            let taken = piece.len().min(into.len());
            for (to, byte) in into.iter_mut().zip(piece.drain(..taken)) {
                *to = byte;
            }
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            self.under_way -= taken;
            self.writer.take().into_iter().for_each(Waker::wake);
            return Ok(taken);
        }
        match self.end {
            Some((at, end)) if self.pieces.is_empty() && at <= now => match end {
                End::Closed => Ok(0),
                End::Reset => Err(io::ErrorKind::ConnectionReset.into()),
            },
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.reader_gone || self.end.is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = self.link.room.saturating_sub(self.under_way);
        if room == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = bytes.len().min(room);
        self.under_way += taken;
        if self.silent {
            return Ok(taken);
        }
        let mut rest = &bytes[..taken];
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(self.random.usize(1..=self.link.piece).min(rest.len()));
            let at = self.arrival();
            self.pieces.push_back((at, piece.iter().copied().collect()));
            rest = more;
        }
        self.reader.take().into_iter().for_each(Waker::wake);
        Ok(taken)
    }
}

// === impl Pipe ===

impl Pipe {
    /// What can break this connection.
    #[must_use]
    pub fn breaker(&self) -> Breaker {
        Breaker([Rc::clone(&self.incoming), Rc::clone(&self.outgoing)])
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([10, 9, 9, 9], 80)))
    }

    pub(crate) fn set_zero_linger(&self) -> io::Result<()> {
        self.linger.set(false);
        Ok(())
    }

    pub(crate) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.incoming.borrow_mut().read(into)
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.borrow_mut().write(bytes)
    }

    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut way = self.incoming.borrow_mut();
        let Some(at) = way.readable_at() else {
            way.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if at <= Instant::now() {
            return Poll::Ready(Ok(()));
        }
        // A reset comes before what is awaited.
        way.reader = Some(cx.waker().clone());
        let mut timer = self.timer.borrow_mut();
        if timer.as_ref().is_none_or(|(known, _)| *known != at) {
            *timer = Some((at, Box::pin(sleep_until(at))));
        }
        match &mut *timer {
            Some((_, sleep)) => sleep.as_mut().poll(cx).map(Ok),
            None => Poll::Pending,
        }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            std::task::ready!(self.poll_read_ready(cx))?;
            match self.try_read(buf.initialize_unfilled()) {
                Ok(read) => {
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut way = self.outgoing.borrow_mut();
        match way.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                way.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            done => Poll::Ready(done),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.borrow_mut().finish(End::Closed);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let unread = {
            let mut incoming = self.incoming.borrow_mut();
            incoming.reader_gone = true;
            incoming.wake();
            !incoming.pieces.is_empty()
        };
        let end = if unread || !self.linger.get() { End::Reset } else { End::Closed };
        self.outgoing.borrow_mut().finish(end);
    }
}

// === impl Breaker ===

impl Breaker {
    /// Both ends see the connection reset, now.
    pub fn reset(&self) {
        self.0.iter().for_each(|way| way.borrow_mut().finish(End::Reset));
    }

    /// Nothing more comes, either way, and nobody is told.
    pub fn silence(&self) {
        self.0.iter().for_each(|way| way.borrow_mut().silent = true);
    }
}
