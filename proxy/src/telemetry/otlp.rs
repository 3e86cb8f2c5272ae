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

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

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
    /// Low cardinality: the method, and what follows it.
    pub name: (&'a str, &'a str),
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

/// The fields that every span has, in one piece: tags and lengths as here, values written over the zeros. The order of
/// fields is free in protobuf.
const HEAD: [u8; 58] = {
    let mut head = [0; 58];
    head[0] = tag_byte(2, BYTES);
    head[TRACE_ID - 2] = tag_byte(1, BYTES);
    head[TRACE_ID - 1] = 16;
    head[SPAN_ID - 2] = tag_byte(2, BYTES);
    head[SPAN_ID - 1] = 8;
    head[KIND - 1] = tag_byte(6, VARINT);
    head[START - 1] = tag_byte(7, FIXED64);
    head[END - 1] = tag_byte(8, FIXED64);
    // Field 16 is the first whose tag has two bytes.
    head[FLAGS - 2] = 0x80 | FIXED32;
    head[FLAGS - 1] = 1;
    head
};

/// Where the values are in [`HEAD`].
const TRACE_ID: usize = 1 + LENGTH + 2;
const SPAN_ID: usize = TRACE_ID + 16 + 2;
const KIND: usize = SPAN_ID + 8 + 1;
const START: usize = KIND + 1 + 1;
const END: usize = START + 8 + 1;
const FLAGS: usize = END + 8 + 2;

/// Appends one span, as an element of `ScopeSpans.spans`, to `out`; `attributes` adds them.
pub fn span(out: &mut Vec<u8>, span: &Span<'_>, attributes: impl FnOnce(&mut Attributes<'_>)) {
    let length_at = out.len() + 1;
    let mut flags = u32::from(span.flags) | HAS_IS_REMOTE;
    if let Some((_, true)) = span.parent {
        flags |= IS_REMOTE;
    }
    let mut head = HEAD;
    head[TRACE_ID..][..16].copy_from_slice(&span.trace_id.to_be_bytes());
    head[SPAN_ID..][..8].copy_from_slice(&span.span_id.to_be_bytes());
    head[KIND] = span.kind as u8;
    head[START..][..8].copy_from_slice(&span.start.to_le_bytes());
    head[END..][..8].copy_from_slice(&span.end.to_le_bytes());
    head[FLAGS..].copy_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&head);
    if let Some((parent, _)) = span.parent {
        let mut field = [0; 10];
        field[..2].copy_from_slice(&[tag_byte(4, BYTES), 8]);
        field[2..].copy_from_slice(&parent.to_be_bytes());
        out.extend_from_slice(&field);
    }
    if !span.trace_state.is_empty() {
        bytes(out, 3, span.trace_state);
    }
    let (method, route) = span.name;
    before_bytes(out, 5, method.len() + route.len());
    out.extend_from_slice(method.as_bytes());
    out.extend_from_slice(route.as_bytes());
    attributes(&mut Attributes { out });
    if let Some((trace_id, span_id)) = span.link {
        let length = 2 + 16 + 2 + 8 + 5;
        before_bytes(out, 13, length);
        bytes(out, 1, &trace_id.to_be_bytes());
        bytes(out, 2, &span_id.to_be_bytes());
        tag(out, 6, FIXED32);
        out.extend_from_slice(&(HAS_IS_REMOTE | IS_REMOTE).to_le_bytes());
    }
    if span.failed {
        // Status { code: ERROR }
        bytes(out, 15, &[tag_byte(3, VARINT), 2]);
    }
    let length = out.len() - length_at - LENGTH;
    for (at, byte) in out[length_at..length_at + LENGTH].iter_mut().enumerate() {
        let more = if at + 1 < LENGTH { 0x80 } else { 0 };
        *byte = (length >> (7 * at)) as u8 & 0x7f | more;
    }
}

/// An attribute's key as it stands before a short value: `KeyValue { key, value: AnyValue }` up to the value itself,
/// with its lengths left open. `N` is eight bytes more than the key has; `key!` counts them.
#[derive(Debug)]
pub struct Key<const N: usize>([u8; N]);

