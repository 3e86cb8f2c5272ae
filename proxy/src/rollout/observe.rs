//! Who watches a decision being taken: `explain`, or on a request's way nobody.
//!
//! [`decide_observed`](super::decide::decide_observed) is compiled once for each observer, so that the rules stand in
//! one place and the request path has nothing of this in its code. An observer cannot change what is decided.

use patchgate_config::snapshot::{RequestMatch, RolloutId, StickyKey};

use super::cohort::Bucket;

/// One thing that a decision looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Look<'a> {
    /// Whether the mark's group is the rollout's.
    Group,
    /// Whether the mark's version is the one that the rollout is pinned to.
    Version,
    /// An entry of the `force_stable` list.
    ForceStable(&'a RequestMatch),
    /// A rule of an edge.
    Rule(&'a RequestMatch),
    /// A percentage; it matches if the bucket is within the rollout's exposure.
    Percent {
        /// What the choice sticks to.
        key: &'a StickyKey,
        /// The request's place among 1,000,000.
        bucket: Bucket,
        /// Whether the request has the key; else the bucket was drawn.
        keyed: bool,
    },
}

/// Is told what a decision looks at, in order.
pub trait Observer {
    /// The decision looked at this of the rollout, and it matched or did not.
    fn look(&mut self, rollout: RolloutId, look: Look<'_>, matched: bool);
}

/// Nobody.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Observer for Unobserved {
    #[inline]
    fn look(&mut self, _: RolloutId, _: Look<'_>, _: bool) {}
}
