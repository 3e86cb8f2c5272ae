//! Where a body ends, and what of the bytes read belongs to it (RFC 9112 §6 and §7). Pure.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;

use super::Malformed;

/// Bytes that a body may spend on chunk extensions, and on trailer fields.
const MAX_OVERHEAD: usize = 16 * 1024;

/// Trailer fields.
const MAX_TRAILERS: usize = 64;

/// How what is left of a body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoder {
    /// Nothing is left.
    Done,
    /// So many bytes.
    Length(u64),
    /// Pieces with their lengths.
    Chunked(Chunked),
    /// All until the connection ends.
    ToClose,
    /// By the frames of an HTTP/2 stream; so many bytes, if that was said.
    Stream(Option<u64>),
}

/// A chunked body's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunked {
    state: ChunkedState,
    /// Bytes left for extensions.
    overhead: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkedState {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
}

impl Decoder {
    pub(crate) const fn chunked() -> Self {
        Self::Chunked(Chunked { state: ChunkedState::Size, overhead: MAX_OVERHEAD })
    }

    pub(crate) const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Bytes that are left, if known.
    pub(crate) const fn exact(&self) -> Option<u64> {
        match self {
            Self::Done => Some(0),
            Self::Length(left) => Some(*left),
            Self::Stream(left) => *left,
            Self::Chunked(_) | Self::ToClose => None,
        }
    }

    /// Of a stream `bytes` came, and nothing comes behind them if it has `ended`.
    pub(crate) fn took(&mut self, bytes: usize, ended: bool) {
        match self {
            _ if ended => *self = Self::Done,
            Self::Length(left) if *left <= bytes as u64 => *self = Self::Done,
            // What is longer or shorter than was said is an error of the stream; h2 sees to it.
            Self::Length(left) | Self::Stream(Some(left)) => *left = left.saturating_sub(bytes as u64),
            _ => {}
        }
    }

    /// The receiver has no room for trailers behind a body of known length: that ends with its last byte.
    pub(crate) fn leave_trailers_out(&mut self) {
        match *self {
            Self::Stream(Some(0)) => *self = Self::Done,
            Self::Stream(Some(left)) => *self = Self::Length(left),
            _ => {}
        }
    }

    /// Takes the next piece off `read`; `None` when more has to be read first, or nothing is left.
    ///
    /// # Errors
    /// Broken framing: where the body ends is unknown.
    pub(crate) fn decode(&mut self, read: &mut BytesMut) -> Result<Option<Frame<Bytes>>, Malformed> {
        match self {
            Self::Done | Self::Stream(_) => Ok(None),
            Self::ToClose => Ok((!read.is_empty()).then(|| Frame::data(read.split().freeze()))),
            Self::Length(left) => {
                let piece = take(read, left);
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(piece.map(Frame::data))
            }
            Self::Chunked(chunked) => {
                let piece = chunked.decode(read)?;
                if let Decoded::End(trailers) = piece {
                    *self = Self::Done;
                    return Ok(trailers.map(Frame::trailers));
                }
                Ok(piece.data())
            }
        }
    }
}

enum Decoded {
    Data(Bytes),
    NeedMore,
    End(Option<HeaderMap>),
}

impl Decoded {
    fn data(self) -> Option<Frame<Bytes>> {
        match self {
            Self::Data(data) => Some(Frame::data(data)),
            Self::NeedMore | Self::End(_) => None,
        }
    }
}

impl Chunked {
    fn decode(&mut self, read: &mut BytesMut) -> Result<Decoded, Malformed> {
        loop {
            match &mut self.state {
                ChunkedState::Size => {
                    let Some((size, length)) = size_line(read, self.overhead)? else { return Ok(Decoded::NeedMore) };
                    self.overhead -= length.extension;
                    read.advance(length.line);
                    self.state = if size == 0 { ChunkedState::Trailers } else { ChunkedState::Data(size) };
                }
                ChunkedState::Data(left) => {
                    let Some(data) = take(read, left) else { return Ok(Decoded::NeedMore) };
                    if *left == 0 {
                        self.state = ChunkedState::DataEnd;
                    }
                    return Ok(Decoded::Data(data));
                }
                ChunkedState::DataEnd => match &read[..] {
                    [b'\r', b'\n', ..] => {
                        read.advance(2);
                        self.state = ChunkedState::Size;
                    }
                    [] | [b'\r'] => return Ok(Decoded::NeedMore),
                    _ => return Err(Malformed("a chunk longer than it says")),
                },
                ChunkedState::Trailers => {
                    return Ok(match trailers(read)? {
                        Some(trailers) => Decoded::End((!trailers.is_empty()).then_some(trailers)),
                        None => Decoded::NeedMore,
                    });
                }
            }
        }
    }
}

