//! A request's trace context and mark, by whether its sender is believed.
//!
//! The one entry from the request path: called once a request, after the listener has said whether
//! the peer is trusted. It refuses to decide trust, and to change the headers it reads.

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use patchgate_config::mark_key::MarkKey;

use super::{
    baggage::BaggageMark,
    mark::{Mark, MarkField},
    sampling::ParentSampling,
    signature::{Signature, Unsigned},
    traceparent::{self, Invalid, TraceParent},
    tracestate::{Rejected, TRACESTATE, TraceState},
};

static SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What became of a request's mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkResult<'a> {
    /// There was none.
    None,
    /// Believed.
    Trusted(Mark<'a>),
    /// Believed for its signature, from a peer that may not mark.
    Signed(Mark<'a>),
    /// A legal one from a peer that may not mark.
    Untrusted,
    /// As before, with a signature by none of the keys, or one of another mark or trace.
    BadSignature,
    /// As before, with a signature whose time is over.
    Expired,
    /// A legal one in a list whose `traceparent` is absent or invalid, so dropped with it.
    Orphaned,
    /// Half a mark, or one with an illegal value.
    Malformed,
}

impl<'a> MarkResult<'a> {
    /// The stable label for metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Trusted(_) => "trusted",
            Self::Signed(_) => "signed",
            Self::Untrusted => "untrusted",
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::Orphaned => "orphaned",
            Self::Malformed => "malformed",
        }
    }

    /// The mark, if believed.
    pub const fn mark(self) -> Option<Mark<'a>> {
        match self {
            Self::Trusted(mark) | Self::Signed(mark) => Some(mark),
            _ => None,
        }
    }

    fn refused(field: MarkField<'_>, reason: Self) -> Self {
        match field {
            MarkField::Absent => Self::None,
            MarkField::Mark(_) => reason,
            MarkField::Malformed => Self::Malformed,
        }
    }
}

/// What we believe of a request's context.
#[derive(Clone, Debug)]
pub struct Incoming<'h> {
    /// The trace that goes on; `None` if one begins here.
    pub parent: Option<TraceParent>,
    /// The trace of an untrusted caller, for a link from the span that begins ours.
    pub link: Option<TraceParent>,
    /// Why the `traceparent` was not read, if it was there.
    pub invalid: Option<Invalid>,
    /// The list that goes on; empty if rejected, or if a trace begins here.
    pub state: TraceState<'h>,
    /// Why the list was discarded, if it was.
    pub rejected: Option<Rejected>,
    /// What a `tracestate` that does not go on said of a mark.
    refused: MarkResult<'h>,
    baggage: BaggageMark<'h>,
    trusted: bool,
    /// The mark's signature is why the context is believed.
    signed: bool,
}

/// Who can vouch for a stranger's mark, and when that is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vouching<'k> {
    /// Keys; none: nobody can.
    pub keys: &'k [MarkKey],
    /// Unix time in seconds.
    pub now: u64,
}

impl<'h> Incoming<'h> {
    /// Reads the headers of a request. `trusted`: the peer's context and mark are believed.
    /// `baggage`: the mark may also come in baggage, which needs no `traceparent`.
    pub fn read(headers: &'h HeaderMap, trusted: bool, baggage: bool) -> Self {
        Self::read_vouched(headers, trusted, baggage, Vouching::default())
    }