/// From the end of a [`Key`]: the length of the `AnyValue`, the tag of the value and the length of a text.
const ANY: usize = 3;
const VALUE: usize = 2;
const TEXT: usize = 1;

impl<const N: usize> Key<N> {
    /// The key of this name.
    ///
    /// # Panics
    /// When compiled, if `N` is not eight more than the name's length, or the name is not a short one.
    #[must_use]
    pub const fn new(name: &str) -> Self {
        assert!(N == name.len() + 8 && N < 100, "N is eight more than the length of a short name");
        let mut head = [0; N];
        head[0] = tag_byte(9, BYTES);
        head[2] = tag_byte(1, BYTES);
        head[3] = name.len() as u8;
        let mut at = 0;
        while at < name.len() {
            head[4 + at] = name.as_bytes()[at];
            at += 1;
        }
        head[N - ANY - 1] = tag_byte(2, BYTES);
        head[N - VALUE] = tag_byte(1, BYTES);
        Self(head)
    }

    /// The key's bytes before an `AnyValue` of `any` bytes, which with the key takes less than 128.
    const fn before(&self, any: usize) -> [u8; N] {
        let mut head = self.0;
        head[1] = (N - 4 + any) as u8;
        head[N - ANY] = any as u8;
        head
    }

    /// The key's bytes before a text of this length that [`is_short`].
    const fn before_text(&self, length: usize) -> [u8; N] {
        let mut head = self.before(2 + length);
        head[N - TEXT] = length as u8;
        head
    }

    /// The whole attribute of a text; `A` is how long it is.
    ///
    /// # Panics
    /// When compiled, if `A` is not that, or the text is not a short one.
    #[must_use]
    pub const fn with<const A: usize>(&self, value: &str) -> [u8; A] {
        assert!(A == N + value.len() && is_short::<N>(value.len()), "A is as long as key and short text");
        let head = self.before_text(value.len());
        let mut whole = [0; A];
        let mut at = 0;
        while at < A {
            whole[at] = if at < N { head[at] } else { value.as_bytes()[at - N] };
            at += 1;
        }
        whole
    }

    fn name(&self) -> &[u8] {
        &self.0[4..N - 4]
    }
}

/// A [`Key`], made when compiled.
macro_rules! key {
    ($name:literal) => {
        &const { $crate::telemetry::otlp::Key::<{ $name.len() + 8 }>::new($name) }
    };
}
pub(super) use key;

/// A text attribute, made when compiled, for [`Attributes::encoded`].
macro_rules! fixed {
    ($name:literal, $value:expr) => {
        &const {
            const KEY: usize = $name.len() + 8;
            $crate::telemetry::otlp::Key::<KEY>::new($name).with::<{ KEY + $value.len() }>($value)
        }
    };
}
pub(super) use fixed;

