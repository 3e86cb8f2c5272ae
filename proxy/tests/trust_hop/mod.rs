//! One hop of patchgate without sockets: header lines in, header lines out.
//!
//! The pure functions of `trust`, strung together as the request path does it, and the tables that say what comes out.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};
use patchgate_proxy::trust::{
    Edit, Incoming, Mark, MarkEdit, Randomness, SamplingInput, SignatureEdit, SpanId, Threshold, TraceId, TraceParent,
    baggage, outgoing, traceparent, tracestate,
};
use patchgate_testkit::table::TRACE;

/// The trace that begins where none goes on, and the span of every attempt.
pub(crate) const NEW_TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
pub(crate) const SPAN: u64 = 0x00f0_67aa_0ba9_02b7;

/// What a hop knows beside the request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hop<'a> {
    pub(crate) trusted: bool,
    pub(crate) baggage: bool,
    /// Group and version that a rule marks the request with.
    pub(crate) assign: Option<(&'a str, &'a str)>,
    /// Chosen as control.
    pub(crate) control: bool,
    /// Shares of traces that are sampled; canary: all, if not given.
    pub(crate) sample: Option<f64>,
    pub(crate) sample_canary: Option<f64>,
    pub(crate) clear_random_flag: bool,
}

/// What goes on, and what is counted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) traceparent: String,
    pub(crate) tracestate: Option<Vec<u8>>,
    pub(crate) baggage: Option<Vec<u8>>,
    /// What there is to count: see [`said`].
    pub(crate) says: String,
}

impl Hop<'_> {
    pub(crate) fn send(&self, headers: &HeaderMap) -> Sent {
        let incoming = Incoming::read(headers, self.trusted, self.baggage);
        let mark = incoming.mark();
        let trace_id = incoming.parent.map_or(TraceId::from_random(NEW_TRACE), |parent| parent.trace_id);
        let sampled = outgoing(&SamplingInput {
            parent: incoming.parent_sampling(),
            randomness: Randomness::of(trace_id, incoming.state.randomness()),
            raised: mark.mark().is_some() || self.assign.is_some() || self.control,
            canary_threshold: self.sample_canary.map_or(Some(Threshold::ALWAYS), Threshold::from_probability),
            default_threshold: self.sample.and_then(Threshold::from_probability),
            clear_random_flag: self.clear_random_flag,
        });
        let assigned = self.assign.map(|(group, version)| Mark::new(group, version).expect("a legal mark"));
        let edit = Edit {
            mark: assigned.or(mark.mark()).map_or(MarkEdit::Keep, MarkEdit::Set),
            signature: SignatureEdit::Keep,
            ot: sampled.ot,
        };
        let mut out = BytesMut::new();
        let written = incoming.state.write(&edit, &mut out).then(|| out.to_vec());
        if incoming.state.unchanged(&edit) {
            assert_eq!(field(headers, &tracestate::TRACESTATE), written, "what goes on as it came is what was written");
        }
        let sent = TraceParent { trace_id, parent_id: SpanId::from_random(SPAN), flags: sampled.flags };
        Sent {
            traceparent: String::from_utf8(sent.encode().to_vec()).expect("ASCII"),
            tracestate: written,
            baggage: self.baggage_behind(headers),
            says: said(&incoming),
        }
    }

    fn baggage_behind(&self, headers: &HeaderMap) -> Option<Vec<u8>> {
        let mut headers = headers.clone();
        if !self.trusted {
            baggage::strip_mark(&mut headers);
        }
        field(&headers, &baggage::BAGGAGE)
    }
}

/// The fate of the mark, why a header was not believed, and `linked` if a trace is left behind.
fn said(incoming: &Incoming<'_>) -> String {
    let mark = incoming.mark();
    let mut words = vec![mark.as_str().to_owned()];
    words.extend(mark.mark().map(|mark| format!("{}/{}", mark.group(), mark.version())));
    words.extend(incoming.invalid.map(|invalid| invalid.as_str().to_owned()));
    words.extend(incoming.rejected.map(|rejected| rejected.as_str().to_owned()));
    words.extend(incoming.link.map(|_| "linked".to_owned()));
    words.join(" ")
}

/// All lines of that name as one.
fn field(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    (!lines.is_empty()).then(|| lines.join(&b','))
}

/// The `traceparent` that a hop sends.
pub(crate) fn sent_parent(goes_on: bool, flags: &str) -> String {
    let trace = if goes_on { TRACE.to_owned() } else { format!("{NEW_TRACE:032x}") };
    let sent = format!("00-{trace}-{SPAN:016x}-{flags}");
    assert_eq!(sent.len(), traceparent::LEN);
    sent
}
