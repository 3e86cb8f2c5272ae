//! What becomes of a request's trace once its track is known: sampling, flags, and the edit of its `tracestate`.
//!
//! Pure: the thresholds and the id of a trace that would begin here are handed in. It writes nothing.

use patchgate_config::mark_key::MarkSigning;
use patchgate_config::snapshot::{Snapshot, Telemetry};

use super::decide::{Decision, Track};
use crate::trust::{
    Basis, Edit, Flags, Incoming, Mark, MarkEdit, OtEdit, Randomness, SamplingInput, Signature, SignatureEdit,
    Threshold, TraceId, outgoing_by,
};

/// What is sampled, by configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Thresholds {
    /// For canary, control and marked requests.
    pub(crate) canary: Option<Threshold>,
    /// For traces that begin here.
    pub(crate) default: Option<Threshold>,
}

/// A trace as it goes on.
#[derive(Debug)]
pub(crate) struct Onward<'a> {
    pub(crate) id: TraceId,
    pub(crate) flags: Flags,
    /// Whether it is sampled for its track or mark rather than by its parent or by chance.
    pub(crate) raised: bool,
    pub(crate) randomness: Randomness,
    /// What the sampled flag goes by.
    pub(crate) basis: Basis,
    /// What changes in its `tracestate`.
    pub(crate) edit: Edit<'a>,
}

/// `tracestate` as it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// As it came, or absent as it was.
    Unchanged,
    /// To be left out.
    Empty,
    /// To be written anew.
    Edited,
}

impl Thresholds {
    pub(crate) fn of(telemetry: &Telemetry) -> Self {
        Self {
            canary: Threshold::from_probability(telemetry.sample_canary),
            default: Threshold::from_probability(telemetry.sample_default),
        }
    }
}

/// Follows a decision; there is none for what is answered here. `fresh`: the id of the trace if it begins here;
/// `now`: Unix time in seconds.
pub(crate) fn follow<'a>(
    incoming: &Incoming<'_>,
    mark: Option<Mark<'a>>,
    decision: Option<&Decision>,
    snapshot: &'a Snapshot,
    thresholds: Thresholds,
    fresh: TraceId,
    now: u64,
) -> Onward<'a> {
    let id = incoming.parent.map_or(fresh, |parent| parent.trace_id);
    let randomness = Randomness::of(id, incoming.state.randomness());
    let raised = mark.is_some() || decision.is_some_and(|decision| decision.track != Track::Stable);
    let (sampled, basis) = outgoing_by(&SamplingInput {
        parent: incoming.parent_sampling(),
        randomness,
        raised,
        canary_threshold: thresholds.canary,
        default_threshold: thresholds.default,
        clear_random_flag: snapshot.telemetry.clear_random_flag,
    });
    let assigned = decision.filter(|decision| decision.assigned).and_then(|decision| decision.rollout);
    let rollout = assigned.map(|id| snapshot.rollout(id));
    let assigned = rollout.and_then(|rollout| Mark::new(&rollout.group, &rollout.version).ok());
    let mark = assigned.or(mark);
    let signing = snapshot.mark_signing.as_deref().zip(mark);
    let signature = signing.map_or(SignatureEdit::Keep, |(signing, mark)| sign(signing, incoming, id, mark, now));
    let edit = Edit { mark: mark.map_or(MarkEdit::Keep, MarkEdit::Set), signature, ot: sampled.ot };
    Onward { id, flags: sampled.flags, raised, randomness, basis, edit }
}

/// Signs a mark, unless it bears our own signature that will last for a while.
fn sign(signing: &MarkSigning, incoming: &Incoming<'_>, id: TraceId, mark: Mark<'_>, now: u64) -> SignatureEdit {
    let ttl = signing.ttl.as_secs();
    let is_same = incoming.parent.is_some() && incoming.state.mark().mark() == Some(mark);
    let lasting = incoming.state.signature().filter(|_| is_same).and_then(Signature::parse);
    let lasting = lasting.filter(|signature| signature.expires <= now.saturating_add(ttl));
    match lasting {
        Some(ours) if ours.verify(std::slice::from_ref(&signing.key), id, mark, now + ttl / 2).is_ok() => {
            SignatureEdit::Keep
        }
        _ => SignatureEdit::Set(Signature::sign(&signing.key, id, mark, now.saturating_add(ttl))),
    }
}

impl Onward<'_> {
    /// What that makes of the list that came.
    pub(crate) fn state(&self, incoming: &Incoming<'_>) -> State {
        let edit = &self.edit;
        if incoming.state.unchanged(edit) {
            State::Unchanged
        } else if incoming.state.is_empty() && edit.mark == MarkEdit::Keep && !matches!(edit.ot, OtEdit::Threshold(_)) {
            State::Empty
        } else {
            State::Edited
        }
    }
}
