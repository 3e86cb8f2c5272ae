//! What an auditor is given: enough to check a copy of the log without this code. `docs/proof.md` tells how.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fold::Fold;
use crate::rollout::Millis;

/// A log in a few lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// How the chain is made, in words.
    pub chain: String,
    /// The first record it covers.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// The chain's hash there, in hex.
    pub head: String,
    /// BLAKE3 of the folded state as JSON, in hex.
    pub state_hash: String,
    /// Time of the last event.
    pub last_event_ms: Millis,
    /// Events by type.
    pub counts: BTreeMap<String, u64>,
}

impl Proof {
    /// Of all that was folded.
    #[must_use]
    pub fn of(fold: &Fold) -> Self {
        Self {
            chain: "hash 0 is 32 zero bytes; hash n is BLAKE3(hash n-1, payload n)".to_owned(),
            first: 1,
            last: fold.state().sequence,
            head: fold.chain().to_string(),
            state_hash: fold.state().hash().to_string(),
            last_event_ms: fold.state().clock.ms,
            counts: fold.counts().iter().map(|(name, count)| (name.to_string(), *count)).collect(),
        }
    }
}
