//! Consistent probability: the rejection threshold and the randomness it is compared with.
//!
//! Between the `ot` member of [`super::tracestate`] and the decision in [`super::sampling`]; plain
//! numbers, no policy. Source: OpenTelemetry specification, `tracestate-probability-sampling.md`.

use std::fmt::{self, Write};

use super::{hex, ids::TraceId};

/// Hex digits of 56 bits.
pub const DIGITS: usize = 14;

/// 2^56, one more than the greatest randomness.
const RANGE: u64 = 1 << 56;

/// Digits kept of a configured probability, after the leading `f`s or zeros: 1 % is `fd70a`.
const PRECISION: u32 = 4;

/// `th`: what of 2^56 is rejected; 0 keeps everything. A trace is kept if its randomness is not less.
///
/// Displayed as the digits of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Threshold(u64);

/// `rv`: 56 bits that all samplers of a trace compare with their thresholds.
///
/// Displayed as the 14 hex digits of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Randomness(u64);

impl Threshold {
    /// Keeps everything: 100 %.
    pub const ALWAYS: Self = Self(0);

    /// The threshold that keeps this share (0 to 1) of all traces; `None` if that is none.
    ///
    /// Rounded to four significant hex digits, so that it stays short on the wire.
    pub fn from_probability(probability: f64) -> Option<Self> {
        // `as` saturates and takes NaN to 0, so every input ends in 0..=2^56.
        let kept = ((probability * RANGE as f64).round() as u64).min(RANGE);
        if kept == 0 {
            return None;
        }
        let rejected = RANGE - kept;
        // Near 0 % and 100 % the leading digits are all `f` or all zero and say little.
        let repeated = |bits: u64| (bits << 8).leading_zeros().min(56) / 4;
        let digits = PRECISION + repeated(rejected).max(repeated(!rejected));
        let shift = 4 * (DIGITS as u32).saturating_sub(digits);
        let rounded = match shift {
            0 => rejected,
            _ => (rejected + (1 << (shift - 1))) >> shift << shift,
        };
        Some(Self(rounded.min(RANGE - 1)))
    }

    /// The share of traces that this keeps.
    pub fn probability(self) -> f64 {
        (RANGE - self.0) as f64 / RANGE as f64
    }

    /// Whether a trace of this randomness is kept.
    pub const fn keeps(self, randomness: Randomness) -> bool {
        randomness.0 >= self.0
    }

    /// The threshold in a `th` sub-key: 1 to 14 lowercase hex digits, padded on the right.
    pub fn parse(digits: &[u8]) -> Option<Self> {
        if !(1..=DIGITS).contains(&digits.len()) {
            return None;
        }
        parse_padded(digits).map(Self)
    }

    /// The digits on the wire without trailing zeros, and how many they are; `0` for 100 %.
    pub(super) fn encode(self) -> ([u8; DIGITS], usize) {
        let mut digits = [0; DIGITS];
        hex::encode(&self.0.to_be_bytes()[1..], &mut digits);
        let len = match self.0 {
            0 => 1,
            bits => DIGITS - bits.trailing_zeros() as usize / 4,
        };
        (digits, len)
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (digits, len) = self.encode();
        digits[..len].iter().try_for_each(|&digit| f.write_char(digit.into()))
    }
}

impl fmt::Display for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:014x}", self.0)
    }
}

impl Randomness {
    /// The explicit `rv` if there is one, else the low 56 bits of the trace id.
    pub fn of(trace_id: TraceId, explicit: Option<Self>) -> Self {
        explicit.unwrap_or(Self(trace_id.get() as u64 & (RANGE - 1)))
    }

    /// The randomness in an `rv` sub-key: exactly 14 lowercase hex digits.
    pub fn parse(digits: &[u8]) -> Option<Self> {
        (digits.len() == DIGITS).then(|| parse_padded(digits).map(Self)).flatten()
    }
}

/// The 56 bits that at most 14 digits write, padded on the right.
fn parse_padded(digits: &[u8]) -> Option<u64> {
    let mut padded = [b'0'; 16];
    padded[2..2 + digits.len()].copy_from_slice(digits);
    hex::decode(&padded).map(u64::from_be_bytes)
}
