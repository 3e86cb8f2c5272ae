//! The head of an answer as bytes, with the framing of what follows (RFC 9112 §4, §6). Pure.
//!
//! Says of the connection and the framing what holds here, whatever the fields say.

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use super::head::Asked;
use crate::h1::Framing;

/// What follows an answer's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) framing: Framing,
    /// Whether another request may come behind it.
    pub(super) persistent: bool,
}

impl Plan {
    /// For an answer with this head and a body of `size` bytes, `None` if nobody knows; `open`: the connection can be
    /// used again.
    pub(super) fn new(asked: Asked, head: &Parts, size: Option<u64>, open: bool) -> Self {
        let framing = match size {
            _ if asked.to_head || is_bodiless(head.status) => Framing::None,
            Some(size) => Framing::Length(size),
            None if asked.http_10 => Framing::ToClose,
            None => Framing::Chunked,
        };
        let persistent = open && asked.persistent && framing != Framing::ToClose && !says_close(&head.headers);
        Self { framing, persistent }
    }
}

fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn says_close(headers: &HeaderMap) -> bool {
    headers.get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

/// Appends the head. `date` writes the time, where the backend told none.
pub(super) fn write(out: &mut BytesMut, asked: Asked, head: &Parts, plan: Plan, date: impl FnOnce(&mut BytesMut)) {
    out.extend_from_slice(if asked.http_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    if head.status == StatusCode::OK {
        out.extend_from_slice(b"200 OK\r\n");
    } else {
        out.extend_from_slice(head.status.as_str().as_bytes());
        out.extend_from_slice(b" ");
        out.extend_from_slice(head.status.canonical_reason().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    // The length of what a GET would have got, or of what the client has already.
    let tells_length = plan.framing == Framing::None && (asked.to_head || head.status == StatusCode::NOT_MODIFIED);
    let mut dated = false;
    for (name, value) in &head.headers {
        let left_out = match *name {
            CONNECTION | TRANSFER_ENCODING => true,
            CONTENT_LENGTH => !tells_length,
            DATE => {
                dated = true;
                false
            }
            _ => false,
        };
        if !left_out {
            line(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    match plan.framing {
        Framing::None | Framing::ToClose => {}
        Framing::Length(length) => line(out, b"content-length", itoa::Buffer::new().format(length).as_bytes()),
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    if !dated {
        date(out);
    }
    match (plan.persistent, asked.http_10) {
        (false, _) => out.extend_from_slice(b"connection: close\r\n"),
        (true, true) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (true, false) => {}
    }
    out.extend_from_slice(b"\r\n");
}

fn line(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
