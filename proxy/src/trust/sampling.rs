//! What an attempt tells the next hop about sampling, and whether our own span is kept.
//!
//! One pure function between the rollout decision and the headers of an attempt. It draws no
//! randomness and knows no configuration but the two thresholds handed in. Source: OpenTelemetry
//! specification, `tracestate-probability-sampling.md`; Trace Context Level 2 §3.2.2.5.

use super::{
    ot::{OtEdit, ThresholdField},
    threshold::{Randomness, Threshold},
    traceparent::Flags,
};

/// What the caller's trace context says about sampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentSampling {
    /// The caller's flags.
    pub flags: Flags,
    /// The caller's `th`.
    pub threshold: ThresholdField,
}

/// All that the decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SamplingInput {
    /// `None` where the trace begins here.
    pub parent: Option<ParentSampling>,
    /// The trace's, see [`Randomness::of`].
    pub randomness: Randomness,
    /// Marked, canary or control: `canary_threshold` applies, whatever the parent decided.
    pub raised: bool,
    /// For raised requests; `None` samples none of them for being raised.
    pub canary_threshold: Option<Threshold>,
    /// For the other traces that begin here; `None` samples none.
    pub default_threshold: Option<Threshold>,
    /// Send the random flag as 0, for SDKs that reject flags above 02.
    pub clear_random_flag: bool,
}

/// What goes on the wire beside a new parent id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The flags; sampled says whether our span is kept, too.
    pub flags: Flags,
    /// The change to `ot`. A threshold is written, or kept, only if sampled.
    pub ot: OtEdit,
}

/// Who had the say in a sampling decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The canary threshold, for a raised request that it keeps.
    Raised(Threshold),
    /// The parent.
    Parent(ParentSampling),
    /// The default threshold, where the trace begins here; `None` samples none.
    Root(Option<Threshold>),
}

/// Decides. A response that asks for sampling is the same input with `raised` set: what comes out
/// is then for our own span, the request being gone already.
pub fn outgoing(input: &SamplingInput) -> Outgoing {
    outgoing_by(input).0
}

/// [`outgoing`], and who had the say.
pub fn outgoing_by(input: &SamplingInput) -> (Outgoing, Basis) {
    let ((sampled, ot), basis) = match (raised(input), input.parent) {
        (Some(threshold), _) => ((true, OtEdit::Threshold(threshold)), Basis::Raised(threshold)),
        (None, Some(parent)) => (follow(parent, input.randomness), Basis::Parent(parent)),
        (None, None) => (begin(input.default_threshold, input.randomness), Basis::Root(input.default_threshold)),
    };
    let random = input.parent.is_none_or(|parent| parent.flags.random());
    let flags = Flags::default().with_sampled(sampled).with_random(random && !input.clear_random_flag);
    (Outgoing { flags, ot }, basis)
}

/// The threshold that keeps a raised request, `None` if the usual decision has to be taken.
fn raised(input: &SamplingInput) -> Option<Threshold> {
    let ours = input.canary_threshold.filter(|_| input.raised)?;
    // A parent that keeps more than we would has its lower threshold: kept by either, counted once.
    let threshold = match input.parent.and_then(|parent| parent.valid(input.randomness)) {
        Some(theirs) => ours.min(theirs),
        None => ours,
    };
    threshold.keeps(input.randomness).then_some(threshold)
}

fn follow(parent: ParentSampling, randomness: Randomness) -> (bool, OtEdit) {
    let sampled = parent.flags.sampled();
    match (parent.threshold, parent.valid(randomness)) {
        (ThresholdField::Absent, _) | (_, Some(_)) => (sampled, OtEdit::Keep),
        // Unreadable, contradicted by the randomness, or beside a negative decision: whoever
        // counts spans would be misled by it.
        (_, None) => (sampled, OtEdit::EraseThreshold),
    }
}

fn begin(threshold: Option<Threshold>, randomness: Randomness) -> (bool, OtEdit) {
    match threshold {
        Some(threshold) if threshold.keeps(randomness) => (true, OtEdit::Threshold(threshold)),
        _ => (false, OtEdit::EraseThreshold),
    }
}

impl ParentSampling {
    /// The threshold, if it is true of this trace: sampled, and by it.
    fn valid(self, randomness: Randomness) -> Option<Threshold> {
        match self.threshold {
            ThresholdField::Present(threshold) if self.flags.sampled() && threshold.keeps(randomness) => {
                Some(threshold)
            }
            _ => None,
        }
    }
}
