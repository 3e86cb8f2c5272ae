//! The field lines of a head where they lie, and what they say about the message (RFC 9112 §5, §6.3, §9.3). Pure.
//!
//! A map is made of them only where one is wanted: what is merely relayed is copied from where it lies.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Malformed;
use crate::names::Names;

/// The field lines of a connection's last head. Kept for the next one: its lines then need no memory of their own.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    text: Bytes,
    lines: Vec<Line>,
    found: Names,
}

/// One line, by offsets into the text.
#[derive(Debug, Clone, Copy)]
struct Line {
    name: usize,
    name_end: usize,
    value: usize,
    value_end: usize,
    known: Names,
}

/// The field names of a connection's last head, in their order: the next one mostly has the same, which then need not
/// be checked, lowered and copied again.
#[derive(Debug, Default)]
pub(crate) struct KnownNames(Vec<HeaderName>);

/// What a head says about its message.
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

// === impl Lines ===

impl Lines {
    /// Notes where the fields of a head lie that begins at `begin`; [`hold`](Self::hold) is to follow.
    pub(crate) fn note(&mut self, begin: *const u8, fields: &[httparse::Header<'_>]) {
        self.lines.clear();
        self.found = Names::default();
        for field in fields {
            let name = field.name.as_ptr() as usize - begin as usize;
            let value = field.value.as_ptr() as usize - begin as usize;
            let known = Names::of_text(field.name.as_bytes());
            self.found = self.found.with(known);
            let (name_end, value_end) = (name + field.name.len(), value + field.value.len());
            self.lines.push(Line { name, name_end, value, value_end, known });
        }
    }

    /// The head whose lines were noted.
    pub(crate) fn hold(&mut self, text: Bytes) {
        self.text = text;
    }

    /// Lets go of the text.
    pub(crate) fn clear(&mut self) {
        self.text = Bytes::new();
        self.lines.clear();
        self.found = Names::default();
    }

    /// The known names among them.
    pub(crate) fn found(&self) -> Names {
        self.found
    }

    /// The values of the fields `of` a set.
    pub(crate) fn values(&self, of: Names) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().filter(move |line| of.has(line.known)).map(|line| &self.text[line.value..line.value_end])
    }

    /// What they say.
    ///
    /// # Errors
    /// A contradiction among the fields that frame the message.
    pub(crate) fn said(&self) -> Result<Said, Malformed> {
        let mut said = Said::default();
        if self.found.has(Names::ABOUT_MESSAGE) {
            for line in self.lines.iter().filter(|line| Names::ABOUT_MESSAGE.has(line.known)) {
                said.read(line.known, &self.text[line.value..line.value_end])?;
            }
        }
        Ok(said)
    }

    /// As a map, with room for `more`.
    ///
    /// # Errors
    /// A name or value that a map does not take.
    pub(crate) fn to_map(&self, known: &mut KnownNames, more: usize) -> Result<HeaderMap, Malformed> {
        let mut headers = HeaderMap::with_capacity(self.lines.len() + more);
        for (at, line) in self.lines.iter().enumerate() {
            let name = known.name(at, &self.text[line.name..line.name_end])?;
            let value = HeaderValue::from_maybe_shared(self.text.slice(line.value..line.value_end))
                .map_err(|_| Malformed("an illegal field value"))?;
            headers.append(name, value);
        }
        Ok(headers)
    }

    /// Appends the lines that `keep` keeps, by known name and name. Neighbours in plain form are copied in one piece.
    pub(crate) fn write(&self, out: &mut BytesMut, keep: impl Fn(Names, &[u8]) -> bool) {
        let text = &self.text[..];
        // What is to be copied next.
        let mut piece = 0..0;
        for line in &self.lines {
            if !keep(line.known, &text[line.name..line.name_end]) {
                continue;
            }
            // `name: value` and CRLF, as it would be written.
            let end = line.value_end + 2;
            let plain = line.name_end + 2 == line.value
                && text[line.name_end + 1] == b' '
                && text.get(line.value_end..end) == Some(b"\r\n");
            if plain && piece.end == line.name {
                piece.end = end;
                continue;
            }
            out.extend_from_slice(&text[piece]);
            if plain {
                piece = line.name..end;
                continue;
            }
            piece = 0..0;
            write_line(out, &text[line.name..line.name_end], &text[line.value..line.value_end]);
        }
        out.extend_from_slice(&text[piece]);
    }
}

/// Appends a field line.
pub(crate) fn write_line(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

// === impl KnownNames ===

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

// === impl Said ===

impl Said {
    fn read(&mut self, name: Names, value: &[u8]) -> Result<(), Malformed> {
        match name {
            Names::CONTENT_LENGTH => self.read_length(value)?,
            Names::TRANSFER_ENCODING => self.read_codings(value)?,
            Names::CONNECTION => {
                for option in list(value) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            Names::EXPECT => self.expects_continue = value.eq_ignore_ascii_case(b"100-continue"),
            Names::TE => self.takes_trailers |= list(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers")),
            _ => {}
        }
        Ok(())
    }

    /// Several equal lengths are one (RFC 9110 §8.6); different ones, or one that is no number, are an error.
    fn read_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        for number in list(value) {
            let length = decimal(number).ok_or(Malformed("a content-length that is no number"))?;
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

/// Digits and nothing else, as a number that fits.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests;
