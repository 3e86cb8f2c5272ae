//! Bodies in each framing, whole and not, over sockets that take a few bytes at a time.

use std::collections::VecDeque;
use std::convert::Infallible;

use http::HeaderValue;

use super::*;

/// Frames one by one, pending where there is none.
struct Script(VecDeque<Option<Frame<Bytes>>>);

impl Body for Script {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.pop_front() {
            None => Poll::Ready(None),
            Some(None) => Poll::Pending,
            Some(Some(frame)) => Poll::Ready(Some(Ok(frame))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

fn data(text: &'static str) -> Option<Frame<Bytes>> {
    Some(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn trailers() -> Option<Frame<Bytes>> {
    Some(Frame::trailers(HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("7"))])))
}

/// What goes over the wire, each write on its own, with a socket that takes `most` bytes at a time.
fn written(
    mut encoder: Encoder,
    frames: impl IntoIterator<Item = Option<Frame<Bytes>>>,
    most: usize,
) -> (Vec<String>, Result<(), RelayError>) {
    let mut body = Script(frames.into_iter().collect());
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut writes = Vec::new();
    encoder.head(Bytes::from_static(b"head "));
    loop {
        let relayed = encoder.poll_relay(&mut cx, &mut body, |_, pieces| {
            let all: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).take(most).collect();
            writes.push(String::from_utf8(all.clone()).unwrap());
            Poll::Ready(Ok(all.len()))
        });
        if let Poll::Ready(relayed) = relayed {
            return (writes, relayed);
        }
    }
}

#[test]
fn a_head_and_a_whole_body_leave_in_one_write() {
    let whole = |framing| written(Encoder::new(framing), [data("body")], usize::MAX).0;
    assert_eq!(whole(Framing::Length(4)), ["head body"]);
    assert_eq!(whole(Framing::ToClose), ["head body"]);
    assert_eq!(whole(Framing::Chunked), ["head 4\r\nbody\r\n0\r\n\r\n"]);
    for empty in [Framing::None, Framing::Length(0)] {
        assert_eq!(written(Encoder::new(empty), [], usize::MAX), (vec!["head ".to_owned()], Ok(())));
    }
}

#[test]
fn a_head_does_not_wait_for_its_body_nor_a_piece_for_the_next() {
    let frames = || [None, data("one"), None, data("two!"), None];
    let pieces = |framing| written(Encoder::new(framing), frames(), usize::MAX).0;
    assert_eq!(pieces(Framing::Length(7)), ["head ", "one", "two!"]);
    assert_eq!(pieces(Framing::Chunked), ["head ", "3\r\none\r\n", "4\r\ntwo!\r\n", "0\r\n\r\n"]);
}

#[test]
fn what_the_socket_takes_makes_no_difference() {
    let frames = || [data("one"), None, data("a longer piece"), data(""), trailers()];
    let whole = written(Encoder::new(Framing::Chunked), frames(), usize::MAX).0.concat();
    assert_eq!(whole, "head 3\r\none\r\ne\r\na longer piece\r\n0\r\netag: 7\r\n\r\n");
    for most in 1..whole.len() {
        assert_eq!(written(Encoder::new(Framing::Chunked), frames(), most).0.concat(), whole, "{most}");
    }
}

#[test]
fn trailers_go_only_where_they_have_room_and_a_reader() {
    assert_eq!(written(Encoder::new(Framing::Length(3)), [data("one"), trailers()], 99).0, ["head one"]);
    let mut encoder = Encoder::new(Framing::Chunked);
    encoder.leave_trailers_out();
    assert_eq!(written(encoder, [data("one"), trailers()], 99).0, ["head 3\r\none\r\n", "0\r\n\r\n"]);
}

#[test]
fn a_body_of_another_length_than_said_is_an_error() {
    for frames in [vec![data("four"), data("five!")], vec![data("on")], vec![]] {
        assert_eq!(written(Encoder::new(Framing::Length(3)), frames, 99).1, Err(RelayError::Body));
    }
}

#[test]
fn a_socket_that_takes_nothing_has_failed() {
    assert_eq!(written(Encoder::new(Framing::Length(4)), [data("body")], 0).1, Err(RelayError::Io));
}
