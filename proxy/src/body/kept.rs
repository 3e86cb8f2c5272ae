//! What went out of a request's body, kept for as long as its backend may refuse it: bounded, and given up beyond. Pure.

use bytes::Bytes;
use http_body::Frame;

use crate::forward::tee::Piece;

/// The longest body that is kept, in bytes. Most calls of gRPC send less.
const MOST: usize = 64 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pieces: Vec<Piece>,
    bytes: usize,
    /// How many were handed out since the beginning, or the last rewind.
    next: usize,
    given_up: bool,
}

impl Kept {
    /// Keeps a piece that is handed out.
    pub(super) fn keep(&mut self, frame: &Frame<Bytes>) {
        self.bytes = self.bytes.saturating_add(frame.data_ref().map_or(0, Bytes::len));
        if self.given_up || self.bytes > MOST {
            *self = Self { given_up: true, ..Self::default() };
            return;
        }
        self.pieces.extend(Piece::of(frame));
        self.next = self.pieces.len();
    }

    /// The next piece to be handed out again.
    pub(super) fn replay(&mut self) -> Option<Frame<Bytes>> {
        let piece = self.pieces.get(self.next)?.clone();
        self.next += 1;
        Some(piece.into())
    }

    /// Whether there is such a piece.
    pub(super) fn is_replaying(&self) -> bool {
        self.next < self.pieces.len()
    }

    /// Begins anew; false: not all of it is there.
    pub(super) fn rewind(&mut self) -> bool {
        self.next = 0;
        !self.given_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(length: usize) -> Frame<Bytes> {
        Frame::data(Bytes::from(vec![7; length]))
    }

    fn replayed(kept: &mut Kept) -> Vec<Option<usize>> {
        std::iter::from_fn(|| kept.replay()).map(|frame| frame.data_ref().map(Bytes::len)).collect()
    }

    #[test]
    fn what_went_out_is_handed_out_again_as_often_as_it_is_rewound() {
        let mut kept = Kept::default();
        assert!(kept.rewind(), "nothing went out");
        kept.keep(&data(2));
        assert!(!kept.is_replaying() && kept.replay().is_none(), "the rest comes from the client");
        kept.keep(&Frame::trailers(http::HeaderMap::new()));
        for _ in 0..2 {
            assert!(kept.rewind() && kept.is_replaying());
            assert_eq!(replayed(&mut kept), [Some(2), None]);
        }
    }

    #[test]
    fn a_long_body_is_given_up_and_nothing_of_it_kept() {
        let mut kept = Kept::default();
        kept.keep(&data(MOST));
        assert!(kept.rewind());
        assert_eq!(replayed(&mut kept), [Some(MOST)]);
        kept.keep(&data(1));
        kept.keep(&data(1));
        assert!(!kept.rewind() && kept.pieces.is_empty());
    }
}
