//! The `tracestate` header: read without a copy, edited, written as one line.
//!
//! Read after a `traceparent` that was believed, or from a response; written on each attempt and on
//! the way back. One bad member discards the whole list, as the text suggests (Trace Context Level
//! 2, §3.3.1.5): half a list would look like a deletion by us. It refuses to change, or to judge,
//! what other vendors say.

mod member;
mod write;

use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;
use thiserror::Error;

use self::member::{Member, Owner};
pub use self::write::{Edit, MarkEdit, SignatureEdit};
use super::{
    mark::MarkField,
    ot::{Ot, ThresholdField},
    ows,
    threshold::Randomness,
};

/// The header's name.
pub static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Most members of a list (§3.3.1.1).
pub const MAX_MEMBERS: usize = 32;

/// Characters that a list we write has at most: as many as every peer should propagate (§3.3.1.5).
pub const MAX_LEN: usize = 512;

/// Why a list was discarded as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejected {
    /// More than 32 members, repeated keys counted, empty members not.
    #[error("tracestate of more than 32 members")]
    TooManyMembers,
    /// A key outside the grammar, or one without a value.
    #[error("tracestate with an illegal key")]
    BadKey,
    /// An empty value, or one with an illegal character.
    #[error("tracestate with an illegal value")]
    BadValue,
    /// A key or a value of more than 256 characters.
    #[error("tracestate with a key or value of more than 256 characters")]
    TooLong,
}

impl Rejected {
    /// The stable label for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooManyMembers => "too_many_members",
            Self::BadKey => "bad_key",
            Self::BadValue => "bad_value",
            Self::TooLong => "too_long",
        }
    }
}

/// Members that need no allocation: more than any list seen in the field has, few enough to move.
const INLINE_MEMBERS: usize = 8;

/// A legal list, borrowed from its header lines; keys are unique, the left-most one won.
#[derive(Clone, Debug, Default)]
pub struct TraceState<'h> {
    members: SmallVec<[Member<'h>; INLINE_MEMBERS]>,
    /// The values of our members and of OpenTelemetry's.
    group: Option<&'h [u8]>,
    version: Option<&'h [u8]>,
    mark: MarkField<'h>,
    signature: Option<&'h [u8]>,
    ot: Ot<'h>,
    /// Whether one of our members came with a dotted key.
    dotted: bool,
    /// Whether the text that came is what [`TraceState::write`] would make of it.
    canonical: bool,
}

impl<'h> TraceState<'h> {
    /// Reads all `tracestate` lines of a message; empty if there is none.
    ///
    /// # Errors
    /// The reason why the list has to be discarded; the `traceparent` beside it stays valid.
    pub fn read(headers: &'h HeaderMap) -> Result<Self, Rejected> {
        let lines = headers.get_all(&TRACESTATE).iter();
        Self::parse(lines.map(|line| line.as_bytes()))
    }

    /// Reads header lines in the order they came, which make one list (RFC 9110 §5.3).
    ///
    /// # Errors
    /// As [`TraceState::read`].
    pub fn parse(lines: impl IntoIterator<Item = &'h [u8]>) -> Result<Self, Rejected> {
        let mut list = Self::default();
        let (mut received, mut received_len, mut line_count) = (0, 0, 0);
        let mut written_len = 0;
        for line in lines {
            line_count += 1;
            received_len += line.len();
            let mut rest = skip_empty(line);
            while !rest.is_empty() {
                let (member, after) = Member::split_off(rest)?;
                rest = skip_empty(after);
                received += 1;
                if received > MAX_MEMBERS {
                    return Err(Rejected::TooManyMembers);
                }
                if list.push(member) {
                    written_len += member.text().len() + usize::from(list.len() > 1);
                }
            }
        }
        list.mark = MarkField::from_values(list.group, list.version);
        // Nothing was skipped between the members if their length is that of the one line; an
        // empty line is legal to receive, not to send.
        list.canonical =
            line_count <= list.len().min(1) && written_len == received_len && written_len <= MAX_LEN && !list.dotted;
        Ok(list)
    }

    /// Adds the member; false if one further left has its key.
    #[inline]
    fn push(&mut self, member: Member<'h>) -> bool {
        if self.members.iter().any(|other| other.same_key(&member)) {
            return false;
        }
        match member.owner {
            Owner::Group => self.group = Some(member.value()),
            Owner::Version => self.version = Some(member.value()),
            Owner::Signature => self.signature = Some(member.value()),
            Owner::Ot => self.ot = Ot(member.value()),
            Owner::Foreign => {}
        }
        self.dotted |= member.dotted;
        self.members.push(member);
        true
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Members in the list.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The members as key and value, in order; a dotted key stands as it came.
    pub fn iter(&self) -> impl Iterator<Item = (&'h [u8], &'h [u8])> + '_ {
        self.members.iter().map(|member| (member.key(), member.value()))
    }

    /// Whether the list came as one line that needs no change to be legal and within limits.
    pub fn is_canonical(&self) -> bool {
        self.canonical
    }

    /// The mark: `patch-group` and `patch-version`, or their dotted forms.
    pub fn mark(&self) -> MarkField<'h> {
        self.mark
    }

    /// The value of `patch-sig`, if there is one.
    pub fn signature(&self) -> Option<&'h [u8]> {
        self.signature
    }

    /// The explicit randomness of the trace, if it is legal.
    pub fn randomness(&self) -> Option<Randomness> {
        self.ot.randomness()
    }

    /// The sampling threshold.
    pub fn threshold(&self) -> ThresholdField {
        self.ot.threshold()
    }
}

/// The line from its next member on: empty members are legal to receive, not to send.
fn skip_empty(line: &[u8]) -> &[u8] {
    let mut rest = ows::trim_start(line);
    while let [b',', after @ ..] = rest {
        rest = ows::trim_start(after);
    }
    rest
}
