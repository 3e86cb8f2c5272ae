//! The two identifiers of a trace, as every hop writes them.
//!
//! On the request's path they come out of [`super::traceparent`] or are drawn anew for a root or an
//! attempt. This file draws no random numbers: the caller hands the bits in.

use super::hex;
use std::{
    fmt,
    num::{NonZeroU64, NonZeroU128},
};

/// A trace's identity: 16 bytes, never all zero (Trace Context Level 2, §3.2.2.3).
///
/// Displayed as the 32 lowercase hex digits of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(NonZeroU128);

/// A span's identity: 8 bytes, never all zero (Trace Context Level 2, §3.2.2.4).
///
/// Displayed as the 16 lowercase hex digits of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(NonZeroU64);

impl TraceId {
    /// The id with these bits, big-endian as on the wire; `None` for zero.
    pub const fn new(bits: u128) -> Option<Self> {
        match NonZeroU128::new(bits) {
            Some(bits) => Some(Self(bits)),
            None => None,
        }
    }

    /// The id of a new trace from 128 random bits; zero, which the text forbids, becomes one.
    pub fn from_random(bits: u128) -> Self {
        Self(NonZeroU128::new(bits).unwrap_or(NonZeroU128::MIN))
    }

    /// The bits, big-endian as on the wire.
    pub const fn get(self) -> u128 {
        self.0.get()
    }

    /// The 32 lowercase hex digits of the wire.
    pub fn encode(self) -> [u8; 32] {
        let mut digits = [0; 32];
        hex::encode(&self.get().to_be_bytes(), &mut digits);
        digits
    }
}

impl SpanId {
    /// The id with these bits, big-endian as on the wire; `None` for zero.
    pub const fn new(bits: u64) -> Option<Self> {
        match NonZeroU64::new(bits) {
            Some(bits) => Some(Self(bits)),
            None => None,
        }
    }

    /// The id of a new span from 64 random bits; zero, which the text forbids, becomes one.
    pub fn from_random(bits: u64) -> Self {
        Self(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
    }

    /// The bits, big-endian as on the wire.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.get())
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.get())
    }
}