    /// The same, where a signature makes a mark of a peer that is not trusted believed, and with it the context that it
    /// came in. A trusted peer's is not looked at.
    pub fn read_vouched(headers: &'h HeaderMap, trusted: bool, baggage: bool, vouching: Vouching<'_>) -> Self {
        let (theirs, invalid) = match traceparent::read(headers) {
            Ok(parent) => (parent, None),
            Err(invalid) => (None, Some(invalid)),
        };
        let (mut state, rejected) = match TraceState::read(headers) {
            Ok(state) => (state, None),
            Err(rejected) => (TraceState::default(), Some(rejected)),
        };
        let vouched = match (trusted, theirs) {
            (false, Some(theirs)) => vouched(&state, theirs, vouching),
            _ => None,
        };
        let signed = vouched == Some(Ok(()));
        let parent = theirs.filter(|_| trusted || signed);
        let mut refused = MarkResult::None;
        if parent.is_none() && !state.is_empty() {
            let reason = match (trusted, vouched) {
                (true, _) => MarkResult::Orphaned,
                (false, Some(Err(Unsigned::Wrong))) => MarkResult::BadSignature,
                (false, Some(Err(Unsigned::Expired))) => MarkResult::Expired,
                (false, _) => MarkResult::Untrusted,
            };
            refused = MarkResult::refused(state.mark(), reason);
            state = TraceState::default();
        }
        Self {
            parent,
            link: theirs.filter(|_| parent.is_none()),
            invalid,
            state,
            rejected,
            refused,
            baggage: match baggage {
                true => BaggageMark::read(headers),
                false => BaggageMark::default(),
            },
            trusted,
            signed,
        }
    }

    /// The mark: of `tracestate` if that has a legal one, else of the baggage.
    pub fn mark(&self) -> MarkResult<'_> {
        let field = self.state.mark();
        let carried = match field {
            MarkField::Mark(_) => field,
            MarkField::Absent | MarkField::Malformed => self.baggage.mark(),
        };
        if let (MarkField::Mark(mark), true) = (field, self.signed) {
            return MarkResult::Signed(mark);
        }
        match (carried, self.trusted) {
            (MarkField::Mark(mark), true) => MarkResult::Trusted(mark),
            (MarkField::Mark(_), false) => MarkResult::Untrusted,
            (MarkField::Malformed, _) => MarkResult::Malformed,
            (MarkField::Absent, _) if field == MarkField::Malformed => MarkResult::Malformed,
            (MarkField::Absent, _) => self.refused,
        }
    }

    /// The parent's say in the sampling decision; `None` where a trace begins.
    pub fn parent_sampling(&self) -> Option<ParentSampling> {
        self.parent.map(|parent| ParentSampling { flags: parent.flags, threshold: self.state.threshold() })
    }
}

/// Whether one of the keys vouches for the mark; `None`: nobody is asked to.
fn vouched(state: &TraceState<'_>, parent: TraceParent, vouching: Vouching<'_>) -> Option<Result<(), Unsigned>> {
    let (mark, value) = (state.mark().mark()?, state.signature()?);
    if vouching.keys.is_empty() {
        return None;
    }
    let Some(signature) = Signature::parse(value) else { return Some(Err(Unsigned::Wrong)) };
    Some(signature.verify(vouching.keys, parent.trace_id, mark, vouching.now))
}

/// The mark in a response's headers or trailers. A response has no `traceparent`, so the list stands
/// for itself; one that has to be discarded is [`MarkField::Malformed`].
pub fn response_mark(fields: &HeaderMap) -> MarkField<'_> {
    // Most responses have none, and the list is a big thing to build for them.
    if !fields.contains_key(&TRACESTATE) {
        return MarkField::Absent;
    }
    TraceState::read(fields).map_or(MarkField::Malformed, |state| state.mark())
}

/// Appends `Server-Timing: trace;desc="00-<trace>-<span>-<flags>"`, the response's `traceparent` of
/// the Level 3 draft; the backend's own metrics stay.
pub fn append_server_timing(fields: &mut HeaderMap, span: &TraceParent) {
    let mut value = BytesMut::with_capacity(traceparent::LEN + 13);
    value.put_slice(b"trace;desc=\"");
    value.put_slice(&span.encode());
    value.put_u8(b'"');
    // Hex, dashes and quotes are legal in any field value.
    if let Ok(mut value) = HeaderValue::from_maybe_shared(value.freeze()) {
        // No other response has it: HPACK is not to push others out of its table for it, or to look for it there.
        value.set_sensitive(true);
        fields.append(&SERVER_TIMING, value);
    }
}
