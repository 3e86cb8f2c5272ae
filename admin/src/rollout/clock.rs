//! Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", OPODIS 2014): near the wall clock, and never back.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Millis;

/// A moment in the log. Ordered by time, then counter, then node.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Hlc {
    /// The greatest wall clock seen so far.
    pub ms: Millis,
    /// Counts events within one `ms`, and while the wall clock stands behind it.
    pub n: u32,
    /// Whose clock it is.
    pub node: String,
}

impl Hlc {
    /// The moment after this one, at `node`, whose wall clock shows `now`. Later than this, wherever `now` is.
    #[must_use]
    pub fn next(&self, now: Millis, node: &str) -> Self {
        let (ms, n) = match self.n.checked_add(1) {
            _ if now > self.ms => (now, 0),
            Some(n) => (self.ms, n),
            None => (self.ms + 1, 0),
        };
        Self { ms, n, node: node.to_owned() }
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}@{}", self.ms, self.n, self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_steps_back_does_not_break_the_order() {
        let mut clock = Hlc::default();
        let mut seen = vec![clock.clone()];
        for now in [5_000, 5_000, 1_000, 4_999, 5_001, 0, 9_000] {
            clock = clock.next(now, "a");
            seen.push(clock.clone());
        }
        assert!(seen.is_sorted_by(|before, after| before < after), "{seen:?}");
        assert_eq!(clock, Hlc { ms: 9_000, n: 0, node: "a".into() });
    }

    #[test]
    fn a_full_counter_carries_into_the_time() {
        let full = Hlc { ms: 7, n: u32::MAX, node: "a".into() };
        assert_eq!(full.next(3, "a"), Hlc { ms: 8, n: 0, node: "a".into() });
    }
}
