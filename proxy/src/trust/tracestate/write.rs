//! Writing a `tracestate` list after an edit, within the limits of the text.
//!
//! Last step before an attempt or a response is sent. What we change goes to the front, as Trace
//! Context Level 2 §3.5 asks; what we do not change keeps its order and place. It refuses to drop
//! the mark or `ot`, whatever else has to go.

use bytes::BytesMut;

use super::{
    super::{
        mark::{Mark, MarkField},
        ot::OtEdit,
        signature::Signature,
    },
    MAX_LEN, MAX_MEMBERS, Member, Owner, TraceState,
};

/// Members longer than this are dropped before any other (§3.3.1.5).
const LONG_MEMBER: usize = 128;

/// What to do with the mark on the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkEdit<'a> {
    /// Leave it, in its legal form.
    Keep,
    /// Write this one.
    Set(Mark<'a>),
    /// Write none, nor what is left of a malformed one.
    Strip,
}

/// What to do with the signature of the mark on the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureEdit {
    /// Leave it, where the mark stays what it was; a signature of another mark goes.
    Keep,
    /// Write this one.
    Set(Signature),
}

/// The changes to one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit<'a> {
    /// Ours.
    pub mark: MarkEdit<'a>,
    /// Of ours.
    pub signature: SignatureEdit,
    /// OpenTelemetry's.
    pub ot: OtEdit,
}

impl Edit<'_> {
    /// No change.
    pub const KEEP: Self = Self { mark: MarkEdit::Keep, signature: SignatureEdit::Keep, ot: OtEdit::Keep };
}

/// An edit measured against a list: who is written anew at the front, who stays in place.
struct Plan<'a> {
    front_mark: Option<Mark<'a>>,
    keep_mark: bool,
    keep_signature: bool,
    keep_ot: bool,
    /// A whole mark in place is as safe from truncation as one at the front.
    mark_is_whole: bool,
}

impl<'h> TraceState<'h> {
    /// Whether the one line that came may be forwarded as it is.
    pub fn unchanged(&self, edit: &Edit<'_>) -> bool {
        let plan = self.plan(edit);
        let signed_anew =
            matches!(edit.signature, SignatureEdit::Set(_)) || (self.signature.is_some() && !plan.keep_signature);
        self.canonical && plan.keep_mark && plan.keep_ot && !signed_anew
    }

    /// Appends the edited list to `out` as one header value: at most 32 members and 512 characters.
    /// Returns false, and appends nothing, if it is empty: then the header is left out.
    pub fn write(&self, edit: &Edit<'_>, out: &mut BytesMut) -> bool {
        let plan = self.plan(edit);
        let start = out.len();
        out.reserve(MAX_LEN);
        let mut front_members = 0;
        if let Some(mark) = plan.front_mark {
            write_mark(mark, out);
            front_members += 2;
        }
        if let SignatureEdit::Set(signature) = edit.signature {
            separate(start, out);
            out.extend_from_slice(b"patch-sig=");
            signature.write(out);
            front_members += 1;
        }
        if !plan.keep_ot {
            let before = out.len();
            separate(start, out);
            let threshold = match edit.ot {
                OtEdit::Threshold(threshold) => Some(threshold),
                OtEdit::Keep | OtEdit::EraseThreshold => None,
            };
            if self.ot.write(threshold, out) {
                front_members += 1;
            } else {
                out.truncate(before);
            }
        }
        let rest = self.fitting(&plan, front_members, out.len() - start);
        for (member, _) in self.members.iter().zip(0..).filter(|(_, at)| rest >> at & 1 != 0) {
            separate(start, out);
            out.extend_from_slice(member.text());
        }
        out.len() > start
    }

    fn plan<'a>(&self, edit: &Edit<'a>) -> Plan<'a>
    where
        'h: 'a,
    {
        let present = self.mark();
        let dotted = self.dotted;
        let (front_mark, keep_mark) = match (edit.mark, present) {
            (MarkEdit::Keep, MarkField::Mark(mark)) if dotted => (Some(mark), false),
            (MarkEdit::Keep, _) => (None, !dotted),
            (MarkEdit::Set(new), MarkField::Mark(old)) if new == old && !dotted => (None, true),
            (MarkEdit::Set(new), _) => (Some(new), false),
            (MarkEdit::Strip, _) => (None, present == MarkField::Absent),
        };
        let mark_stays = match edit.mark {
            MarkEdit::Keep => true,
            MarkEdit::Set(new) => present == MarkField::Mark(new),
            MarkEdit::Strip => false,
        };
        let keep_signature = edit.signature == SignatureEdit::Keep && mark_stays && present.mark().is_some();
        Plan {
            front_mark,
            keep_mark,
            keep_signature,
            keep_ot: self.ot.unchanged_by(edit.ot),
            mark_is_whole: present.mark().is_some(),
        }
    }

    /// The members that stay in place, a bit each, when so much stands before them.
    fn fitting(&self, plan: &Plan<'_>, front_members: usize, front_len: usize) -> u32 {
        // Every member with a comma, also the last: what is taken off is what was put on.
        let commas = usize::from(front_members > 0);
        let (mut kept, mut count, mut len) = (0, front_members, front_len + commas);
        for (at, member) in self.members.iter().enumerate() {
            if plan.keeps(member) {
                kept |= 1 << at;
                count += 1;
                len += member.text().len() + 1;
            }
        }
        let short_enough = |len: usize| len <= MAX_LEN + 1;
        if count <= MAX_MEMBERS && short_enough(len) {
            return kept;
        }
        let spare = |long: bool| {
            let members = self.members.iter().enumerate().rev();
            members.filter(move |(_, member)| !plan.protects(member) && (!long || member.text().len() > LONG_MEMBER))
        };
        // Too many characters: long members go first, then from the right; too many: the right-most.
        for (long, (at, member)) in
            spare(true).map(|found| (true, found)).chain(spare(false).map(|found| (false, found)))
        {
            let fits = short_enough(len) && (long || count <= MAX_MEMBERS);
            if !fits && kept >> at & 1 != 0 {
                kept &= !(1 << at);
                count -= 1;
                len -= member.text().len() + 1;
            }
        }
        kept
    }
}

impl Plan<'_> {
    fn keeps(&self, member: &Member<'_>) -> bool {
        match member.owner {
            Owner::Group | Owner::Version => self.keep_mark,
            Owner::Signature => self.keep_signature,
            Owner::Ot => self.keep_ot,
            Owner::Foreign => true,
        }
    }

    fn protects(&self, member: &Member<'_>) -> bool {
        match member.owner {
            Owner::Group | Owner::Version => self.mark_is_whole,
            Owner::Signature | Owner::Ot => true,
            Owner::Foreign => false,
        }
    }
}

fn write_mark(mark: Mark<'_>, out: &mut BytesMut) {
    out.extend_from_slice(b"patch-group=");
    out.extend_from_slice(mark.group().as_bytes());
    out.extend_from_slice(b",patch-version=");
    out.extend_from_slice(mark.version().as_bytes());
}

/// A comma, unless this is the first member of the value that starts at `start`.
fn separate(start: usize, out: &mut BytesMut) {
    if out.len() > start {
        out.extend_from_slice(b",");
    }
}
