//! A request's head: parsed strictly, with where its body ends (RFC 9112 §3, §6.3) and what its answer must know of it.
//! Pure.
//!
//! Refuses what is no HTTP/1.1 or could be read in two ways; whether a request is acceptable is `admit`'s to say.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::BytesMut;
use http::request::Parts;
use http::{Method, Request, StatusCode, Uri, Version};

use crate::h1::{Decoder, KnownNames, Lines, Malformed, Said};
use crate::names::Names;

/// Fields that are parsed without an allocation.
const USUAL_FIELDS: usize = 100;

/// A longer target is not for us to route: more than a `u16` of offsets is no `Uri`.
const MAX_TARGET: usize = u16::MAX as usize - 1;

/// Bounds of a head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes, with all line ends.
    pub(super) bytes: usize,
    /// Fields; up to [`USUAL_FIELDS`] the count is `admit`'s business.
    pub(super) fields: usize,
}

/// A request without its body.
#[derive(Debug)]
pub(super) struct Head {
    /// Boxed: it is handed on many times.
    pub(super) parts: Box<Parts>,
    /// The known fields in it.
    pub(super) found: Names,
    pub(super) body: Decoder,
    /// `expect: 100-continue`
    pub(super) expects_continue: bool,
    pub(super) asked: Asked,
}

/// What the answer goes by.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    /// The answer has no body.
    pub(super) to_head: bool,
    pub(super) http_10: bool,
    /// The client means to use the connection again.
    pub(super) persistent: bool,
    /// The client takes trailer fields (`te: trailers`).
    pub(super) takes_trailers: bool,
}

/// Why there is no request to be served; the connection ends with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No HTTP/1.1, or not to be understood for certain.
    Malformed,
    /// Longer, or with more fields, than the listener takes.
    TooLarge,
    /// The target is too long.
    TargetTooLong,
}

impl Refusal {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
        }
    }

    /// As it is counted.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge | Self::TargetTooLong => "head_too_large",
        }
    }
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// What a connection keeps from one head for the next.
#[derive(Debug, Default)]
pub(super) struct Kept {
    lines: Lines,
    names: KnownNames,
    /// Bytes of a head that were looked at and have no end.
    looked_at: usize,
}

impl Kept {
    /// False while only bytes came that cannot have ended the head, so that one that trickles is not parsed for each.
    fn may_end(&self, read: &[u8]) -> bool {
        if self.looked_at == 0 {
            return !read.is_empty();
        }
        // The head's last bytes are an empty line.
        let tail = &read[self.looked_at.saturating_sub(2)..];
        tail.windows(2).any(|pair| pair == b"\n\n") || tail.windows(3).any(|three| three == b"\n\r\n")
    }
}

/// Parses the head at the beginning of `read` and takes it off; `None` while it has no end.
///
/// # Errors
/// What makes it no request to be served.
pub(super) fn parse(read: &mut BytesMut, bounds: Bounds, kept: &mut Kept) -> Result<Option<Head>, Refusal> {
    if read.len() <= bounds.bytes && !kept.may_end(read) {
        return Ok(None);
    }
    let line = if bounds.fields <= USUAL_FIELDS {
        request_line(read, bounds.bytes, &mut [const { MaybeUninit::uninit() }; USUAL_FIELDS], &mut kept.lines)?
    } else {
        let mut fields = Vec::new();
        fields.resize_with(bounds.fields, MaybeUninit::uninit);
        request_line(read, bounds.bytes, &mut fields, &mut kept.lines)?
    };
    let Some(line) = line else {
        kept.looked_at = read.len();
        return Ok(None);
    };
    kept.looked_at = 0;
    let text = read.split_to(line.length).freeze();
    let uri = Uri::from_maybe_shared(text.slice(line.target)).map_err(|_| Refusal::Malformed)?;
    kept.lines.hold(text);
    let said = kept.lines.said()?;
    let body = body(line.http_10, &said)?;
    // With both framings there a client may mean another end than we do (RFC 9112 §6.1).
    let ambiguous = said.coded && said.length.is_some();
    let asked = Asked {
        to_head: line.method == Method::HEAD,
        http_10: line.http_10,
        persistent: !ambiguous && !said.close && (!line.http_10 || said.keep_alive),
        takes_trailers: said.takes_trailers,
    };
    let mut parts = Box::new(Request::new(()).into_parts().0);
    parts.method = line.method;
    parts.uri = uri;
    parts.version = if line.http_10 { Version::HTTP_10 } else { Version::HTTP_11 };
    parts.headers = kept.lines.to_map(&mut kept.names, 0)?;
    let found = kept.lines.found();
    kept.lines.clear();
    let expects_continue = said.expects_continue && !line.http_10;
    Ok(Some(Head { parts, found, body, expects_continue, asked }))
}

/// The first line of a whole head, and the head's length.
struct RequestLine {
    method: Method,
    target: Range<usize>,
    http_10: bool,
    length: usize,
}

fn request_line<'a>(
    read: &'a [u8],
    most: usize,
    fields: &mut [MaybeUninit<httparse::Header<'a>>],
    lines: &mut Lines,
) -> Result<Option<RequestLine>, Refusal> {
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(read, fields) {
        Ok(httparse::Status::Complete(length)) if length <= most => length,
        Ok(httparse::Status::Partial) if read.len() <= most => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        Err(_) => return Err(Refusal::Malformed),
    };
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Refusal::Malformed);
    };
    if target.len() > MAX_TARGET {
        return Err(Refusal::TargetTooLong);
    }
    lines.note(read.as_ptr(), request.headers);
    let at = target.as_ptr() as usize - read.as_ptr() as usize;
    Ok(Some(RequestLine {
        method: Method::from_bytes(method.as_bytes()).map_err(|_| Refusal::Malformed)?,
        target: at..at + target.len(),
        http_10: version == 0,
        length,
    }))
}

fn body(http_10: bool, said: &Said) -> Result<Decoder, Refusal> {
    match (said.coded, said.length) {
        // HTTP/1.0 has no transfer codings; without `chunked` last nobody knows where the body ends (RFC 9112 §6.1,
        // §6.3).
        (true, _) if http_10 || !said.chunked => Err(Refusal::Malformed),
        (true, _) => Ok(Decoder::chunked()),
        (false, None | Some(0)) => Ok(Decoder::Done),
        (false, Some(length)) => Ok(Decoder::Length(length)),
    }
}

#[cfg(test)]
mod tests;
