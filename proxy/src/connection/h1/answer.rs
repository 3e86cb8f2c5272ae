//! The head of an answer as bytes, with the framing of what follows (RFC 9112 §4, §6). Pure.
//!
//! Says of the connection and the framing what holds here, whatever the fields say.

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use super::head::Asked;
use crate::body::Relayed;
use crate::h1::{Framing, write_line};

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
            // Only a tunnel has this status.
            _ if head.status == StatusCode::SWITCHING_PROTOCOLS => Framing::ToClose,
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

/// Appends the head: what a backend's is relayed of, then the fields of `head`. `date` writes the time, where the
/// backend told none.
pub(super) fn write(
    out: &mut BytesMut,
    asked: Asked,
    head: &Parts,
    relayed: &Relayed,
    plan: Plan,
    date: impl FnOnce(&mut BytesMut),
) {
    out.extend_from_slice(if asked.http_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    if head.status == StatusCode::OK {
        out.extend_from_slice(b"200 OK\r\n");
    } else {
        out.extend_from_slice(head.status.as_str().as_bytes());
        out.extend_from_slice(b" ");
        out.extend_from_slice(head.status.canonical_reason().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(&relayed.text);
    for (name, value) in &head.headers {
        // What these say is said by the plan.
        if !matches!(*name, CONNECTION | CONTENT_LENGTH | TRANSFER_ENCODING) {
            write_line(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    match plan.framing {
        Framing::Length(length) => write_length(out, length),
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::None | Framing::ToClose => {}
    }
    // The length of what a GET would have got, or of what the client has already.
    if let Some(length) = relayed.length
        && plan.framing == Framing::None
        && (asked.to_head || head.status == StatusCode::NOT_MODIFIED)
    {
        write_length(out, length);
    }
    if !(relayed.dated || head.headers.contains_key(DATE)) {
        date(out);
    }
    match (plan.persistent, asked.http_10) {
        _ if head.status == StatusCode::SWITCHING_PROTOCOLS => out.extend_from_slice(b"connection: upgrade\r\n"),
        (false, _) => out.extend_from_slice(b"connection: close\r\n"),
        (true, true) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (true, false) => {}
    }
    out.extend_from_slice(b"\r\n");
}

fn write_length(out: &mut BytesMut, length: u64) {
    write_line(out, b"content-length", itoa::Buffer::new().format(length).as_bytes());
}

#[cfg(test)]
mod tests;
