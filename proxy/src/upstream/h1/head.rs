//! A response's head: parsed strictly, with where its body ends (RFC 9112 §6.3). Pure.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use smallvec::SmallVec;

use super::{Decoder, Malformed};

/// A larger head is an error of the backend.
const MAX_HEAD: usize = 128 * 1024;

/// Fields in a head.
const MAX_FIELDS: usize = 100;

/// Fields that patchgate adds to a response's head: room for them is made at once.
const ADDED_LATER: usize = 4;

/// A final or interim response.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) decoder: Decoder,
    /// Whether the connection can be used again after the body.
    pub(crate) keep_alive: bool,
}

/// The field names of a connection's last response, in their order: a backend's next one mostly has the same, which
/// then need not be checked, lowered and copied again.
#[derive(Debug, Default)]
pub(super) struct KnownNames(Vec<HeaderName>);

impl KnownNames {
    fn name(&mut self, at: usize, text: &[u8]) -> Result<HeaderName, Malformed> {
        if let Some(known) = self.0.get(at)
            && known.as_str().as_bytes().eq_ignore_ascii_case(text)
        {
            return Ok(known.clone());
        }
        let name = HeaderName::from_bytes(text).map_err(|_| Malformed("an illegal field name"))?;
        self.0.truncate(at);
        if self.0.len() == at {
            self.0.push(name.clone());
        }
        Ok(name)
    }
}

/// What a head says about its body, gathered while it is read.
#[derive(Debug, Default)]
struct Said {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
}

/// Parses the head at the beginning of `read` and takes it off; `None` while it has no end. `to_head`: it answers a
/// HEAD request. `known`: the names of the connection's last response.
///
/// # Errors
/// What makes it no response to be relayed.
pub(super) fn parse(
    read: &mut BytesMut,
    to_head: bool,
    known: &mut KnownNames,
) -> Result<Option<ResponseHead>, Malformed> {
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
    let begin = read.as_ptr() as usize;
    let place = |part: &[u8]| {
        let at = part.as_ptr() as usize - begin;
        at..at + part.len()
    };
    let places: SmallVec<[(Range<usize>, Range<usize>); 24]> =
        response.headers.iter().map(|field| (place(field.name.as_bytes()), place(field.value))).collect();
    let text = read.split_to(length).freeze();
    let (headers, said) = fields_of(&text, &places, known)?;
    let decoder = body(status, to_head, http_10, &said)?;
    // With both it would be a riddle where the next response begins.
    let riddle = said.chunked && said.length.is_some();
    let persistent = if http_10 { said.keep_alive } else { true };
    let keep_alive = persistent && !said.close && !riddle;
    Ok(Some(ResponseHead { status, headers, decoder, keep_alive }))
}

/// The fields by their places in `text`.
fn fields_of(
    text: &Bytes,
    places: &[(Range<usize>, Range<usize>)],
    known: &mut KnownNames,
) -> Result<(HeaderMap, Said), Malformed> {
    let mut headers = HeaderMap::with_capacity(places.len() + ADDED_LATER);
    let mut said = Said::default();
    for (at, (name, value)) in places.iter().enumerate() {
        let name = known.name(at, &text[name.clone()])?;
        let value = text.slice(value.clone());
        match name.as_str() {
            "content-length" => said.read_length(&value)?,
            "transfer-encoding" => said.read_codings(&value)?,
            "connection" => said.read_connection(&value),
            _ => {}
        }
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| Malformed("an illegal field value"))?;
        headers.append(name, value);
    }
    Ok((headers, said))
}

impl Said {
    /// Several equal lengths are one (RFC 9110 §8.6); different ones, or one that is no number, are an error.
    fn read_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        for number in value.split(|&byte| byte == b',') {
            let number = number.trim_ascii();
            let digits = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(number).ok().filter(|_| digits);
            let length =
                text.and_then(|text| text.parse().ok()).ok_or(Malformed("a content-length that is no number"))?;
            if self.length.replace(length).is_some_and(|before| before != length) {
                return Err(Malformed("two content-lengths"));
            }
        }
        Ok(())
    }

    /// A coding beside `chunked` would have to be undone here, or the client would take the coded bytes for the plain.
    fn read_codings(&mut self, value: &[u8]) -> Result<(), Malformed> {
        for coding in value.split(|&byte| byte == b',') {
            if self.chunked || !coding.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed("a transfer coding other than one chunked"));
            }
            self.chunked = true;
        }
        Ok(())
    }

    fn read_connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',') {
            let option = option.trim_ascii();
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}

fn body(status: StatusCode, to_head: bool, http_10: bool, said: &Said) -> Result<Decoder, Malformed> {
    if to_head || status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(Decoder::Done);
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
