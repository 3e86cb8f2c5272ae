//! A request body copied on its way, for a mirror: bounded, and given up rather than waited for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

/// A copy that is written by the one who relays the body and read by the one who mirrors it.
#[derive(Debug)]
pub(crate) struct Tee {
    most: usize,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Piece>,
    /// Bytes copied so far.
    copied: usize,
    end: Option<End>,
    waker: Option<Waker>,
}

/// A piece of a body that can be handed out again.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl From<Piece> for Frame<Bytes> {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Data(data) => Self::data(data),
            Piece::Trailers(trailers) => Self::trailers(trailers),
        }
    }
}

impl Piece {
    /// The same as a frame; `None` for one of a kind that is not known.
    pub(crate) fn of(frame: &Frame<Bytes>) -> Option<Self> {
        let data = frame.data_ref().cloned().map(Self::Data);
        data.or_else(|| frame.trailers_ref().cloned().map(Self::Trailers))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    GivenUp,
}

impl Tee {
    /// A copy of a body of at most `most` bytes.
    pub(crate) fn new(most: usize) -> Rc<Self> {
        Rc::new(Self { most, state: RefCell::default() })
    }

    /// Copies a piece, unless the body is too long.
    pub(crate) fn copy(&self, frame: &Frame<Bytes>) {
        let mut state = self.state.borrow_mut();
        if state.end.is_some() {
            return;
        }
        if let Some(data) = frame.data_ref() {
            state.copied += data.len();
            if state.copied > self.most {
                return state.end(End::GivenUp);
            }
        }
        state.pieces.extend(Piece::of(frame));
        state.wake();
    }

    /// The body is whole.
    pub(crate) fn end(&self) {
        self.state.borrow_mut().end(End::Whole);
    }

    /// The body broke off, or will not be read.
    pub(crate) fn give_up(&self) {
        self.state.borrow_mut().end(End::GivenUp);
    }

    /// The copy's next piece; an error once it was given up.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
        let mut state = self.state.borrow_mut();
        if state.end == Some(End::GivenUp) {
            return Poll::Ready(Some(Err(())));
        }
        match state.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(piece.into()))),
            None if state.end.is_some() => Poll::Ready(None),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Whether all of it was read.
    pub(crate) fn is_done(&self) -> bool {
        let state = self.state.borrow();
        state.end == Some(End::Whole) && state.pieces.is_empty()
    }
}

impl State {
    fn end(&mut self, how: End) {
        if self.end.is_none() {
            self.end = Some(how);
            if how == End::GivenUp {
                self.pieces.clear();
            }
            self.wake();
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tee: &Tee) -> Vec<Option<Result<Bytes, ()>>> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut read = Vec::new();
        while let Poll::Ready(piece) = tee.poll(&mut cx) {
            let is_last = !matches!(piece, Some(Ok(_)));
            read.push(piece.map(|piece| piece.map(|frame| frame.into_data().unwrap_or_default())));
            if is_last {
                break;
            }
        }
        read
    }

    fn data(text: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn what_passes_is_read_in_order_to_its_end() {
        let tee = Tee::new(8);
        tee.copy(&data("four"));
        assert_eq!(read(&tee), [Some(Ok(Bytes::from("four")))]);
        tee.copy(&data("more"));
        tee.end();
        assert!(!tee.is_done());
        assert_eq!(read(&tee), [Some(Ok(Bytes::from("more"))), None]);
        assert!(tee.is_done());
    }

    #[test]
    fn a_body_that_is_too_long_or_breaks_off_is_given_up_and_nothing_of_it_kept() {
        let long = Tee::new(7);
        long.copy(&data("four"));
        long.copy(&data("more"));
        long.end();
        assert_eq!(read(&long), [Some(Err(()))]);
        let broken = Tee::new(7);
        broken.copy(&data("four"));
        broken.give_up();
        broken.end();
        assert_eq!(read(&broken), [Some(Err(()))]);
    }
}
