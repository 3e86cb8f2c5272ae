//! Spans as OTLP protobuf, written by hand into a buffer.
//!
//! Cheaper than the SDK's spans and without their tail in the latency (ADR 003), since there is neither a span
//! object nor a batch to convert. Field numbers are those of `opentelemetry/proto/trace/v1/trace.proto`.

/// `Span.SpanKind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// We serve the request.
    Server = 2,
    /// We send it on.
    Client = 3,
}

/// `Span.flags`: the context is known to be remote, or not (bits 8 and 9).
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// Room for the length of a span: three bytes of varint, enough for 2 MiB.
const LENGTH: usize = 3;

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

/// What every span has.
#[derive(Debug)]
pub struct Span<'a> {
    /// Trace.
    pub trace_id: u128,
    /// This span.
    pub span_id: u64,
    /// Its parent, and whether that is in another process.
    pub parent: Option<(u64, bool)>,
    /// W3C trace flags.
    pub flags: u8,
    /// W3C `tracestate`.
    pub trace_state: &'a [u8],
    /// Low cardinality.
    pub name: &'a str,
    /// Its role.
    pub kind: Kind,
    /// Unix time in nanoseconds.
    pub start: u64,
    /// Unix time in nanoseconds.
    pub end: u64,
    /// Status `Error`.
    pub failed: bool,
    /// Another trace that this one began from.
    pub link: Option<(u128, u64)>,
}

/// Appends one span, as an element of `ScopeSpans.spans`, to `out`; `attributes` adds them.
pub fn span(out: &mut Vec<u8>, span: &Span<'_>, attributes: impl FnOnce(&mut Attributes<'_>)) {
    tag(out, 2, BYTES);
    let length_at = out.len();
    out.extend_from_slice(&[0; LENGTH]);
    let begin = out.len();
    bytes(out, 1, &span.trace_id.to_be_bytes());
    bytes(out, 2, &span.span_id.to_be_bytes());
    if !span.trace_state.is_empty() {
        bytes(out, 3, span.trace_state);
    }
    let mut flags = u32::from(span.flags) | HAS_IS_REMOTE;
    if let Some((parent, remote)) = span.parent {
        bytes(out, 4, &parent.to_be_bytes());
        if remote {
            flags |= IS_REMOTE;
        }
    }
    bytes(out, 5, span.name.as_bytes());
    tag(out, 6, VARINT);
    varint(out, span.kind as u64);
    fixed64(out, 7, span.start);
    fixed64(out, 8, span.end);
    attributes(&mut Attributes { out });
    if let Some((trace_id, span_id)) = span.link {
        let length = 2 + 16 + 2 + 8 + 5;
        tag(out, 13, BYTES);
        varint(out, length);
        bytes(out, 1, &trace_id.to_be_bytes());
        bytes(out, 2, &span_id.to_be_bytes());
        fixed32(out, 6, HAS_IS_REMOTE | IS_REMOTE);
    }
    if span.failed {
        // Status { code: ERROR }
        bytes(out, 15, &[3 << 3, 2]);
    }
    fixed32(out, 16, flags);
    let length = out.len() - begin;
    for (at, byte) in out[length_at..length_at + LENGTH].iter_mut().enumerate() {
        let more = if at + 1 < LENGTH { 0x80 } else { 0 };
        *byte = (length >> (7 * at)) as u8 & 0x7f | more;
    }
}

/// Writes a span's attributes.
#[derive(Debug)]
pub struct Attributes<'a> {
    out: &'a mut Vec<u8>,
}

impl Attributes<'_> {
    /// A text; what is longer than 4 KiB is cut there.
    pub fn text(&mut self, key: &str, value: &str) {
        self.raw(key, value.as_bytes());
    }

    /// A text of bytes that are ASCII; others are replaced.
    pub fn ascii(&mut self, key: &str, value: &[u8]) {
        if value.is_ascii() { self.raw(key, value) } else { self.text(key, &String::from_utf8_lossy(value)) }
    }

    /// A whole number.
    pub fn int(&mut self, key: &str, value: u64) {
        let any = 1 + varint_len(value);
        self.key(key, any);
        tag(self.out, 3, VARINT);
        varint(self.out, value);
    }

    /// True or false.
    pub fn bool(&mut self, key: &str, value: bool) {
        self.key(key, 2);
        tag(self.out, 2, VARINT);
        self.out.push(u8::from(value));
    }

    fn raw(&mut self, key: &str, value: &[u8]) {
        // A span's length has three bytes, and a collector no use for more.
        let value = &value[..cut(value)];
        let any = 1 + varint_len(value.len() as u64) + value.len();
        self.key(key, any);
        bytes(self.out, 1, value);
    }

    /// `KeyValue` up to the content of its `AnyValue`, which is `any` bytes long.
    fn key(&mut self, key: &str, any: usize) {
        let length = 1 + varint_len(key.len() as u64) + key.len() + 1 + varint_len(any as u64) + any;
        tag(self.out, 9, BYTES);
        varint(self.out, length as u64);
        bytes(self.out, 1, key.as_bytes());
        tag(self.out, 2, BYTES);
        varint(self.out, any as u64);
    }
}

/// Bytes of an attribute's value at most.
const MAX_TEXT: usize = 4096;

/// Where to cut a text that is too long: at the last whole character that fits.
fn cut(text: &[u8]) -> usize {
    if text.len() <= MAX_TEXT {
        return text.len();
    }
    // A byte that continues a character in UTF-8 begins with the bits 10.
    (0..=MAX_TEXT).rev().find(|&at| text[at] & 0xc0 != 0x80).unwrap_or(0)
}

/// An `ExportTraceServiceRequest` of the spans in `chunks`.
pub fn request<'a>(service_name: &str, chunks: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
    let mut resource = Vec::new();
    for (key, value) in [
        ("service.name", service_name),
        ("telemetry.sdk.name", "patchgate"),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ] {
        // `Resource.attributes` is field 1; a `KeyValue` is the same there and in a span.
        let mut attribute = Vec::new();
        Attributes { out: &mut attribute }.text(key, value);
        attribute[0] = (1 << 3) | BYTES as u8;
        resource.extend_from_slice(&attribute);
    }
    let mut scope = Vec::new();
    bytes(&mut scope, 1, b"patchgate");
    bytes(&mut scope, 2, env!("CARGO_PKG_VERSION").as_bytes());
    let spans: usize = chunks.clone().map(<[u8]>::len).sum();
    let scope_spans = 1 + varint_len(scope.len() as u64) + scope.len() + spans;
    let resource_spans =
        1 + varint_len(resource.len() as u64) + resource.len() + 1 + varint_len(scope_spans as u64) + scope_spans;
    let mut out = Vec::with_capacity(resource_spans + 16);
    tag(&mut out, 1, BYTES);
    varint(&mut out, resource_spans as u64);
    bytes(&mut out, 1, &resource);
    tag(&mut out, 2, BYTES);
    varint(&mut out, scope_spans as u64);
    bytes(&mut out, 1, &scope);
    for chunk in chunks {
        out.extend_from_slice(chunk);
    }
    out
}

fn tag(out: &mut Vec<u8>, field: u32, wire: u32) {
    varint(out, u64::from(field << 3 | wire));
}

fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    tag(out, field, BYTES);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

fn fixed32(out: &mut Vec<u8>, field: u32, value: u32) {
    tag(out, field, FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

const fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

#[cfg(test)]
mod tests;