/// Writes a span's attributes.
#[derive(Debug)]
pub struct Attributes<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Attributes<'a> {
    /// Writes attributes alone, to be added to spans with [`encoded`](Self::encoded).
    pub const fn apart(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Attributes that were written before.
    #[inline]
    pub fn encoded(&mut self, attributes: &[u8]) {
        self.out.extend_from_slice(attributes);
    }

    /// A text; what is longer than 4 KiB is cut there.
    #[inline]
    pub fn text<const N: usize>(&mut self, key: &Key<N>, value: &str) {
        self.raw(key, value.as_bytes());
    }

    /// A text in two parts.
    pub fn joined<const N: usize>(&mut self, key: &Key<N>, first: &str, rest: &str) {
        let length = first.len() + rest.len();
        if is_short::<N>(length) {
            self.out.extend_from_slice(&key.before_text(length));
            self.out.extend_from_slice(first.as_bytes());
            self.out.extend_from_slice(rest.as_bytes());
        } else {
            self.long(key.name(), &[first.as_bytes(), rest.as_bytes()].concat());
        }
    }

    /// A text of bytes that are ASCII; others are replaced.
    #[inline]
    pub fn ascii<const N: usize>(&mut self, key: &Key<N>, value: &[u8]) {
        if value.is_ascii() { self.raw(key, value) } else { self.text(key, &String::from_utf8_lossy(value)) }
    }

    /// A whole number.
    #[inline]
    pub fn int<const N: usize>(&mut self, key: &Key<N>, value: u64) {
        let mut head = key.before(1 + varint_len(value));
        head[N - VALUE] = tag_byte(3, VARINT);
        // Its first byte, the only one of a small number, is where a text has its length.
        head[N - TEXT] = value as u8 & 0x7f | if value >= 0x80 { 0x80 } else { 0 };
        self.out.extend_from_slice(&head);
        if value >= 0x80 {
            varint(self.out, value >> 7);
        }
    }

    /// True or false.
    pub fn bool<const N: usize>(&mut self, key: &Key<N>, value: bool) {
        let mut head = key.before(2);
        head[N - VALUE] = tag_byte(2, VARINT);
        head[N - TEXT] = u8::from(value);
        self.out.extend_from_slice(&head);
    }

    #[inline]
    fn raw<const N: usize>(&mut self, key: &Key<N>, value: &[u8]) {
        if is_short::<N>(value.len()) {
            self.out.extend_from_slice(&key.before_text(value.len()));
            self.out.extend_from_slice(value);
        } else {
            self.long(key.name(), value);
        }
    }

    #[cold]
    fn long(&mut self, key: &[u8], value: &[u8]) {
        // A span's length has three bytes, and a collector no use for more.
        let value = &value[..cut(value)];
        let any = 1 + varint_len(value.len() as u64) + value.len();
        let length = 2 + key.len() + 1 + varint_len(any as u64) + any;
        tag(self.out, 9, BYTES);
        varint(self.out, length as u64);
        bytes(self.out, 1, key);
        tag(self.out, 2, BYTES);
        varint(self.out, any as u64);
        bytes(self.out, 1, value);
    }
}

/// Whether a text of this length, its [`Key`] and all between have lengths of one byte each.
const fn is_short<const N: usize>(length: usize) -> bool {
    length < 128 - (N - 2)
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

/// What stands before `spans` bytes of spans in an `ExportTraceServiceRequest`; the spans end it.
pub fn request_head(service_name: &str, spans: usize) -> Vec<u8> {
    let mut resource = Vec::new();
    let mut attribute = |write: &dyn Fn(&mut Attributes<'_>)| {
        let begin = resource.len();
        write(&mut Attributes { out: &mut resource });
        // `Resource.attributes` is field 1; a `KeyValue` is the same there and in a span.
        resource[begin] = tag_byte(1, BYTES);
    };
    attribute(&|resource| resource.text(key!("service.name"), service_name));
    attribute(&|resource| resource.text(key!("telemetry.sdk.name"), "patchgate"));
    attribute(&|resource| resource.text(key!("telemetry.sdk.language"), "rust"));
    attribute(&|resource| resource.text(key!("telemetry.sdk.version"), env!("CARGO_PKG_VERSION")));
    let mut scope = Vec::new();
    bytes(&mut scope, 1, b"patchgate");
    bytes(&mut scope, 2, env!("CARGO_PKG_VERSION").as_bytes());
    let scope_spans = 1 + varint_len(scope.len() as u64) + scope.len() + spans;
    let resource_spans =
        1 + varint_len(resource.len() as u64) + resource.len() + 1 + varint_len(scope_spans as u64) + scope_spans;
    let mut out = Vec::with_capacity(resource.len() + scope.len() + 32);
    tag(&mut out, 1, BYTES);
    varint(&mut out, resource_spans as u64);
    bytes(&mut out, 1, &resource);
    tag(&mut out, 2, BYTES);
    varint(&mut out, scope_spans as u64);
    bytes(&mut out, 1, &scope);
    out
}

/// The tag of a field below 16.
const fn tag_byte(field: u8, wire: u8) -> u8 {
    field << 3 | wire
}

fn tag(out: &mut Vec<u8>, field: u8, wire: u8) {
    out.push(tag_byte(field, wire));
}

fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    before_bytes(out, field, value.len());
    out.extend_from_slice(value);
}

#[inline]
fn before_bytes(out: &mut Vec<u8>, field: u8, length: usize) {
    if length < 0x80 {
        out.extend_from_slice(&[tag_byte(field, BYTES), length as u8]);
    } else {
        tag(out, field, BYTES);
        varint(out, length as u64);
    }
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
