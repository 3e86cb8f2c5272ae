//! A response's head: parsed strictly, with where its body ends (RFC 9112 §6.3). Pure.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::StatusCode;

use crate::h1::{Decoder, Lines, Malformed, Said};

/// A larger head is an error of the backend.
const MAX_HEAD: usize = 128 * 1024;

/// Fields in a head.
const MAX_FIELDS: usize = 100;

/// A final or interim response; its fields lie in the connection's [`Lines`].
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: StatusCode,
    /// `content-length`; without a body it speaks of another response's.
    pub(crate) length: Option<u64>,
    pub(crate) decoder: Decoder,
    /// Whether the connection can be used again after the body.
    pub(crate) keep_alive: bool,
}

/// Parses the head at the beginning of `read` and takes it off; `None` while it has no end. `to_head`: it answers a
/// HEAD request. `lines` are made those of this head.
///
/// # Errors
/// What makes it no response to be relayed.
pub(super) fn parse(read: &mut BytesMut, to_head: bool, lines: &mut Lines) -> Result<Option<ResponseHead>, Malformed> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, read, &mut fields);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(httparse::Status::Partial) if read.len() <= MAX_HEAD => return Ok(None),
        Ok(_) => return Err(Malformed("a head that is too large")),
        Err(_) => return Err(Malformed("a head that is no HTTP")),
    };
    let http_10 = response.version == Some(0);
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Malformed("no status"))?;
    lines.note(read.as_ptr(), response.headers);
    lines.hold(read.split_to(length).freeze());
    let said = lines.said()?;
    let decoder = body(status, to_head, http_10, &said)?;
    // With both it would be a riddle where the next response begins.
    let riddle = said.chunked && said.length.is_some();
    let persistent = if http_10 { said.keep_alive } else { true };
    let keep_alive = persistent && !said.close && !riddle;
    Ok(Some(ResponseHead { status, length: said.length.filter(|_| !said.coded), decoder, keep_alive }))
}

fn body(status: StatusCode, to_head: bool, http_10: bool, said: &Said) -> Result<Decoder, Malformed> {
    if to_head || status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(Decoder::Done);
    }
    // A coding beside `chunked` would have to be undone here, or the client would take the coded bytes for the plain.
    if said.other_coding || said.coded && !said.chunked {
        return Err(Malformed("a transfer coding other than one chunked"));
    }
    match (said.chunked, said.length) {
        // HTTP/1.0 has no transfer codings: who sends one may frame the body either way (RFC 9112 §6.1).
        (true, _) if http_10 => Err(Malformed("a transfer-encoding in HTTP/1.0")),
        (true, _) => Ok(Decoder::chunked()),
        (false, Some(0)) => Ok(Decoder::Done),
        (false, Some(length)) => Ok(Decoder::Length(length)),
        (false, None) => Ok(Decoder::ToClose),
    }
}

#[cfg(test)]
mod tests;
