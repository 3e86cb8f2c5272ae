//! A request body of known length in several pieces, so that what workers encoded is sent from where it lies.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The pieces that are left. A clone shares the bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Pieces(VecDeque<Bytes>);

impl Pieces {
    /// Bytes in all that are left.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Adds a piece at the end.
    pub(super) fn push(&mut self, piece: Bytes) {
        self.0.push_back(piece);
    }

    /// Adds a piece at the front.
    pub(super) fn push_front(&mut self, piece: Bytes) {
        self.0.push_front(piece);
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.get_mut().0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn all_pieces_come_in_order_and_their_length_is_said_before() {
        let mut pieces = Pieces::default();
        pieces.push(Bytes::from("b"));
        pieces.push(Bytes::from("cd"));
        pieces.push_front(Bytes::from("a"));
        assert_eq!((pieces.len(), pieces.size_hint().exact()), (4, Some(4)));
        let again = pieces.clone();
        assert_eq!(pieces.collect().await.unwrap().to_bytes(), "abcd");
        assert_eq!(again.collect().await.unwrap().to_bytes(), "abcd");
    }
}