struct SizeLine {
    line: usize,
    extension: usize,
}

/// The chunk's size and the line's lengths; `None` while the line has no end.
fn size_line(read: &[u8], overhead: usize) -> Result<Option<(u64, SizeLine)>, Malformed> {
    let digits = read.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(read.len());
    if digits > 16 {
        return Err(Malformed("a chunk size that is too large"));
    }
    // Sixteen digits and the line's end, besides the extension.
    let Some(end) = read.iter().take(overhead + 18).position(|&byte| byte == b'\n') else {
        return match read.len() > overhead + 18 {
            true => Err(Malformed("chunk extensions without end")),
            false if digits == 0 && !read.is_empty() => Err(Malformed("a chunk size that is no number")),
            false => Ok(None),
        };
    };
    let line = read[..end].strip_suffix(b"\r").ok_or(Malformed("a chunk line that ends in a bare line feed"))?;
    let extension = &line[digits..];
    let begins_well = extension.iter().find(|byte| !matches!(byte, b' ' | b'\t')).is_none_or(|&byte| byte == b';');
    if extension.len() > overhead {
        return Err(Malformed("chunk extensions without end"));
    }
    if digits == 0 || !begins_well || extension.contains(&b'\r') {
        return Err(Malformed("a chunk size that is no number"));
    }
    let text = std::str::from_utf8(&line[..digits]).map_err(|_| Malformed("a chunk size that is no number"))?;
    let size = u64::from_str_radix(text, 16).map_err(|_| Malformed("a chunk size that is too large"))?;
    Ok(Some((size, SizeLine { line: end + 1, extension: extension.len() })))
}

/// The fields behind the last chunk; `None` while they have no end.
fn trailers(read: &mut BytesMut) -> Result<Option<HeaderMap>, Malformed> {
    if read.starts_with(b"\r\n") {
        read.advance(2);
        return Ok(Some(HeaderMap::new()));
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_TRAILERS];
    let (length, trailers) = match httparse::parse_headers(read, &mut fields) {
        Ok(httparse::Status::Complete((length, fields))) if length <= MAX_OVERHEAD => {
            // The parser takes those for ends of lines; another recipient may see the end elsewhere.
            if has_bare_line_feed(&read[..length]) {
                return Err(Malformed("a trailer that ends in a bare line feed"));
            }
            (length, collect(fields)?)
        }
        Ok(httparse::Status::Partial) if read.len() <= MAX_OVERHEAD => return Ok(None),
        Ok(_) => return Err(Malformed("trailer fields that are too long")),
        Err(_) => return Err(Malformed("a trailer that is no field")),
    };
    read.advance(length);
    Ok(Some(trailers))
}

fn has_bare_line_feed(text: &[u8]) -> bool {
    text.split(|&byte| byte == b'\n').rev().skip(1).any(|line| line.last() != Some(&b'\r'))
}

fn collect(fields: &[httparse::Header<'_>]) -> Result<HeaderMap, Malformed> {
    let pairs = fields.iter().map(|field| {
        let name =
            HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed("a trailer that is no field"))?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| Malformed("a trailer that is no field"))?;
        Ok((name, value))
    });
    pairs.collect()
}

/// Up to `left` bytes of what was read, if there is any.
fn take(read: &mut BytesMut, left: &mut u64) -> Option<Bytes> {
    if read.is_empty() || *left == 0 {
        return None;
    }
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
    *left -= length as u64;
    Some(read.split_to(length).freeze())
}

#[cfg(test)]
mod tests;
