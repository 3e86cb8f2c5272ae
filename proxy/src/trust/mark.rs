//! The mark: which patch, in which lane, a request is meant for.
//!
//! Read from `tracestate` (or baggage) right after the trace context, asked for by the rollout
//! decision, written on each attempt. A value that does not fit is not a mark: nothing here trims,
//! decodes or shortens one into shape.

use thiserror::Error;

/// Most characters that a group or a version has.
pub const MAX_VALUE: usize = 96;

/// A group and a version that both are legal on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark<'a> {
    group: &'a str,
    version: &'a str,
}

/// Why two strings are not a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotAMark {
    /// The group does not fit.
    #[error("the group is not 1 to 96 characters of [A-Za-z0-9._+~/-]")]
    Group,
    /// The version does not fit.
    #[error("the version is not 1 to 96 characters of [A-Za-z0-9._+~/-]")]
    Version,
}

impl<'a> Mark<'a> {
    /// A mark of these two values, 1 to 96 characters of `[A-Za-z0-9._+~/-]` each.
    ///
    /// # Errors
    /// Names the value that does not fit, the group first.
    pub fn new(group: &'a str, version: &'a str) -> Result<Self, NotAMark> {
        Self::from_bytes(group.as_bytes(), version.as_bytes())
    }

    /// [`Mark::new`] for values as they stand in a header.
    ///
    /// # Errors
    /// As [`Mark::new`].
    pub fn from_bytes(group: &'a [u8], version: &'a [u8]) -> Result<Self, NotAMark> {
        Ok(Self { group: legal(group).ok_or(NotAMark::Group)?, version: legal(version).ok_or(NotAMark::Version)? })
    }

    /// The lane that the patch is tested in.
    pub const fn group(self) -> &'a str {
        self.group
    }

    /// The version of the hot-fix.
    pub const fn version(self) -> &'a str {
        self.version
    }
}

/// What a message says about a mark.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkField<'a> {
    /// Neither group nor version is there.
    #[default]
    Absent,
    /// Both are, and legal.
    Mark(Mark<'a>),
    /// One is missing or illegal: not a mark, for the caller to count.
    Malformed,
}

impl<'a> MarkField<'a> {
    /// The field that these two values make, each `None` if it is not there.
    pub(super) fn from_values(group: Option<&'a [u8]>, version: Option<&'a [u8]>) -> Self {
        match (group, version) {
            (None, None) => Self::Absent,
            (Some(group), Some(version)) => Mark::from_bytes(group, version).map_or(Self::Malformed, Self::Mark),
            _ => Self::Malformed,
        }
    }

    /// The mark, if it is one.
    pub const fn mark(self) -> Option<Mark<'a>> {
        match self {
            Self::Mark(mark) => Some(mark),
            Self::Absent | Self::Malformed => None,
        }
    }
}

/// The value as text, if it has the length and the characters of a mark's.
fn legal(value: &[u8]) -> Option<&str> {
    let all = value.iter().fold(true, |all, &byte| all & LEGAL[byte as usize]);
    match all && (1..=MAX_VALUE).contains(&value.len()) {
        true => std::str::from_utf8(value).ok(),
        false => None,
    }
}

/// The characters of a value.
const LEGAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] =
            (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'.' | b'_' | b'+' | b'~' | b'/' | b'-');
        byte += 1;
    }
    table
};
