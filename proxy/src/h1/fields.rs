//! The fields of a head: put into a map, and read for what they say about the message (RFC 9112 §6.3, §9.3). Pure.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::Malformed;

/// Where each field's name and value lie in a head.
pub(crate) type Fields = SmallVec<[(Range<usize>, Range<usize>); 24]>;

/// Where `part` lies in the bytes that begin at `begin`.
pub(crate) fn place(begin: *const u8, part: &[u8]) -> Range<usize> {
    let at = part.as_ptr() as usize - begin as usize;
    at..at + part.len()
}

/// The field names of a connection's last head, in their order: the next one mostly has the same, which then need not
/// be checked, lowered and copied again.
#[derive(Debug, Default)]
pub(crate) struct KnownNames(Vec<HeaderName>);

/// What a head says about its message, gathered while it is read.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) length: Option<u64>,
    /// Lists of codings were there.
    pub(crate) coded: bool,
    /// The last coding is `chunked`.
    pub(crate) chunked: bool,
    /// A coding other than `chunked` is there.
    pub(crate) other_coding: bool,
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    /// `expect: 100-continue`
    pub(crate) expects_continue: bool,
    /// `te: trailers`
    pub(crate) takes_trailers: bool,
}

// === impl KnownNames ===

impl KnownNames {
    /// The fields at `places` in `text` as a map with room for `more`, and what they say.
    ///
    /// # Errors
    /// An illegal field, or a contradiction among those that frame the message.
    pub(crate) fn read(&mut self, text: &Bytes, places: &Fields, more: usize) -> Result<(HeaderMap, Said), Malformed> {
        let mut headers = HeaderMap::with_capacity(places.len() + more);
        let mut said = Said::default();
        for (at, (name, value)) in places.iter().enumerate() {
            let name = self.name(at, &text[name.clone()])?;
            let value = text.slice(value.clone());
            said.read(name.as_str(), &value)?;
            let value = HeaderValue::from_maybe_shared(value).map_err(|_| Malformed("an illegal field value"))?;
            headers.append(name, value);
        }
        Ok((headers, said))
    }

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

// === impl Said ===

impl Said {
    fn read(&mut self, name: &str, value: &[u8]) -> Result<(), Malformed> {
        match name {
            "content-length" => self.read_length(value)?,
            "transfer-encoding" => self.read_codings(value)?,
            "connection" => {
                for option in list(value) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            "expect" => self.expects_continue = value.eq_ignore_ascii_case(b"100-continue"),
            "te" => self.takes_trailers |= list(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers")),
            _ => {}
        }
        Ok(())
    }

    /// Several equal lengths are one (RFC 9110 §8.6); different ones, or one that is no number, are an error.
    fn read_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        for number in list(value) {
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

    /// Where the body ends is known only if it is `chunked` last, and once (RFC 9112 §6.1).
    fn read_codings(&mut self, value: &[u8]) -> Result<(), Malformed> {
        self.coded = true;
        for coding in list(value) {
            let chunked = coding.eq_ignore_ascii_case(b"chunked");
            if self.chunked {
                return Err(Malformed("a transfer coding behind chunked"));
            }
            self.chunked = chunked;
            self.other_coding |= !chunked;
        }
        Ok(())
    }
}

fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}
