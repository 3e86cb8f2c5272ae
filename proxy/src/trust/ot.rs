//! OpenTelemetry's own `tracestate` member: `ot=th:…;rv:…`.
//!
//! Read for the sampling decision, written when the threshold changes. Sub-keys are OpenTelemetry's
//! to define: this file touches `th` only, and drops others only for want of room.
//! Source: OpenTelemetry specification, `tracestate-handling.md`.

use bytes::BytesMut;

use super::threshold::{Randomness, Threshold};

/// The member's key.
pub(super) const KEY: &[u8] = b"ot";

/// Most characters of a member's value.
const MAX_VALUE: usize = 256;

/// What to do with the threshold on the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtEdit {
    /// Leave it as it came.
    Keep,
    /// Write this one. Only beside a set sampled flag.
    Threshold(Threshold),
    /// Write none: unsampled, or of unknown probability.
    EraseThreshold,
}

/// What a message says about its sampling threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdField {
    /// No `th`.
    Absent,
    /// A legal one.
    Present(Threshold),
    /// One that cannot be read: the probability is unknown.
    Malformed,
}

/// A borrowed `ot` value; empty if the member is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ot<'h>(pub(super) &'h [u8]);

impl<'h> Ot<'h> {
    fn pairs(self) -> impl Iterator<Item = &'h [u8]> {
        self.0.split(|&byte| byte == b';').filter(|pair| !pair.is_empty())
    }

    fn get(self, key: &[u8]) -> Option<&'h [u8]> {
        self.pairs().find_map(|pair| pair.strip_prefix(key)?.strip_prefix(b":"))
    }

    pub(super) fn threshold(self) -> ThresholdField {
        match self.get(b"th").map(Threshold::parse) {
            None => ThresholdField::Absent,
            Some(Some(threshold)) => ThresholdField::Present(threshold),
            Some(None) => ThresholdField::Malformed,
        }
    }

    pub(super) fn randomness(self) -> Option<Randomness> {
        self.get(b"rv").and_then(Randomness::parse)
    }

    /// Whether the edit leaves the value as it is.
    pub(super) fn unchanged_by(self, edit: OtEdit) -> bool {
        match edit {
            OtEdit::Keep => true,
            OtEdit::Threshold(new) => self.threshold() == ThresholdField::Present(new),
            OtEdit::EraseThreshold => self.threshold() == ThresholdField::Absent,
        }
    }

    /// Appends the member with this threshold in place of the present one, `rv` next, then the
    /// other legal pairs as long as the value stays within 256 characters. Returns false, and
    /// appends no more than a key, if the value would be empty.
    pub(super) fn write(self, threshold: Option<Threshold>, out: &mut BytesMut) -> bool {
        out.extend_from_slice(KEY);
        out.extend_from_slice(b"=");
        let value = out.len();
        let separate = |out: &mut BytesMut| {
            if out.len() > value {
                out.extend_from_slice(b";");
            }
        };
        if let Some(threshold) = threshold {
            let (digits, len) = threshold.encode();
            out.extend_from_slice(b"th:");
            out.extend_from_slice(&digits[..len]);
        }
        // `rv` before the rest, so that want of room can never cost it.
        let is_rv = |pair: &&[u8]| pair.starts_with(b"rv:");
        let is_th = |pair: &&[u8]| pair.starts_with(b"th:");
        let first_rv = self.pairs().find(is_rv);
        let others = self.pairs().filter(|pair| !is_rv(pair) && !is_th(pair));
        for pair in first_rv.into_iter().chain(others) {
            if is_legal(pair) && out.len() - value + 1 + pair.len() <= MAX_VALUE {
                separate(out);
                out.extend_from_slice(pair);
            }
        }
        out.len() > value
    }
}

/// `lcalpha *( lcalpha / DIGIT ) ":" *( ALPHA / DIGIT / "." / "_" / "-" )`
fn is_legal(pair: &[u8]) -> bool {
    let Some(colon) = pair.iter().position(|&byte| byte == b':') else {
        return false;
    };
    let (key, value) = (&pair[..colon], &pair[colon + 1..]);
    key.first().is_some_and(u8::is_ascii_lowercase)
        && key.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        && value.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}
