//! The `traceparent` header: read strictly, written fast.
//!
//! First thing read of a request's trace context, last thing written on each attempt. It refuses to
//! repair: whatever Trace Context Level 2 §3.2 does not allow is [`Invalid`], and the caller then
//! starts a new trace without the `tracestate` beside it.

use http::{HeaderMap, HeaderName};
use thiserror::Error;

use super::{
    hex,
    ids::{SpanId, TraceId},
    ows,
};

/// The header's name.
pub static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Length in bytes of a version 00 value, and of the part of later versions that is understood.
pub const LEN: usize = 55;

/// The flags of a trace, only those that Level 2 defines (§3.2.2.5); all others read and written 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    const SAMPLED: u8 = 0x01;
    const RANDOM: u8 = 0x02;

    /// The flags in this byte; undefined bits are dropped.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & (Self::SAMPLED | Self::RANDOM))
    }

    /// The byte on the wire.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether the caller may have recorded the trace.
    pub const fn sampled(self) -> bool {
        self.0 & Self::SAMPLED != 0
    }

    /// Whether the right-most 7 bytes of the trace id are random.
    pub const fn random(self) -> bool {
        self.0 & Self::RANDOM != 0
    }

    /// The same flags with the sampled bit as given. Only together with a new parent id may the
    /// result go on the wire (§3.4).
    pub const fn with_sampled(self, sampled: bool) -> Self {
        Self(self.0 & !Self::SAMPLED | if sampled { Self::SAMPLED } else { 0 })
    }

    /// The same flags with the random bit as given.
    pub const fn with_random(self, random: bool) -> Self {
        Self(self.0 & !Self::RANDOM | if random { Self::RANDOM } else { 0 })
    }
}

/// What one `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace that the request belongs to.
    pub trace_id: TraceId,
    /// The span that sent the request.
    pub parent_id: SpanId,
    /// The sender's flags.
    pub flags: Flags,
}

/// Why a `traceparent` was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Invalid {
    /// More than one header line.
    #[error("more than one traceparent header")]
    Duplicated,
    /// Fewer or more bytes than the version has.
    #[error("traceparent of a wrong length")]
    Length,
    /// Version `ff`, or one that is not two hex digits.
    #[error("traceparent of a forbidden version")]
    Version,
    /// A dash missing, or a byte that is no lowercase hex digit.
    #[error("traceparent with an illegal character")]
    Character,
    /// A trace id or parent id of zeros only.
    #[error("traceparent with an id of zeros")]
    ZeroId,
}

impl Invalid {
    /// The stable label for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Duplicated => "duplicated",
            Self::Length => "length",
            Self::Version => "version",
            Self::Character => "character",
            Self::ZeroId => "zero_id",
        }
    }
}

/// Reads the one `traceparent` of a request; `Ok(None)` if there is none.
///
/// # Errors
/// Two lines are [`Invalid::Duplicated`] even if equal: which of two senders to believe is unknown.
pub fn read(headers: &HeaderMap) -> Result<Option<TraceParent>, Invalid> {
    let mut lines = headers.get_all(&TRACEPARENT).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => parse(value.as_bytes()).map(Some),
        (Some(_), Some(_)) => Err(Invalid::Duplicated),
    }
}

/// Parses one header value, white space around it allowed (RFC 9110 §5.5).
///
/// # Errors
/// Anything but version 00's exact form, or a later version that starts in that form and goes on
/// with a dash or not at all (Trace Context Level 2 §3.2 and §4.1).
pub fn parse(value: &[u8]) -> Result<TraceParent, Invalid> {
    let value = ows::trim(value);
    let (head, rest) = value.split_first_chunk::<LEN>().ok_or(Invalid::Length)?;
    match (hex::decode(&head[..2]), rest.first()) {
        (None | Some([0xff]), _) => return Err(Invalid::Version),
        (Some([0]), Some(_)) => return Err(Invalid::Length),
        (Some(_), None | Some(b'-')) => {}
        (Some(_), Some(_)) => return Err(Invalid::Character),
    }
    if [head[2], head[35], head[52]] != *b"---" {
        return Err(Invalid::Character);
    }
    let trace_id = hex::decode(&head[3..35]).ok_or(Invalid::Character)?;
    let parent_id = hex::decode(&head[36..52]).ok_or(Invalid::Character)?;
    let [flags] = hex::decode(&head[53..]).ok_or(Invalid::Character)?;
    Ok(TraceParent {
        trace_id: TraceId::new(u128::from_be_bytes(trace_id)).ok_or(Invalid::ZeroId)?,
        parent_id: SpanId::new(u64::from_be_bytes(parent_id)).ok_or(Invalid::ZeroId)?,
        flags: Flags::from_bits(flags),
    })
}

impl TraceParent {
    /// The header value, always as version 00.
    pub fn encode(&self) -> [u8; LEN] {
        let mut out = [b'-'; LEN];
        out[..2].copy_from_slice(b"00");
        hex::encode(&self.trace_id.get().to_be_bytes(), &mut out[3..35]);
        hex::encode(&self.parent_id.get().to_be_bytes(), &mut out[36..52]);
        hex::encode(&[self.flags.bits()], &mut out[53..]);
        out
    }
}
